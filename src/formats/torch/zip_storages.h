// Storages that are members of a zip archive.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "formats/torch/storages.h"
#include "formats/torch/zip_layout.h"

namespace kilter::torch {

class ZipStorages final : public StorageTable {
 public:
  /// `folder`: "archive/data/". `fallback_folder`: asked next, for TorchScript's constants.
  ZipStorages(const zip::Archive& archive, std::string folder, std::string fallback_folder,
              bool big_endian)
      : archive_(archive),
        folder_(std::move(folder)),
        fallback_(std::move(fallback_folder)),
        big_endian_(big_endian) {}

  Result<StorageRef> resolve(const StorageRequest& request, TensorIndex* index) override;
  static constexpr std::size_t kNoMember = SIZE_MAX;
  /// The member of each storage of the index, as far as resolve() was asked; kNoMember where the
  /// archive has none.
  const std::vector<std::size_t>& members() const { return members_; }

 private:
  struct Known {
    StorageRef ref;
    std::uint64_t bytes = 0;
  };
  StorageInfo describe(const zip::Member& member, const StorageRequest& request,
                       std::uint64_t needed_bytes, std::uint32_t number);
  void fault(std::uint32_t storage, std::string rule, Severity severity, bool unusable,
             Error error);

  const zip::Archive& archive_;
  std::string folder_;
  std::string fallback_;
  bool big_endian_;
  std::unordered_map<std::string, Known> known_;
  std::vector<std::size_t> members_;
  std::string name_;  // of the member asked for: its memory is used again
};

}  // namespace kilter::torch

// The files of all ranks, opened, with their storages in one index.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kilter/checkpoint.h"

#include "formats/format.h"

namespace kilter::deepspeed {

/// One file: what its pickle states. Its tensors' storages were moved to the common index.
struct RankFile {
  std::string name;
  CheckpointData data;
  std::uint32_t storage_base = 0;  ///< what its tensors' storage numbers count from

  StateId root() const { return data.state.root(); }
  StateId find(StateId dict, std::string_view key) const { return data.state.find(dict, key); }
  /// The storage of one of its tensors in the common index.
  std::uint32_t storage_of(const TensorInfo& tensor) const { return storage_base + tensor.storage; }
};

/// Opens files beneath a folder by content, several at a time, and keeps each once.
class RankFiles {
 public:
  RankFiles(io::FileSystem& files, std::string root, const OpenOptions& options,
            CheckpointData* data)
      : files_(files), root_(std::move(root)), options_(options), data_(data) {}

  /// Opens `names`; their files and storages are appended to the checkpoint's. In the order given.
  /// Errors: those of the formats, kUnsupported for a file that is no torch file; with the path.
  Result<std::vector<const RankFile*>> open(const std::vector<std::string>& names);

  std::string path_of(const std::string& name) const { return root_ + "/" + name; }

 private:
  Result<CheckpointData> open_one(const std::string& name) const;

  io::FileSystem& files_;
  std::string root_;
  const OpenOptions& options_;
  CheckpointData* data_;
  std::vector<std::unique_ptr<RankFile>> opened_;
};

}  // namespace kilter::deepspeed

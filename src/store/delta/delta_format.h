// What deltas are made of. Source: spec/delta.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/error.h"

namespace kilter::store {

inline constexpr std::string_view kDeltaKey = "kilter.delta";
inline constexpr std::string_view kDeltaVersion = "1";
inline constexpr std::string_view kDeltaBaseKey = "kilter.delta.base";
inline constexpr std::string_view kDeltaResultKey = "kilter.delta.result";

inline constexpr std::string_view kDeltaManifest = "manifest";
inline constexpr std::string_view kDeltaTensorPrefix = "tensor/";
inline constexpr std::string_view kDeltaFilePrefix = "file/";
inline constexpr std::uint64_t kDeltaManifestBytesMax = 256ULL << 20;

struct DeltaManifest {
  struct Tensor {
    std::string name;
    DType dtype = DType::kF32;
    std::vector<std::int64_t> shape;
    bool same = false;
  };
  struct File {
    std::string path;
    std::uint64_t bytes = 0;
  };
  std::string base;  ///< its address
  std::vector<Tensor> tensors;
  std::vector<std::string> removed;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<File> files;
};

std::string write_delta_manifest(const DeltaManifest& manifest);
/// Errors: kMalformed that says where; kUnsafe for a file's path; kLimitExceeded.
Result<DeltaManifest> parse_delta_manifest(std::string_view text);

}  // namespace kilter::store

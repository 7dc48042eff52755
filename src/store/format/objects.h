// Commits and trees: what a checkpoint is made of. Source: spec/store.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "kilter/dtype.h"
#include "kilter/error.h"

#include "store/digest.h"

namespace kilter::store {

/// Sorts the keys of objects, as names by content need it.
using SortedJson = nlohmann::json;

/// One checkpoint in the store's history.
struct Commit {
  std::vector<Digest> parents;  ///< the first is the one it continues
  Digest tree{};
  std::string author;
  std::string message;
  std::int64_t time_unix_ns = 0;
  SortedJson metadata = SortedJson::object();  ///< spec/metadata.md
  SortedJson lineage = SortedJson::array();
  std::string kilter_version;
};

struct TreeFile {
  std::string path;  ///< relative, '/' between parts
  std::uint64_t bytes = 0;
};

/// A run of tensor data as it lies in a file.
struct TreeTensor {
  std::string name;
  DType dtype = DType::kU8;
  std::vector<std::int64_t> shape;
  std::uint32_t file = 0;          ///< index in Tree::files
  std::uint64_t offset_bytes = 0;  ///< in that file
  std::uint64_t bytes = 0;
  std::uint64_t piece_bytes = 0;  ///< plain bytes of each chunk but the last
  std::vector<Digest> chunks;
};

/// A chunk of what is not tensor data.
struct SkeletonPart {
  Digest digest{};
  std::uint64_t bytes = 0;
};

struct Tree {
  bool single_file = false;  ///< the checkpoint was a file, not a folder
  std::string format;        ///< "safetensors", as `inspect` names it; empty if unknown
  std::vector<TreeFile> files;
  std::vector<TreeTensor> tensors;  ///< by file, then offset; they do not overlap
  std::vector<SkeletonPart> skeleton;

  std::uint64_t file_bytes() const;  ///< all files together
};

/// Canonical JSON; its BLAKE3 is the object's name.
std::string commit_text(const Commit& commit);
std::string tree_text(const Tree& tree);

/// Errors: kMalformed, kLimitExceeded; kUnsupported for a version this program does not know.
Result<Commit> parse_commit(std::string_view text);
/// Also checks that tensors lie in their files without overlap, that chunks and skeleton cover
/// every byte exactly once, and that paths are safe. Errors: as above; kUnsafe.
Result<Tree> parse_tree(std::string_view text);

/// "2026-11-21T12:00:00.123456789Z" and back; nullopt for anything else. Fewer digits are allowed.
std::string time_text(std::int64_t unix_ns);
std::optional<std::int64_t> parse_time(std::string_view text);

}  // namespace kilter::store

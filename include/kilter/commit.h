// Checkpoints as a store keeps them: commits, their files and tensors. Owned by the floor `store`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/metadata.h"

namespace kilter {

/// What a checkpoint was made from. Source: spec/store.md, "Commit".
struct Lineage {
  std::string operation;  ///< "finetune", "merge", "convert", …
  Metadata parameters;
  std::vector<std::string> inputs;  ///< addresses, digests or names
};

/// One checkpoint of a store's history.
struct CommitInfo {
  std::string digest;                ///< its name: 64 hexadecimal digits
  std::string tree;                  ///< of its files; equal for equal content
  std::vector<std::string> parents;  ///< the first is the one it continues
  std::int64_t time_unix_ns = 0;
  std::string author;
  std::string message;
  Metadata metadata;
  std::vector<std::string> branches;  ///< that point to it
  std::vector<std::string> tags;
  bool retired = false;  ///< its data was given up; the record stays
};

/// Everything a commit says. What is in its files is 0 or empty for a retired one.
struct CommitDetails {
  CommitInfo info;
  std::vector<Lineage> lineage;
  std::string kilter_version;  ///< that saved it
  std::string format;        ///< "safetensors", "folder", … as inspect() names it; empty if unknown
  bool single_file = false;  ///< the checkpoint was a file, not a folder
  std::uint64_t file_count = 0;
  std::uint64_t tensor_count = 0;
  std::uint64_t bytes = 0;  ///< of all files
};

struct StoredFile {
  std::string path;  ///< relative, '/' between parts
  std::uint64_t bytes = 0;
};

/// A run of tensor data that is stored by itself. Tensors below 4 KiB, and what is compressed
/// inside its file, lie with the rest of the file: Store::open_checkpoint() knows those as well.
struct StoredTensor {
  std::string name;
  DType dtype = DType::kU8;
  std::vector<std::int64_t> shape;
  std::string file;
  std::uint64_t offset_bytes = 0;  ///< in that file
  std::uint64_t bytes = 0;
};

enum class RefKind : std::uint8_t { kBranch, kTag };

/// A branch or tag.
struct StoreRef {
  RefKind kind = RefKind::kBranch;
  std::string name;
  std::string commit;
};

enum class Change : std::uint8_t { kSame, kChanged, kAdded, kRemoved };

struct FileChange {
  Change change = Change::kSame;
  std::string path;
  std::uint64_t bytes_before = 0;
  std::uint64_t bytes_after = 0;
};

struct TensorChange {
  Change change = Change::kSame;
  std::string name;
  std::string file;
  std::uint64_t bytes = 0;          ///< after; before, if removed
  std::uint64_t changed_bytes = 0;  ///< plain bytes of chunks that are not in the first commit
  bool shape_changed = false;       ///< shape or dtype
};

struct MetadataChange {
  std::string key;
  std::string before;  ///< JSON; empty if missing
  std::string after;
};

struct CommitDiff {
  std::vector<FileChange> files;         ///< all, by path
  std::vector<TensorChange> tensors;     ///< all, in the second commit's order, then the removed
  std::vector<MetadataChange> metadata;  ///< only what differs
  std::uint64_t new_plain_bytes = 0;     ///< chunks of the second that the first has not
  std::uint64_t new_stored_bytes = 0;    ///< as they are stored
  bool same = false;                     ///< files and tensors are
};

}  // namespace kilter

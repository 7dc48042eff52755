// A commit's files as a file system, read-only: every reader of checkpoints works on it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/file_system.h"
#include "store/store.h"

namespace kilter::store {

/// Where a range of a file comes from: bytes [begin, begin + count) of a chunk's plain bytes.
struct ChunkPart {
  Digest digest{};
  std::uint64_t chunk_bytes = 0;  ///< as the tree says
  std::uint64_t begin_bytes = 0;
  std::uint64_t count_bytes = 0;
  const TreeTensor* tensor = nullptr;  ///< whose data it is; null for the skeleton

  bool whole() const { return count_bytes == chunk_bytes; }
};

/// Reads any byte of any file of a tree. Safe to use from several threads.
class TreeReader {
 public:
  TreeReader(std::shared_ptr<Store> store, std::shared_ptr<const Tree> tree);

  const Tree& tree() const { return *tree_; }
  /// Errors: kOutOfRange; what reading chunks reports, with the file's name and the tensor's.
  Status read(std::uint32_t file, std::uint64_t offset_bytes, std::span<std::byte> out) const;
  /// The parts that make up a range of a file, in order. Errors: kOutOfRange.
  Result<std::vector<ChunkPart>> parts(std::uint32_t file, std::uint64_t offset_bytes,
                                       std::uint64_t bytes) const;
  /// The file of that path; nullopt if none.
  std::optional<std::uint32_t> find(std::string_view path) const;

 private:
  void add_skeleton_parts(std::uint64_t offset_bytes, std::uint64_t bytes,
                          std::vector<ChunkPart>& parts) const;
  Status read_part(const ChunkPart& part, std::span<std::byte> out) const;

  std::shared_ptr<Store> store_;
  std::shared_ptr<const Tree> tree_;
  std::vector<std::size_t> first_tensor_;           // of each file, and one past the last
  std::vector<std::uint64_t> skeleton_begin_;       // of each file: offset in the skeleton
  std::vector<std::uint64_t> part_begin_;           // of each skeleton part
  std::vector<std::uint64_t> tensor_bytes_before_;  // tensor bytes of the same file before each
};

/// Copies a part out of its chunk. Errors: kCorrupt for a chunk that is not as long as its tree
/// says, with the tensor's name.
Status copy_part(const ChunkPart& part, const PlainChunk& chunk, std::span<std::byte> out);

/// The tree below the path `mount` ("runs.kilter@v1"): a folder, or the one file itself.
std::unique_ptr<io::FileSystem> make_tree_file_system(std::shared_ptr<const TreeReader> reader,
                                                      std::string mount);

}  // namespace kilter::store

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/try.h"
#include "store/read/commit_files.h"

namespace kilter::store {
namespace {

void add_tensor_parts(const TreeTensor& tensor, std::uint64_t offset_bytes, std::uint64_t bytes,
                      std::vector<ChunkPart>& parts) {
  while (bytes > 0) {
    const std::uint64_t number = offset_bytes / tensor.piece_bytes;
    const std::uint64_t within = offset_bytes % tensor.piece_bytes;
    const std::uint64_t size =
        std::min(tensor.piece_bytes, tensor.bytes - number * tensor.piece_bytes);
    const std::uint64_t count = std::min(bytes, size - within);
    parts.push_back({tensor.chunks[number], size, within, count, &tensor});
    offset_bytes += count;
    bytes -= count;
  }
}

}  // namespace

TreeReader::TreeReader(std::shared_ptr<Store> store, std::shared_ptr<const Tree> tree)
    : store_(std::move(store)), tree_(std::move(tree)) {
  std::size_t next = 0;
  std::uint64_t skeleton = 0;
  for (std::uint32_t file = 0; file < tree_->files.size(); ++file) {
    first_tensor_.push_back(next);
    skeleton_begin_.push_back(skeleton);
    std::uint64_t tensor_bytes = 0;
    for (; next < tree_->tensors.size() && tree_->tensors[next].file == file; ++next) {
      tensor_bytes_before_.push_back(tensor_bytes);
      tensor_bytes += tree_->tensors[next].bytes;
    }
    skeleton += tree_->files[file].bytes - tensor_bytes;
  }
  first_tensor_.push_back(next);
  std::uint64_t at = 0;
  for (const SkeletonPart& part : tree_->skeleton) {
    part_begin_.push_back(at);
    at += part.bytes;
  }
}

std::optional<std::uint32_t> TreeReader::find(std::string_view path) const {
  const auto found = std::ranges::lower_bound(
      tree_->files, path, {}, [](const TreeFile& file) { return std::string_view(file.path); });
  if (found == tree_->files.end() || found->path != path) return std::nullopt;
  return static_cast<std::uint32_t>(found - tree_->files.begin());
}

Result<std::vector<ChunkPart>> TreeReader::parts(std::uint32_t file, std::uint64_t offset_bytes,
                                                 std::uint64_t bytes) const {
  const TreeFile& entry = tree_->files[file];
  if (!range_fits(offset_bytes, bytes, entry.bytes))
    return fail(
        Error(ErrorCode::kOutOfRange, "the range lies outside the file").at_path(entry.path));
  // The first tensor that ends behind the offset.
  const auto begin = tree_->tensors.begin() + static_cast<std::ptrdiff_t>(first_tensor_[file]);
  const auto end = tree_->tensors.begin() + static_cast<std::ptrdiff_t>(first_tensor_[file + 1]);
  auto tensor = std::partition_point(
      begin, end, [&](const TreeTensor& t) { return t.offset_bytes + t.bytes <= offset_bytes; });
  std::uint64_t before = 0;  // tensor bytes of this file that lie in front of the offset
  if (tensor != begin) {
    const auto last = static_cast<std::size_t>(tensor - tree_->tensors.begin()) - 1;
    before = tensor_bytes_before_[last] + tree_->tensors[last].bytes;
  }
  std::vector<ChunkPart> parts;
  while (bytes > 0) {
    const std::uint64_t next = tensor != end ? tensor->offset_bytes : entry.bytes;
    std::uint64_t count = 0;
    if (offset_bytes < next) {
      count = std::min(bytes, next - offset_bytes);
      add_skeleton_parts(skeleton_begin_[file] + offset_bytes - before, count, parts);
    } else {
      const std::uint64_t within = offset_bytes - tensor->offset_bytes;
      count = std::min(bytes, tensor->bytes - within);
      add_tensor_parts(*tensor, within, count, parts);
      if (within + count == tensor->bytes) before += (tensor++)->bytes;
    }
    offset_bytes += count;
    bytes -= count;
  }
  return parts;
}

void TreeReader::add_skeleton_parts(std::uint64_t offset_bytes, std::uint64_t bytes,
                                    std::vector<ChunkPart>& parts) const {
  while (bytes > 0) {
    const auto after = std::ranges::upper_bound(part_begin_, offset_bytes);
    const auto number = static_cast<std::size_t>(after - part_begin_.begin()) - 1;
    const SkeletonPart& part = tree_->skeleton[number];
    const std::uint64_t within = offset_bytes - part_begin_[number];
    const std::uint64_t count = std::min(bytes, part.bytes - within);
    parts.push_back({part.digest, part.bytes, within, count, nullptr});
    offset_bytes += count;
    bytes -= count;
  }
}

Status TreeReader::read_part(const ChunkPart& part, std::span<std::byte> out) const {
  // Nobody else wants tensor data that is read from end to end.
  if (part.tensor != nullptr && part.whole()) return store_->read_chunk_into(part.digest, out);
  KILTER_ASSIGN(const PlainChunk chunk, store_->read_chunk(part.digest));
  return copy_part(part, chunk, out);
}

Status TreeReader::read(std::uint32_t file, std::uint64_t offset_bytes,
                        std::span<std::byte> out) const {
  KILTER_ASSIGN(const auto parts, this->parts(file, offset_bytes, out.size()));
  for (const ChunkPart& part : parts) {
    auto done = read_part(part, out.first(part.count_bytes));
    if (!done && part.tensor != nullptr)
      return fail(std::move(done).error().at_tensor(part.tensor->name));
    KILTER_TRY(std::move(done));
    out = out.subspan(part.count_bytes);
  }
  return ok();
}

Status copy_part(const ChunkPart& part, const PlainChunk& chunk, std::span<std::byte> out) {
  if (chunk->size() != part.chunk_bytes) {
    Error error(ErrorCode::kCorrupt, "a chunk is not as long as its tree says");
    return fail(part.tensor == nullptr ? std::move(error)
                                       : std::move(error).at_tensor(part.tensor->name));
  }
  if (!out.empty()) std::memcpy(out.data(), chunk->data() + part.begin_bytes, out.size());
  return ok();
}

}  // namespace kilter::store

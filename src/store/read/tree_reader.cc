#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/try.h"
#include "store/read/commit_files.h"

namespace kilter::store {

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

Status TreeReader::read(std::uint32_t file, std::uint64_t offset_bytes,
                        std::span<std::byte> out) const {
  const TreeFile& entry = tree_->files[file];
  if (!range_fits(offset_bytes, out.size(), entry.bytes))
    return fail(
        Error(ErrorCode::kOutOfRange, "the range lies outside the file").at_path(entry.path));
  // The first tensor that ends behind the offset.
  const auto begin = tree_->tensors.begin();
  auto tensor = std::partition_point(
      begin + static_cast<std::ptrdiff_t>(first_tensor_[file]),
      begin + static_cast<std::ptrdiff_t>(first_tensor_[file + 1]),
      [&](const TreeTensor& t) { return t.offset_bytes + t.bytes <= offset_bytes; });
  std::uint64_t before = 0;  // tensor bytes of this file that lie in front of the offset
  if (tensor != begin + static_cast<std::ptrdiff_t>(first_tensor_[file])) {
    const auto last = static_cast<std::size_t>(tensor - begin) - 1;
    before = tensor_bytes_before_[last] + tree_->tensors[last].bytes;
  }
  while (!out.empty()) {
    const bool more = tensor != begin + static_cast<std::ptrdiff_t>(first_tensor_[file + 1]);
    const std::uint64_t next = more ? tensor->offset_bytes : entry.bytes;
    std::uint64_t count = 0;
    if (offset_bytes < next) {
      count = std::min<std::uint64_t>(out.size(), next - offset_bytes);
      KILTER_TRY(read_skeleton(skeleton_begin_[file] + offset_bytes - before, out.first(count)));
    } else {
      const std::uint64_t within = offset_bytes - tensor->offset_bytes;
      count = std::min<std::uint64_t>(out.size(), tensor->bytes - within);
      auto read = read_tensor(*tensor, within, out.first(count));
      if (!read) return fail(std::move(read).error().at_tensor(tensor->name));
      if (within + count == tensor->bytes) {
        before += tensor->bytes;
        ++tensor;
      }
    }
    offset_bytes += count;
    out = out.subspan(count);
  }
  return ok();
}

Status TreeReader::read_tensor(const TreeTensor& tensor, std::uint64_t offset_bytes,
                               std::span<std::byte> out) const {
  while (!out.empty()) {
    const std::uint64_t number = offset_bytes / tensor.piece_bytes;
    const std::uint64_t within = offset_bytes % tensor.piece_bytes;
    const std::uint64_t size =
        std::min(tensor.piece_bytes, tensor.bytes - number * tensor.piece_bytes);
    const std::uint64_t count = std::min<std::uint64_t>(out.size(), size - within);
    // Nobody else wants a chunk that is read from end to end.
    KILTER_ASSIGN(const PlainChunk chunk, store_->read_chunk(tensor.chunks[number], count < size));
    if (chunk->size() != size)
      return fail(ErrorCode::kCorrupt, "a chunk is not as long as its tree says");
    std::memcpy(out.data(), chunk->data() + within, count);
    offset_bytes += count;
    out = out.subspan(count);
  }
  return ok();
}

Status TreeReader::read_skeleton(std::uint64_t offset_bytes, std::span<std::byte> out) const {
  while (!out.empty()) {
    const auto after = std::ranges::upper_bound(part_begin_, offset_bytes);
    const auto number = static_cast<std::size_t>(after - part_begin_.begin()) - 1;
    const SkeletonPart& part = tree_->skeleton[number];
    const std::uint64_t within = offset_bytes - part_begin_[number];
    const std::uint64_t count = std::min<std::uint64_t>(out.size(), part.bytes - within);
    KILTER_ASSIGN(const PlainChunk chunk, store_->read_chunk(part.digest));
    if (chunk->size() != part.bytes)
      return fail(ErrorCode::kCorrupt, "a chunk is not as long as its tree says");
    std::memcpy(out.data(), chunk->data() + within, count);
    offset_bytes += count;
    out = out.subspan(count);
  }
  return ok();
}

}  // namespace kilter::store

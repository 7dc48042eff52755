#include "store/write/skeleton_writer.h"

#include "base/try.h"

namespace kilter::store {

void SkeletonWriter::begin() {
  std::uint64_t bytes = tree_.file_bytes();
  for (const TreeTensor& tensor : tree_.tensors) bytes -= tensor.bytes;
  tree_.skeleton.reserve(bytes / kCutBytesMin + 1);
}

Status SkeletonWriter::add(Bytes bytes) {
  while (!bytes.empty()) {
    bytes = bytes.subspan(cutter_.add(bytes));
    if (cutter_.chunk_ready()) KILTER_TRY(end());
  }
  return ok();
}

Status SkeletonWriter::end() {
  if (cutter_.empty()) return ok();
  std::vector<std::byte> chunk = cutter_.take();
  tree_.skeleton.push_back({{}, chunk.size()});
  return writer_.add(std::move(chunk), ChunkKind::kData, &tree_.skeleton.back().digest);
}

}  // namespace kilter::store

#include "store/write/layout_writer.h"

#include <algorithm>

#include "base/text.h"
#include "base/try.h"
#include "io/safe_path.h"
#include "store/format/element.h"
#include "store/write/skeleton_writer.h"

namespace kilter::store {
namespace {

constexpr std::uint64_t kZerosBytes = 4096;

class LayoutWriter {
 public:
  LayoutWriter(LaidOutFiles& source, ChunkWriter& writer, Tree& tree, const RunContext& context)
      : source_(source), writer_(writer), tree_(tree), context_(context) {}

  Status run() {
    std::ranges::sort(source_.files, {}, &FileLayout::name);
    for (std::size_t i = 0; i < source_.files.size(); ++i)
      KILTER_TRY(plan_file(source_.files[i], static_cast<std::uint32_t>(i)));
    skeleton_.begin();
    for (const FileLayout& file : source_.files)
      for (const Segment& segment : file.segments) KILTER_TRY(add_segment(segment));
    return skeleton_.end();
  }

 private:
  Status plan_file(const FileLayout& file, std::uint32_t number) {
    KILTER_TRY(io::check_relative_name(file.name));
    if (number != 0 && source_.files[number - 1].name == file.name)
      return fail(Error(ErrorCode::kInvalidArgument, "two files of one name").at_path(file.name));
    std::uint64_t at = 0;
    for (const Segment& segment : file.segments) {
      if (segment.kind == SegmentKind::kLate)
        return fail(Error(ErrorCode::kInternal, "bytes known late").at_path(file.name));
      if (is_tensor(segment)) plan_tensor(segment, number, at);
      at += segment.bytes;
    }
    tree_.files.push_back({file.name, at});
    return ok();
  }

  static bool is_tensor(const Segment& segment) {
    return segment.kind == SegmentKind::kOutput && segment.bytes >= kTensorBytesMin;
  }

  void plan_tensor(const Segment& segment, std::uint32_t file, std::uint64_t at) {
    const PlanOutput& output = source_.outputs[segment.index];
    TreeTensor tensor;
    tensor.name = output.name;
    tensor.dtype = output.dtype;
    tensor.shape = output.shape;
    tensor.file = file;
    tensor.offset_bytes = at;
    tensor.bytes = segment.bytes;
    tensor.piece_bytes = piece_bytes_of(output.dtype);
    tensor.chunks.resize((segment.bytes - 1) / tensor.piece_bytes + 1);
    tree_.tensors.push_back(std::move(tensor));
  }

  Status add_segment(const Segment& segment) {
    if (is_tensor(segment)) return add_tensor(segment.index, tree_.tensors[tensor_++]);
    if (segment.kind == SegmentKind::kLiteral) return skeleton_.add(as_bytes(segment.literal));
    std::vector<std::byte> bytes(static_cast<std::size_t>(
        segment.kind == SegmentKind::kZero ? std::min(segment.bytes, kZerosBytes) : segment.bytes));
    if (segment.kind == SegmentKind::kOutput) {
      KILTER_TRY(source_.read(segment.index, 0, bytes));
      return skeleton_.add(bytes);
    }
    for (std::uint64_t left = segment.bytes; left != 0; left -= bytes.size()) {
      bytes.resize(std::min<std::size_t>(bytes.size(), left));
      KILTER_TRY(skeleton_.add(bytes));
    }
    return ok();
  }

  Status add_tensor(std::size_t output, TreeTensor& tensor) {
    for (std::size_t i = 0; i < tensor.chunks.size(); ++i) {
      const std::uint64_t begin = i * tensor.piece_bytes;
      ChunkJob job;
      job.bytes = std::min(tensor.piece_bytes, tensor.bytes - begin);
      job.element = element_of(tensor.dtype);
      job.digest = &tensor.chunks[i];
      job.read = [&source = source_, output, begin](std::uint64_t at, std::span<std::byte> out) {
        return source.read(output, begin + at, out);
      };
      KILTER_TRY(writer_.add(std::move(job)));
      KILTER_TRY(context_.check());
    }
    return ok();
  }

  LaidOutFiles& source_;
  ChunkWriter& writer_;
  Tree& tree_;
  const RunContext& context_;
  SkeletonWriter skeleton_{writer_, tree_};
  std::size_t tensor_ = 0;
};

}  // namespace

Status add_laid_out(LaidOutFiles& source, ChunkWriter& writer, Tree& tree,
                    const RunContext& context) {
  return LayoutWriter(source, writer, tree, context).run();
}

}  // namespace kilter::store

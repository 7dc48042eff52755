#include "flow/tile_fill.h"

#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/checked.h"
#include "base/try.h"
#include "flow/preflight.h"

namespace kilter::flow {
namespace {

/// Eight elements of any dtype are whole bytes: as many bytes as one element has bits.
constexpr std::uint64_t kGroupElements = 8;
constexpr std::size_t kGroupBytesMax = 128;
constexpr std::uint64_t kInputAlignBytes = 64;
/// Inputs and output of one kernel call stay in the second-level cache.
constexpr std::uint64_t kKernelStepBytes = 512 * 1024;

std::uint64_t group_bytes_of(DType dtype) { return dtype_row(dtype).bits; }

std::uint64_t packed(std::uint64_t elements, DType dtype) {
  return (elements * dtype_row(dtype).bits + 7) / 8;
}

const StagedPart* find_staged(const std::vector<StagedPart>& staged, std::size_t segment) {
  const auto found = std::lower_bound(
      staged.begin(), staged.end(), segment,
      [](const StagedPart& part, std::size_t wanted) { return part.segment < wanted; });
  return found == staged.end() || found->segment != segment ? nullptr : &*found;
}

}  // namespace

std::uint32_t combine_crc32(std::uint32_t a, std::uint32_t b, std::uint64_t b_bytes) {
  return static_cast<std::uint32_t>(::crc32_combine(a, b, static_cast<z_off_t>(b_bytes)));
}

bool wants_blocks(const PlanInput& input) {
  if (input.kind != InputKind::kTensor) return false;
  const TensorIndex& index = input.source->index();
  return wants_blocks(index, index.tensors[input.index]);
}

std::uint64_t kernel_group_bytes(const PlanOutput& output) {
  std::uint64_t total = 0;
  for (const PlanInput& input : output.inputs)
    total += round_up(group_bytes_of(input_dtype(output, input)), kInputAlignBytes);
  return total;
}

TileFiller::TileFiller(const Plan& plan, const MemoryPlan& memory, bool wants_checksums)
    : plan_(plan),
      scratch_bytes_(memory.scratch_bytes),
      wants_checksums_(wants_checksums),
      kernel_buffers_(memory.kernel_bytes, memory.thread_count),
      blocks_(memory.block_bytes) {
  if (memory.block_bytes == 0) return;
  for (std::size_t o = 0; o < plan.outputs.size(); ++o)
    for (std::size_t i = 0; i < plan.outputs[o].inputs.size(); ++i)
      if (wants_blocks(plan.outputs[o].inputs[i])) in_blocks_.emplace(o, i);
}

TileFill TileFiller::fill(const FileMap& map, std::uint64_t offset_bytes, std::span<std::byte> out,
                          const std::vector<StagedPart>& staged) {
  TileFill result;
  for (const SegmentPart& part : parts_of(map, offset_bytes, out.size())) {
    const Segment& segment = map.layout().segments[part.segment];
    const auto to = out.subspan(part.run_offset, part.bytes);
    switch (segment.kind) {
      case SegmentKind::kLiteral:
        std::memcpy(to.data(), segment.literal.data() + part.segment_offset, to.size());
        break;
      case SegmentKind::kZero:
        std::memset(to.data(), 0, to.size());
        break;
      case SegmentKind::kLate:
        std::memset(to.data(), 0, to.size());
        result.late.push_back(part);
        break;
      case SegmentKind::kOutput:
        if (const StagedPart* ready = find_staged(staged, part.segment)) {
          std::memcpy(to.data(), ready->bytes.data(), to.size());
        } else {
          result.status = fill_output(segment.index, part.segment_offset, to);
          if (!result.status) return result;
        }
        result.read_bytes += to.size();
        if (wants_checksums_)
          result.checksums.push_back({segment.index, libdeflate_crc32(0, to.data(), to.size()),
                                      to.size(), part.run_offset});
        break;
    }
  }
  return result;
}

Status TileFiller::fill_output(std::size_t number, std::uint64_t offset_bytes,
                               std::span<std::byte> out) {
  const PlanOutput& output = plan_.outputs[number];
  Status status =
      output.kernel ? compute(number, offset_bytes, out) : read_input(number, 0, offset_bytes, out);
  if (status) return status;
  return fail(std::move(status).error().at_tensor(output.name));
}

Status TileFiller::read_input(std::size_t number, std::size_t input_number,
                              std::uint64_t offset_bytes, std::span<std::byte> out) {
  const PlanOutput& output = plan_.outputs[number];
  const PlanInput& input = output.inputs[input_number];
  if (in_blocks_.contains({number, input_number}))
    return blocks_.read(*input.source, input.index, offset_bytes, out, scratch_bytes_);
  switch (input.kind) {
    case InputKind::kTensor:
      return input.source->read_tensor(input.index, input.offset_bytes + offset_bytes, out,
                                       scratch_bytes_);
    case InputKind::kStorage:
      return input.source->read_storage(input.index, output.dtype,
                                        input.offset_bytes + offset_bytes, out);
    case InputKind::kFile:
      return input.source->read_file(static_cast<std::uint32_t>(input.index),
                                     input.offset_bytes + offset_bytes, out);
  }
  return fail(ErrorCode::kInternal, "an input of no kind");
}

Status TileFiller::compute(std::size_t number, std::uint64_t offset_bytes,
                           std::span<std::byte> out) {
  const PlanOutput& output = plan_.outputs[number];
  const std::uint64_t group_bytes = group_bytes_of(output.dtype);
  const std::uint64_t elements = output_elements(output).value_or(0);
  KILTER_ASSIGN(const io::Buffer buffer, kernel_buffers_.take());
  const std::uint64_t fitting = std::min<std::uint64_t>(buffer.span().size(), kKernelStepBytes) /
                                std::max<std::uint64_t>(kernel_group_bytes(output), 1);
  const std::uint64_t step_groups =
      std::clamp<std::uint64_t>(fitting, 1, kKernelStepBytes / group_bytes);
  while (!out.empty()) {
    const std::uint64_t group = offset_bytes / group_bytes;
    const std::uint64_t skip = offset_bytes % group_bytes;
    const std::uint64_t first = group * kGroupElements;
    std::uint64_t take = std::min(out.size() / group_bytes, step_groups) * group_bytes;
    if (skip == 0 && take != 0) {
      // Narrow elements: the bytes of the last group may be whole without its elements.
      const std::uint64_t count = std::min(take / group_bytes * kGroupElements, elements - first);
      KILTER_TRY(compute_groups(number, first, count, out.first(take), buffer.span()));
    } else {
      // A group cut by the tile's border, or the tensor's own last one.
      std::array<std::byte, kGroupBytesMax> whole{};
      const std::uint64_t count = std::min(kGroupElements, elements - first);
      const std::uint64_t held = packed(count, output.dtype);
      KILTER_TRY(compute_groups(number, first, count, std::span(whole).first(held), buffer.span()));
      take = std::min<std::uint64_t>(out.size(), held - skip);
      std::memcpy(out.data(), whole.data() + skip, take);
    }
    offset_bytes += take;
    out = out.subspan(take);
  }
  return ok();
}

Status TileFiller::compute_groups(std::size_t number, std::uint64_t first_element,
                                  std::uint64_t element_count, std::span<std::byte> out,
                                  std::span<std::byte> scratch) {
  const PlanOutput& output = plan_.outputs[number];
  std::vector<Bytes> inputs;
  inputs.reserve(output.inputs.size());
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < output.inputs.size(); ++i) {
    const DType dtype = input_dtype(output, output.inputs[i]);
    const auto to = scratch.subspan(at, packed(element_count, dtype));
    KILTER_TRY(read_input(number, i, packed(first_element, dtype), to));
    inputs.push_back(to);
    at += round_up(to.size(), kInputAlignBytes);
  }
  return output.kernel->run({packed(first_element, output.dtype), out, inputs});
}

}  // namespace kilter::flow

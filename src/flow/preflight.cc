#include "flow/preflight.h"

#include <limits>
#include <unordered_set>

#include "base/checked.h"
#include "base/text.h"
#include "base/try.h"
#include "flow/tile_map.h"
#include "io/buffer_pool.h"
#include "io/safe_path.h"

namespace kilter::flow {
namespace {

/// Eight elements of any dtype are whole bytes.
std::optional<std::uint64_t> bytes_of(std::uint64_t elements, DType dtype) {
  const auto bits = checked_mul<std::uint64_t>(elements, dtype_row(dtype).bits);
  if (!bits) return std::nullopt;
  return *bits / 8 + (*bits % 8 != 0 ? 1 : 0);
}

/// Bytes an input holds from its offset on; nullopt if the input is not there.
std::optional<std::uint64_t> input_bytes(const PlanInput& input) {
  if (!input.source) return std::nullopt;
  const TensorIndex& index = input.source->index();
  std::uint64_t total = 0;
  switch (input.kind) {
    case InputKind::kTensor:
      if (input.index >= index.tensors.size()) return std::nullopt;
      total = index.tensors[input.index].bytes();
      break;
    case InputKind::kStorage:
      if (input.index >= index.storages.size()) return std::nullopt;
      total = index.storages[input.index].bytes;
      break;
    case InputKind::kFile:
      if (input.index >= index.files.size()) return std::nullopt;
      total = index.files[input.index].bytes;
      break;
  }
  if (input.offset_bytes > total) return std::nullopt;
  return total - input.offset_bytes;
}

Status refuse(const PlanOutput& output, std::string message, std::string wanted,
              std::string found) {
  return fail(Error(ErrorCode::kInvalidArgument, std::move(message))
                  .at_tensor(output.name)
                  .wanted(std::move(wanted), std::move(found)));
}

Status check_copy(const PlanOutput& output) {
  if (output.inputs.size() != 1)
    return refuse(output, "a copied output needs one input", "1",
                  std::to_string(output.inputs.size()));
  const PlanInput& input = output.inputs[0];
  const auto held = input_bytes(input);
  if (!held) return refuse(output, "the output's input is not there", "an input", "none");
  // A tensor is copied whole; of storages and files a part may be.
  const bool fits =
      input.kind == InputKind::kTensor ? *held == output.bytes : *held >= output.bytes;
  if (fits) return ok();
  return refuse(output, "output and input differ in size", format_count(output.bytes) + " bytes",
                format_count(*held) + " bytes");
}

Status check_computed(const PlanOutput& output) {
  const auto elements = output_elements(output);
  const auto bytes = elements ? bytes_of(*elements, output.dtype) : std::nullopt;
  if (!bytes || *bytes != output.bytes)
    return refuse(output, "the output's size is not that of its shape",
                  bytes ? format_count(*bytes) + " bytes" : "a size that fits 64 bits",
                  format_count(output.bytes) + " bytes");
  for (const PlanInput& input : output.inputs) {
    const auto held = input_bytes(input);
    const auto needed = bytes_of(*elements, input_dtype(output, input));
    const bool same = held && needed &&
                      (input.kind == InputKind::kTensor
                           ? input.source->index().tensors[input.index].element_count() == *elements
                           : *held >= *needed);
    if (!same)
      return refuse(output, "an input has not the output's elements",
                    format_count(*elements) + " elements",
                    held ? format_count(*held) + " bytes" : "no such input");
  }
  return ok();
}

struct LayoutCheck {
  const Plan& plan;
  std::vector<bool> placed;
  std::uint64_t total_bytes = 0;

  Status fault(const FileLayout& file, std::string message) const {
    return fail(Error(ErrorCode::kInternal, "the output's layout is unsound: " + message)
                    .at_path(file.name));
  }

  Status check_output(const FileLayout& file, const Segment& segment) {
    if (segment.index >= plan.outputs.size()) return fault(file, "an output that is not there");
    const PlanOutput& output = plan.outputs[segment.index];
    if (placed[segment.index]) return fault(file, "\"" + output.name + "\" comes twice");
    placed[segment.index] = true;
    if (segment.bytes == output.bytes) return ok();
    return fault(file, "\"" + output.name + "\" has another size than planned");
  }

  Status check_file(const FileLayout& file) {
    for (const Segment& segment : file.segments) {
      const auto sum = checked_add(total_bytes, segment.bytes);
      if (!sum || *sum > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        return fault(file, "sizes do not fit 63 bits");
      total_bytes = *sum;
      if (segment.kind == SegmentKind::kLiteral && segment.bytes != segment.literal.size())
        return fault(file, "a literal has another size than stated");
      if (segment.kind == SegmentKind::kOutput) KILTER_TRY(check_output(file, segment));
    }
    return ok();
  }
};

}  // namespace

std::optional<std::uint64_t> output_elements(const PlanOutput& output) {
  std::optional<std::uint64_t> count = 1;
  for (const std::int64_t size : output.shape) {
    if (size < 0) return std::nullopt;
    count = count ? checked_mul(*count, static_cast<std::uint64_t>(size)) : count;
  }
  return count;
}

DType input_dtype(const PlanOutput& output, const PlanInput& input) {
  return input.kind == InputKind::kTensor ? input.source->index().tensors[input.index].dtype
                                          : output.dtype;
}

Status check_plan(const Plan& plan) {
  for (const PlanOutput& output : plan.outputs) {
    for (const PlanInput& input : output.inputs)
      if (!input_bytes(input))
        return refuse(output, "the output's input is not there", "an input", "none");
    KILTER_TRY(output.kernel ? check_computed(output) : check_copy(output));
  }
  return ok();
}

Result<std::uint64_t> check_layout(const Plan& plan, const std::vector<FileLayout>& layout) {
  LayoutCheck check{plan, std::vector<bool>(plan.outputs.size(), false)};
  std::unordered_set<std::string> names;
  for (const FileLayout& file : layout) {
    KILTER_TRY(io::check_relative_name(file.name));
    if (!names.insert(file.name).second)
      return tl::unexpected(check.fault(file, "the name comes twice").error());
    KILTER_TRY(check.check_file(file));
  }
  for (std::size_t i = 0; i < plan.outputs.size(); ++i)
    if (!check.placed[i])
      return fail(Error(ErrorCode::kInternal, "the output's layout leaves a tensor out")
                      .at_tensor(plan.outputs[i].name));
  return check.total_bytes;
}

Result<std::uint64_t> check_resume(const std::vector<FileLayout>& layout, const Sink& sink,
                                   const EngineResume* resume) {
  if (resume == nullptr) return std::uint64_t{0};
  if (sink.wants_checksums())
    return fail(Error(ErrorCode::kInvalidArgument,
                      "an output in this format cannot be gone on with after an interruption")
                    .advise("write safetensors, or leave --resume out"));
  if (resume->file == 0 && resume->offset_bytes == 0) return std::uint64_t{0};
  if (resume->file < layout.size()) {
    std::uint64_t present = resume->offset_bytes;
    for (std::size_t i = 0; i < resume->file; ++i) present += FileMap(layout[i]).bytes();
    const std::uint64_t its_bytes = FileMap(layout[resume->file]).bytes();
    const bool on_block = resume->offset_bytes % io::kDirectAlignBytes == 0;
    if (resume->offset_bytes <= its_bytes && (on_block || resume->offset_bytes == its_bytes))
      return present;
  } else if (resume->file == layout.size() && resume->offset_bytes == 0) {
    std::uint64_t present = 0;
    for (const FileLayout& file : layout) present += FileMap(file).bytes();
    return present;
  }
  return fail(ErrorCode::kInvalidArgument, "the unfinished output is not of this plan");
}

Status check_space(io::FileSystem& files, const std::string& folder, std::uint64_t total_bytes) {
  // The output folder itself may still have to be made: ask for what is above it.
  const std::string here(".");
  std::string at = folder.empty() ? here : folder;
  auto free = files.free_bytes(at);
  while (!free && free.error().code == ErrorCode::kNotFound && at != here && at != "/") {
    const std::string above = io::parent_path(at);
    at = above.empty() ? here : above;
    free = files.free_bytes(at);
  }
  if (!free) return fail(std::move(free).error());
  if (*free >= total_bytes) return ok();
  return fail(Error(ErrorCode::kNoSpace, "the output does not fit on the disk")
                  .at_path(at)
                  .wanted(format_bytes(total_bytes) + " free", format_bytes(*free)));
}

}  // namespace kilter::flow

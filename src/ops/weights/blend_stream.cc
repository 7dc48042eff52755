#include "ops/weights/blend_stream.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <vector>

#include "base/checked.h"
#include "base/raw_bytes.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "flow/engine.h"
#include "flow/source.h"
#include "ops/weights/blend_kernel.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

/// A store cuts tensors at these elements: a chunk is decoded once.
constexpr std::uint64_t kStreamBlockElements = 1 << 20;
constexpr std::uint64_t kStreamBlockLeast = 1 << 14;
constexpr std::size_t kStreamRun = 1024;

class StreamedBlends final : public Source {
 public:
  explicit StreamedBlends(std::uint64_t block_elements) : block_elements_(block_elements) {}

  /// Takes an output's kernel and inputs, and becomes its input.
  void take(PlanOutput& output, std::shared_ptr<const BlendKernel> kernel) {
    TensorInfo info;
    info.name = output.name;
    info.dtype = output.dtype;
    info.shape = output.shape;
    info.strides = contiguous_strides(output.shape);
    info.storage = static_cast<std::uint32_t>(index_.tensors.size());
    StorageInfo storage;
    storage.bytes = output.bytes;
    storage.coding = StorageCoding::kZstd;  // not raw: it lies in no file
    index_.files = {{"blend", 0}};
    index_.storages.push_back(std::move(storage));
    index_.tensors.push_back(std::move(info));
    blends_.push_back({std::move(kernel), std::move(output.inputs)});
    output.inputs.clear();
    output.kernel = nullptr;
  }

  const TensorIndex& index() const override { return index_; }
  std::string file_path(std::uint32_t) const override { return "blend"; }
  const io::ReadFile* raw_file(std::uint32_t) const override { return nullptr; }

  Status read_tensor(std::size_t tensor, std::uint64_t offset_bytes, std::span<std::byte> out,
                     std::uint64_t scratch_bytes_max) const override {
    const TensorInfo& info = index_.tensors[tensor];
    const std::uint64_t width = dtype_row(info.dtype).bits / 8;
    if (!range_fits(offset_bytes, out.size(), info.bytes()))
      return fail(ErrorCode::kOutOfRange, "read past the end");
    // Tiles are cut at any byte; sums are of whole elements.
    const std::uint64_t last = (offset_bytes + out.size() + width - 1) / width;
    RawBytes elements;
    for (std::uint64_t first = offset_bytes / width; first < last;) {
      const std::uint64_t border = (first / block_elements_ + 1) * block_elements_;
      const auto count = static_cast<std::size_t>(std::min(border, last) - first);
      elements.resize(count * width);
      KILTER_TRY(add_up(blends_[tensor], first, elements, count, scratch_bytes_max));
      const std::uint64_t begin = first * width;
      const std::uint64_t skip = offset_bytes > begin ? offset_bytes - begin : 0;
      const std::uint64_t to = begin + skip - offset_bytes;
      const auto size = static_cast<std::size_t>(
          std::min<std::uint64_t>(elements.size() - skip, out.size() - to));
      std::memcpy(out.data() + to, elements.data() + skip, size);
      first += count;
    }
    return {};
  }
  Status read_storage(std::size_t storage, DType, std::uint64_t offset_bytes,
                      std::span<std::byte> out) const override {
    return read_tensor(storage, offset_bytes, out, 8ULL << 20);
  }
  Status read_file(std::uint32_t, std::uint64_t, std::span<std::byte>) const override {
    return fail(ErrorCode::kUnsupported, "a blend is no file");
  }

 private:
  struct Blend {
    std::shared_ptr<const BlendKernel> kernel;
    std::vector<PlanInput> inputs;
  };

  static Status add_up(const Blend& blend, std::uint64_t first, std::span<std::byte> out,
                       std::size_t count, std::uint64_t scratch_bytes_max) {
    const BlendRules& rules = blend.kernel->rules();
    std::vector<double, RawAllocator<double>> sum(count);
    RawBytes values;
    double run[kStreamRun];
    for (std::size_t i = 0; i < blend.inputs.size(); ++i) {
      const BlendTerm& term = rules.terms[i];
      const std::uint64_t width = dtype_row(term.dtype).bits / 8;
      values.resize(count * width);
      const PlanInput& input = blend.inputs[i];
      KILTER_TRY(input.source->read_tensor(input.index, first * width, values, scratch_bytes_max));
      for (std::size_t at = 0; at < count; at += kStreamRun) {
        const std::size_t size = std::min(kStreamRun, count - at);
        double* const to = i == 0 ? sum.data() + at : run;
        widen_floats(term.dtype, values.data() + at * width, size, to);
        if (i == 0)
          scale(term.weight, std::span(to, size));
        else
          add_weighted(term.weight, std::span<const double>(run, size), sum.data() + at);
      }
    }
    return finish(blend, first, std::span(sum.data(), count), out, scratch_bytes_max);
  }

  static Status finish(const Blend& blend, std::uint64_t first, std::span<double> sum,
                       std::span<std::byte> out, std::uint64_t scratch_bytes_max) {
    const auto finished = blend.kernel->finish(first, sum, out);
    if (finished || finished.error().code != ErrorCode::kMalformed) return finished;
    // Whose number is not finite?
    Error error = finished.error();
    for (std::size_t i = 0; i < blend.inputs.size(); ++i) {
      const BlendTerm& term = blend.kernel->rules().terms[i];
      const std::uint64_t width = dtype_row(term.dtype).bits / 8;
      RawBytes values(sum.size() * width);
      KILTER_TRY(blend.inputs[i].source->read_tensor(blend.inputs[i].index, first * width, values,
                                                     scratch_bytes_max));
      widen_floats(term.dtype, values.data(), sum.size(), sum.data());
      if (count_range(DType::kF64, sum).not_finite == 0) continue;
      error.path = term.path;
      break;
    }
    return fail(std::move(error));
  }

  std::uint64_t block_elements_;
  TensorIndex index_;
  std::vector<Blend> blends_;
};

bool is_streamed(const PlanOutput& output) {
  return output.inputs.size() >= kStreamedInputs &&
         dynamic_cast<const BlendKernel*>(output.kernel.get()) != nullptr;
}

}  // namespace

void stream_large_blends(Plan& plan, OutputOptions& options) {
  if (std::ranges::none_of(plan.outputs, is_streamed)) return;
  // For each thread: a block of sums, of one input (in binary64 at most) and of the output.
  constexpr std::uint64_t kElementBytes = 3 * sizeof(double);
  const std::uint64_t budget = options.max_memory_bytes;
  const std::uint64_t spare = budget - std::min(budget, kEngineMemoryBytesMin);
  const std::uint64_t threads =
      options.thread_count != 0 ? options.thread_count : usable_cpu_count();
  const std::uint64_t block =
      std::clamp(std::bit_floor(std::min(budget / 2, spare) / threads / kElementBytes),
                 kStreamBlockLeast, kStreamBlockElements);
  options.max_memory_bytes -= std::min(spare, block * threads * kElementBytes);
  auto source = std::make_shared<StreamedBlends>(block);
  std::vector<std::size_t> taken;
  for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
    if (!is_streamed(plan.outputs[i])) continue;
    source->take(plan.outputs[i],
                 std::static_pointer_cast<const BlendKernel>(plan.outputs[i].kernel));
    taken.push_back(i);
  }
  for (std::size_t k = 0; k < taken.size(); ++k)
    plan.outputs[taken[k]].inputs = {{source, InputKind::kTensor, k, 0}};
}

}  // namespace kilter::ops

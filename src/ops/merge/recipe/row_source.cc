// Rows of several models' tensors as one tensor; and tensors in another dtype.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "base/try.h"
#include "flow/virtual_source.h"
#include "ops/merge/recipe/token_alignment.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

std::uint64_t value_bytes(DType dtype) { return dtype_row(dtype).bits / 8U; }

const TensorInfo& info_of_tokens(const TokenTensor& tensor) {
  return tensor.source->index().tensors[tensor.tensor];
}

class RowSource final : public VirtualSource {
 public:
  RowSource(const TokenAlignment& alignment, std::size_t model, const std::string& name,
            std::vector<TokenTensor> tensors)
      : VirtualSource(name), alignment_(alignment), model_(model), tensors_(std::move(tensors)) {
    const TensorInfo& own = info_of_tokens(tensors_[model]);
    dtype_ = own.dtype;
    std::vector<std::int64_t> shape = own.shape;
    shape[0] = alignment.rows;
    for (std::size_t i = 1; i < shape.size(); ++i) width_ *= static_cast<std::uint64_t>(shape[i]);
    add_tensor(name, dtype_, std::move(shape));
  }

  Status read_tensor(std::size_t, std::uint64_t offset_bytes, std::span<std::byte> out,
                     std::uint64_t scratch_bytes_max) const override {
    const std::uint64_t row_bytes = width_ * value_bytes(dtype_);
    while (!out.empty()) {
      const auto row = static_cast<std::size_t>(offset_bytes / row_bytes);
      const std::uint64_t skip = offset_bytes % row_bytes;
      const std::size_t rows = run_length(row, (skip + out.size() + row_bytes - 1) / row_bytes);
      const auto take =
          static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), rows * row_bytes - skip));
      KILTER_TRY(read_run(origins()[row], skip, out.first(take), scratch_bytes_max));
      out = out.subspan(take);
      offset_bytes += take;
    }
    return ok();
  }

 private:
  const std::vector<RowOrigin>& origins() const { return alignment_.origins[model_]; }

  bool is_own(const RowOrigin& origin) const {
    return origin.kind == RowOrigin::Kind::kRow &&
           info_of_tokens(tensors_[origin.model]).dtype == dtype_;
  }
  /// Rows from `first` that lie one behind the other in one model; at most `most`, at least 1.
  std::size_t run_length(std::size_t first, std::uint64_t most) const {
    std::size_t count = 1;
    const RowOrigin& begin = origins()[first];
    if (!is_own(begin)) return 1;
    while (count < most && first + count < origins().size()) {
      const RowOrigin& next = origins()[first + count];
      if (next.kind != begin.kind || next.model != begin.model || next.row != begin.row + count)
        break;
      ++count;
    }
    return count;
  }

  Status read_run(const RowOrigin& origin, std::uint64_t skip, std::span<std::byte> out,
                  std::uint64_t scratch) const {
    if (is_own(origin)) {
      const TokenTensor& from = tensors_[origin.model];
      const std::uint64_t begin = origin.row * width_ * value_bytes(dtype_);
      return from.source->read_tensor(from.tensor, begin + skip, out, scratch);
    }
    const std::uint64_t first = skip / value_bytes(dtype_);
    std::vector<double> values(out.size() / value_bytes(dtype_));
    switch (origin.kind) {
      case RowOrigin::Kind::kZero:
        break;
      case RowOrigin::Kind::kRow:
        KILTER_TRY(add_row(origin.model, origin.row, first, 1, values, scratch));
        break;
      case RowOrigin::Kind::kAverage: {
        const auto& rows = alignment_.averages[origin.row];
        for (const auto& [model, row] : rows)
          KILTER_TRY(
              add_row(model, row, first, 1.0 / static_cast<double>(rows.size()), values, scratch));
        break;
      }
      case RowOrigin::Kind::kPadding:
        KILTER_TRY(find_mean());
        std::copy_n(mean_.begin() + static_cast<std::ptrdiff_t>(first), values.size(),
                    values.begin());
    }
    narrow_floats(dtype_, values.data(), values.size(), out.data());
    return ok();
  }

  /// values += weight * elements [first, …) of a model's row.
  Status add_row(std::uint32_t model, std::uint32_t row, std::uint64_t first, double weight,
                 std::span<double> values, std::uint64_t scratch) const {
    const TokenTensor& from = tensors_[model];
    const DType dtype = info_of_tokens(from).dtype;
    std::vector<std::byte> bytes(values.size() * value_bytes(dtype));
    KILTER_TRY(from.source->read_tensor(from.tensor, (row * width_ + first) * value_bytes(dtype),
                                        bytes, scratch));
    std::vector<double> widened(values.size());
    widen_floats(dtype, bytes.data(), widened.size(), widened.data());
    add_weighted(weight, widened, values.data());
    return ok();
  }

  /// What padding rows hold: the mean of the others. Found when it is first asked for.
  Status find_mean() const {
    const std::lock_guard guard(mutex_);
    if (!mean_.empty() || width_ == 0) return ok();
    std::vector<double> sum(width_), values(width_);
    std::vector<std::byte> bytes(width_ * value_bytes(dtype_));
    for (std::size_t row = 0; row < alignment_.tokens.size(); ++row) {
      KILTER_TRY(read_tensor(0, row * bytes.size(), bytes, 1 << 20));
      widen_floats(dtype_, bytes.data(), width_, values.data());
      add_weighted(1, values, sum.data());
    }
    for (double& one : sum) one /= static_cast<double>(alignment_.tokens.size());
    mean_ = std::move(sum);
    return ok();
  }

  const TokenAlignment& alignment_;
  std::size_t model_;
  std::vector<TokenTensor> tensors_;  // by model
  DType dtype_ = DType::kF32;
  std::uint64_t width_ = 1;  // elements of a row
  mutable std::mutex mutex_;
  mutable std::vector<double> mean_;
};

class RoundedSource final : public VirtualSource {
 public:
  RoundedSource(std::shared_ptr<const Source> source, std::size_t tensor, DType dtype)
      : VirtualSource(source->index().tensors[tensor].name),
        source_(std::move(source)),
        tensor_(tensor),
        dtype_(dtype) {
    const TensorInfo& info = source_->index().tensors[tensor];
    from_ = info.dtype;
    add_tensor(info.name, dtype, info.shape);
  }

  Status read_tensor(std::size_t, std::uint64_t offset_bytes, std::span<std::byte> out,
                     std::uint64_t scratch_bytes_max) const override {
    constexpr std::size_t kBlock = 4096;
    std::vector<std::byte> bytes(kBlock * value_bytes(from_));
    std::vector<double> values(kBlock);
    std::uint64_t first = offset_bytes / value_bytes(dtype_);
    while (!out.empty()) {
      const std::size_t count = std::min<std::size_t>(kBlock, out.size() / value_bytes(dtype_));
      const std::span<std::byte> in(bytes.data(), count * value_bytes(from_));
      KILTER_TRY(source_->read_tensor(tensor_, first * value_bytes(from_), in, scratch_bytes_max));
      widen_floats(from_, in.data(), count, values.data());
      narrow_floats(dtype_, values.data(), count, out.data());
      out = out.subspan(count * value_bytes(dtype_));
      first += count;
    }
    return ok();
  }

 private:
  std::shared_ptr<const Source> source_;
  std::size_t tensor_;
  DType dtype_, from_ = DType::kF32;
};

/// The first row that is not there, as an error.
Status check_rows(const TokenAlignment& alignment, std::size_t model, const std::string& name,
                  const std::vector<TokenTensor>& tensors) {
  const TensorInfo& own = info_of_tokens(tensors[model]);
  const auto check = [&](std::uint32_t from, std::uint32_t row, std::size_t token) -> Status {
    Error error(ErrorCode::kInvalidArgument, "");
    error.tensor = name;
    if (tensors[from].source == nullptr) {
      error.message = "a token's row comes from a model that has no such tensor";
      return fail(std::move(error));
    }
    const TensorInfo& info = info_of_tokens(tensors[from]);
    const bool fits = info.shape.size() == own.shape.size() && !info.shape.empty() &&
                      std::equal(info.shape.begin() + 1, info.shape.end(), own.shape.begin() + 1);
    if (fits && has_float_values(info.dtype) && row < info.shape[0]) return ok();
    error.path = tensors[from].source->file_path(0);
    error.message = fits ? "a token has an id behind the tensor's last row"
                         : "rows of tokens have another width";
    error.expected = fmt::format("[{}]", fmt::join(own.shape, ", "));
    error.found = fmt::format("[{}], row {} for token '{}'", fmt::join(info.shape, ", "), row,
                              token < alignment.tokens.size() ? alignment.tokens[token] : "");
    return fail(std::move(error));
  };
  const std::vector<RowOrigin>& origins = alignment.origins[model];
  for (std::size_t i = 0; i < origins.size(); ++i) {
    if (origins[i].kind == RowOrigin::Kind::kRow)
      KILTER_TRY(check(origins[i].model, origins[i].row, i));
    if (origins[i].kind == RowOrigin::Kind::kAverage)
      for (const auto& [from, row] : alignment.averages[origins[i].row])
        KILTER_TRY(check(from, row, i));
  }
  return ok();
}

}  // namespace

Result<std::shared_ptr<const Source>> make_row_source(const TokenAlignment& alignment,
                                                      std::size_t model, std::string name,
                                                      std::vector<TokenTensor> tensors) {
  KILTER_TRY(check_rows(alignment, model, name, tensors));
  return std::shared_ptr<const Source>(
      std::make_shared<RowSource>(alignment, model, name, std::move(tensors)));
}

std::shared_ptr<const Source> make_rounded_source(std::shared_ptr<const Source> source,
                                                  std::size_t tensor, DType dtype) {
  return std::make_shared<RoundedSource>(std::move(source), tensor, dtype);
}

}  // namespace kilter::ops

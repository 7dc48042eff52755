#include "ops/weights/widened_source.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/try.h"
#include "flow/virtual_source.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

class WidenedSource : public VirtualSource {
 public:
  WidenedSource(std::shared_ptr<const Source> narrow, std::size_t narrow_tensor,
                std::shared_ptr<const Source> wide, std::size_t wide_tensor)
      : VirtualSource(narrow->file_path(0)),
        narrow_(std::move(narrow)),
        narrow_tensor_(narrow_tensor),
        wide_(std::move(wide)),
        wide_tensor_(wide_tensor) {
    const TensorInfo& whole = wide_->index().tensors[wide_tensor_];
    const TensorInfo& part = narrow_->index().tensors[narrow_tensor_];
    dtype_ = common_dtype(whole.dtype, part.dtype);
    row_elements_ = row_elements(whole);
    part_elements_ = row_elements(part);
    add_tensor(part.name, dtype_, whole.shape);
  }

  /// Rows are one output channel each: first what the narrow tensor has, then the wide one's rest.
  Status read_tensor(std::size_t, std::uint64_t offset_bytes, std::span<std::byte> out,
                     std::uint64_t scratch_bytes_max) const override {
    const std::size_t width = dtype_row(dtype_).bits / 8U;
    std::uint64_t at = offset_bytes / width;
    while (!out.empty()) {
      const std::uint64_t row = at / row_elements_, within = at % row_elements_;
      const bool own = within < part_elements_;
      const std::uint64_t left = (own ? part_elements_ : row_elements_) - within;
      const auto some = static_cast<std::size_t>(
          std::min<std::uint64_t>({left, out.size() / width, kWidenedElements}));
      const Source& from = own ? *narrow_ : *wide_;
      KILTER_TRY(read_as(from, own ? narrow_tensor_ : wide_tensor_,
                         own ? row * part_elements_ + within : at, out.first(some * width),
                         scratch_bytes_max));
      out = out.subspan(some * width);
      at += some;
    }
    return ok();
  }

 private:
  static constexpr std::uint64_t kWidenedElements = 4096;

  static std::uint64_t row_elements(const TensorInfo& tensor) {
    return tensor.element_count() / static_cast<std::uint64_t>(tensor.shape[0]);
  }

  /// One that has the numbers of both.
  static DType common_dtype(DType a, DType b) {
    if (a == b) return a;
    return a == DType::kF64 || b == DType::kF64 ? DType::kF64 : DType::kF32;
  }

  Status read_as(const Source& from, std::size_t tensor, std::uint64_t first_element,
                 std::span<std::byte> out, std::uint64_t scratch_bytes_max) const {
    const DType its = from.index().tensors[tensor].dtype;
    const std::size_t its_width = dtype_row(its).bits / 8U;
    if (its == dtype_)
      return from.read_tensor(tensor, first_element * its_width, out, scratch_bytes_max);
    const std::size_t count = out.size() / (dtype_row(dtype_).bits / 8U);
    std::vector<std::byte> raw(count * its_width);
    std::vector<double> values(count);
    KILTER_TRY(from.read_tensor(tensor, first_element * its_width, raw, scratch_bytes_max));
    widen_floats(its, raw.data(), count, values.data());
    narrow_floats(dtype_, values.data(), count, out.data());
    return ok();
  }

  std::shared_ptr<const Source> narrow_;
  std::size_t narrow_tensor_;
  std::shared_ptr<const Source> wide_;
  std::size_t wide_tensor_;
  DType dtype_ = DType::kF32;
  std::uint64_t row_elements_ = 0, part_elements_ = 0;
};

}  // namespace

std::shared_ptr<const Source> make_widened_source(std::shared_ptr<const Source> narrow,
                                                  std::size_t narrow_tensor,
                                                  std::shared_ptr<const Source> wide,
                                                  std::size_t wide_tensor) {
  return std::make_shared<WidenedSource>(std::move(narrow), narrow_tensor, std::move(wide),
                                         wide_tensor);
}

bool is_channel_subset(const TensorInfo& wide, const TensorInfo& narrow) {
  if (wide.shape.size() != 4 || narrow.shape.size() != 4) return false;
  if (!has_float_values(wide.dtype) || !has_float_values(narrow.dtype)) return false;
  if (narrow.shape[1] != 4 || (wide.shape[1] != 9 && wide.shape[1] != 8)) return false;
  return wide.shape[0] > 0 && wide.shape[0] == narrow.shape[0] &&
         wide.shape[2] == narrow.shape[2] && wide.shape[3] == narrow.shape[3];
}

}  // namespace kilter::ops

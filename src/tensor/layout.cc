#include "tensor/layout.h"

#include <algorithm>
#include <limits>

#include "base/checked.h"
#include "base/try.h"

namespace kilter {
namespace {

constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
constexpr std::size_t kNumbersShownMax = 16;

tl::unexpected<Error> bad_shape(std::string message, std::string expected,
                                std::span<const std::int64_t> found) {
  return fail(Error(ErrorCode::kMalformed, std::move(message))
                  .wanted(std::move(expected), shape_text(found)));
}

Status check_dimensions(std::span<const std::int64_t> shape) {
  const bool sound = std::all_of(shape.begin(), shape.end(), [](auto size) { return size >= 0; });
  if (sound) return ok();
  return bad_shape("a dimension is negative", "dimensions of at least 0", shape);
}

bool has_no_elements(std::span<const std::int64_t> shape) {
  return std::find(shape.begin(), shape.end(), 0) != shape.end();
}

}  // namespace

std::string shape_text(std::span<const std::int64_t> numbers) {
  std::string out("[");
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i != 0) out.append(", ");
    if (i == kNumbersShownMax) return out.append("…]");
    out.append(std::to_string(numbers[i]));
  }
  return out.append("]");
}

Result<std::uint64_t> element_count(std::span<const std::int64_t> shape) {
  KILTER_TRY(check_dimensions(shape));
  std::uint64_t count = 1;
  for (const std::int64_t size : shape) {
    if (size == 0) continue;
    const auto next = checked_mul(count, static_cast<std::uint64_t>(size));
    if (!next || *next > kMax) {
      return bad_shape("the number of elements is too large", "at most 2^63 - 1 elements", shape);
    }
    count = *next;
  }
  return has_no_elements(shape) ? 0 : count;
}

Result<std::uint64_t> packed_bytes(DType dtype, std::uint64_t count) {
  const auto bits = checked_mul<std::uint64_t>(count, dtype_row(dtype).bits);
  // Where the bits overflow, bytes might still fit, but no file is 2^61 bytes large.
  if (!bits) {
    return fail(
        Error(ErrorCode::kMalformed, "the tensor's bytes are too many")
            .wanted("at most 2^61 bytes",
                    std::to_string(count).append(" elements of ").append(dtype_name(dtype))));
  }
  return *bits / 8 + (*bits % 8 != 0 ? 1 : 0);
}

Result<std::uint64_t> contiguous_bytes(DType dtype, std::span<const std::int64_t> shape) {
  KILTER_ASSIGN(const std::uint64_t count, element_count(shape));
  return packed_bytes(dtype, count);
}

Result<std::optional<Extent>> view_extent(std::span<const std::int64_t> shape,
                                          std::span<const std::int64_t> strides,
                                          std::uint64_t offset_elements) {
  if (shape.size() != strides.size()) {
    return bad_shape("shape and strides differ in length",
                     std::to_string(shape.size()).append(" strides"), strides);
  }
  KILTER_ASSIGN(const std::uint64_t count, element_count(shape));
  if (count == 0) return std::optional<Extent>();

  const auto too_far = [&] {
    return bad_shape("a view reaches too far", "elements in [0, 2^63)", strides);
  };
  if (offset_elements > kMax) return too_far();
  auto first = static_cast<std::int64_t>(offset_elements), last = first;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const auto reach = checked_mul(shape[i] - 1, strides[i]);
    if (!reach) return too_far();
    const auto moved = checked_add(*reach < 0 ? first : last, *reach);
    if (!moved || *moved < 0) return too_far();
    (*reach < 0 ? first : last) = *moved;
  }
  return Extent{static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(last)};
}

bool is_contiguous(std::span<const std::int64_t> shape, std::span<const std::int64_t> strides) {
  if (shape.size() != strides.size()) return false;
  if (has_no_elements(shape)) return true;
  std::int64_t expected = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) continue;
    if (strides[i] != expected) return false;
    const auto next = checked_mul(expected, shape[i]);
    if (!next) return false;
    expected = *next;
  }
  return true;
}

std::vector<Dim> coalesce_dims(std::span<const std::int64_t> shape,
                               std::span<const std::int64_t> strides) {
  if (has_no_elements(shape)) return {{0, 0}};
  std::vector<Dim> dims;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    const auto span = checked_mul(shape[i], strides[i]);
    if (!dims.empty() && span && dims.back().stride_elements == *span) {
      dims.back() = {dims.back().size * shape[i], strides[i]};
    } else {
      dims.push_back({shape[i], strides[i]});
    }
  }
  return dims;
}

}  // namespace kilter

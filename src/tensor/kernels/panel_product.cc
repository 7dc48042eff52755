#include "tensor/kernels/panel_product.h"

#include <algorithm>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/panel_product.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace kilter::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Lanes = hn::CappedTag<double, kPanelLanes>;
using Vector = hn::Vec<Lanes>;

// Rows of a tile: with three vectors of columns they fill the registers (32 of AVX-512, 16 else).
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
inline constexpr std::size_t kTileRows = 8;
#else
inline constexpr std::size_t kTileRows = 4;
#endif
inline constexpr std::size_t kDepthBlock = 256;  // of b's rows: stays in the second cache

/// Rows [first, first + kTileRows) of a, depth [begin, begin + depth), as [depth][kTileRows].
void pack_rows(const StridedFloats& a, std::size_t first, std::size_t begin, std::size_t depth,
               double* out) {
  const std::size_t rows = std::min(kTileRows, a.rows - first);
  const float* const from = a.data + first * a.row_stride + begin * a.depth_stride;
  if (rows < kTileRows) std::fill_n(out, depth * kTileRows, 0.0);
  if (a.row_stride == 1 && rows == kTileRows) {
    for (std::size_t k = 0; k < depth; ++k)
      for (std::size_t i = 0; i < kTileRows; ++i)
        out[k * kTileRows + i] = static_cast<double>(from[k * a.depth_stride + i]);
    return;
  }
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t k = 0; k < depth; ++k)
      out[k * kTileRows + i] = static_cast<double>(from[i * a.row_stride + k * a.depth_stride]);
}

/// c [rows][kVectors] += a [depth][kTileRows] · b [depth][kVectors].
template <std::size_t kVectors, bool kFused>
HWY_INLINE void add_tile(const double* HWY_RESTRICT a, const double* HWY_RESTRICT b,
                         std::size_t b_stride, std::size_t depth, std::size_t rows,
                         double* HWY_RESTRICT c, std::size_t c_stride) {
  const Lanes lanes;
  const std::size_t step = hn::Lanes(lanes);
  Vector sums[kTileRows][kVectors];
  for (std::size_t i = 0; i < kTileRows; ++i)
    for (std::size_t v = 0; v < kVectors; ++v)
      sums[i][v] = i < rows ? hn::LoadU(lanes, c + i * c_stride + v * step) : hn::Zero(lanes);
  for (std::size_t k = 0; k < depth; ++k) {
    Vector right[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v)
      right[v] = hn::LoadU(lanes, b + k * b_stride + v * step);
    for (std::size_t i = 0; i < kTileRows; ++i) {
      const Vector left = hn::Set(lanes, a[k * kTileRows + i]);
      for (std::size_t v = 0; v < kVectors; ++v) {
        if constexpr (kFused)
          sums[i][v] = hn::MulAdd(left, right[v], sums[i][v]);
        else
          sums[i][v] = hn::Add(sums[i][v], hn::Mul(left, right[v]));
      }
    }
  }
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t v = 0; v < kVectors; ++v)
      hn::StoreU(sums[i][v], lanes, c + i * c_stride + v * step);
}

template <bool kFused>
void add_rows(const double* a, const double* b, std::size_t b_stride, std::size_t depth,
              std::size_t rows, std::size_t width, double* c, std::size_t c_stride) {
  const std::size_t step = hn::Lanes(Lanes());
  std::size_t at = 0;
  for (; at + 3 * step <= width; at += 3 * step)
    add_tile<3, kFused>(a, b + at, b_stride, depth, rows, c + at, c_stride);
  for (; at + 2 * step <= width; at += 2 * step)
    add_tile<2, kFused>(a, b + at, b_stride, depth, rows, c + at, c_stride);
  for (; at < width; at += step)
    add_tile<1, kFused>(a, b + at, b_stride, depth, rows, c + at, c_stride);
}

template <bool kFused>
void add_block(const StridedFloats& a, std::size_t begin, std::size_t depth, const double* b,
               std::size_t b_stride, std::size_t width, double* c, std::size_t c_stride) {
  alignas(64) double packed[kDepthBlock * kTileRows];
  for (std::size_t i = 0; i < a.rows; i += kTileRows) {
    pack_rows(a, i, begin, depth, packed);
    add_rows<kFused>(packed, b, b_stride, depth, std::min(kTileRows, a.rows - i), width,
                     c + i * c_stride, c_stride);
  }
}

void add_product_floats(const StridedFloats& a, const float* b, std::size_t b_stride,
                        std::size_t width, double* c, std::size_t c_stride) {
  std::vector<double> wide(std::min(kDepthBlock, a.depth) * width);
  for (std::size_t begin = 0; begin < a.depth; begin += kDepthBlock) {
    const std::size_t depth = std::min(kDepthBlock, a.depth - begin);
    for (std::size_t k = 0; k < depth; ++k) {
      const float* const from = b + (begin + k) * b_stride;
      double* const to = wide.data() + k * width;
      for (std::size_t j = 0; j < width; ++j) to[j] = static_cast<double>(from[j]);
    }
    add_block<true>(a, begin, depth, wide.data(), width, width, c, c_stride);
  }
}

void add_product_doubles(const StridedFloats& a, const double* b, std::size_t b_stride,
                         std::size_t width, double* c, std::size_t c_stride) {
  for (std::size_t begin = 0; begin < a.depth; begin += kDepthBlock)
    add_block<false>(a, begin, std::min(kDepthBlock, a.depth - begin), b + begin * b_stride,
                     b_stride, width, c, c_stride);
}

/// `count` is a multiple of the lanes.
void add_squares(const float* values, std::size_t count, double* lanes) {
  double sums[kPanelLanes];
  for (std::size_t lane = 0; lane < kPanelLanes; ++lane) sums[lane] = lanes[lane];
  for (std::size_t i = 0; i < count; i += kPanelLanes)
    for (std::size_t lane = 0; lane < kPanelLanes; ++lane) {
      const auto value = static_cast<double>(values[i + lane]);
      sums[lane] += value * value;
    }
  for (std::size_t lane = 0; lane < kPanelLanes; ++lane) lanes[lane] = sums[lane];
}

void add_squared_errors(const double* values, const float* wanted, std::size_t count,
                        double* lanes) {
  double sums[kPanelLanes];
  for (std::size_t lane = 0; lane < kPanelLanes; ++lane) sums[lane] = lanes[lane];
  for (std::size_t i = 0; i < count; i += kPanelLanes)
    for (std::size_t lane = 0; lane < kPanelLanes; ++lane) {
      const double error = values[i + lane] - static_cast<double>(wanted[i + lane]);
      sums[lane] += error * error;
    }
  for (std::size_t lane = 0; lane < kPanelLanes; ++lane) lanes[lane] = sums[lane];
}

void subtract_lanes(const double* a, const double* b, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<float>(a[i] - b[i]);
}

}  // namespace kilter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter {
namespace {

HWY_EXPORT(add_product_floats);
HWY_EXPORT(add_product_doubles);
HWY_EXPORT(add_squares);
HWY_EXPORT(add_squared_errors);
HWY_EXPORT(subtract_lanes);

double total_of_lanes(const double (&lanes)[kPanelLanes]) {
  double out = 0;
  for (const double lane : lanes) out += lane;
  return out;
}

}  // namespace

void add_panel_product(const StridedFloats& a, const float* b, std::size_t b_stride,
                       std::size_t width, double* c, std::size_t c_stride) {
  HWY_DYNAMIC_DISPATCH(add_product_floats)(a, b, b_stride, width, c, c_stride);
}

void add_panel_product(const StridedFloats& a, const double* b, std::size_t b_stride,
                       std::size_t width, double* c, std::size_t c_stride) {
  HWY_DYNAMIC_DISPATCH(add_product_doubles)(a, b, b_stride, width, c, c_stride);
}

double sum_of_squares(std::span<const float> values) {
  double lanes[kPanelLanes] = {};
  const std::size_t whole = values.size() - values.size() % kPanelLanes;
  HWY_DYNAMIC_DISPATCH(add_squares)(values.data(), whole, lanes);
  for (std::size_t i = whole; i < values.size(); ++i) {
    const auto value = static_cast<double>(values[i]);
    lanes[i - whole] += value * value;
  }
  return total_of_lanes(lanes);
}

double sum_of_squared_errors(std::span<const double> values, const float* wanted) {
  double lanes[kPanelLanes] = {};
  const std::size_t whole = values.size() - values.size() % kPanelLanes;
  HWY_DYNAMIC_DISPATCH(add_squared_errors)(values.data(), wanted, whole, lanes);
  for (std::size_t i = whole; i < values.size(); ++i) {
    const double error = values[i] - static_cast<double>(wanted[i]);
    lanes[i - whole] += error * error;
  }
  return total_of_lanes(lanes);
}

void subtract_to_float(std::span<const double> a, const double* b, float* out) {
  HWY_DYNAMIC_DISPATCH(subtract_lanes)(a.data(), b, a.size(), out);
}

}  // namespace kilter
#endif  // HWY_ONCE

#include "store/format/element.h"

namespace kilter::store {

Element element_of(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
    case DType::kBC32:
    case DType::kV2:
      return Element::kBf16;
    case DType::kF16:
    case DType::kC32:
      return Element::kF16;
    case DType::kF32:
    case DType::kC64:
      return Element::kF32;
    case DType::kF64:
    case DType::kC128:
      return Element::kF64;
    case DType::kF8E4M3FN:
    case DType::kF8E4M3FNUZ:
      return Element::kF8E4M3;
    case DType::kF8E5M2:
    case DType::kF8E5M2FNUZ:
      return Element::kF8E5M2;
    case DType::kI16:
    case DType::kU16:
      return Element::kInt16;
    case DType::kI32:
    case DType::kU32:
    case DType::kQI32:
      return Element::kInt32;
    case DType::kI64:
    case DType::kU64:
      return Element::kInt64;
    default:
      return Element::kBytes;
  }
}

std::uint64_t piece_bytes_of(DType dtype) {
  const std::uint64_t bits = dtype_row(dtype).bits;
  const std::uint64_t bytes = bits < 8 ? 1 : bits / 8;
  return kPieceElements * bytes;
}

}  // namespace kilter::store

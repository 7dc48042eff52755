#include "kilter/dtype.h"

#include <algorithm>
#include <array>

namespace kilter {
namespace {

using D = DType;
using K = DTypeKind;

// Sources: safetensors' `Dtype` enumeration (safetensors/src/tensor.rs); torch's dtypes and
// storages (c10/core/ScalarType.h, torch/storage.py); numpy's type strings (numpy.lib.format).
// One row for each enumerator, in their order.
constexpr std::array kTable = {
    // dtype, name, safetensors, torch, torch_storage, numpy, bits, swap_bytes, kind
    DTypeRow{D::kBool, "bool", "BOOL", "bool", "BoolStorage", "|b1", 8, 1, K::kBool},
    DTypeRow{D::kU8, "u8", "U8", "uint8", "ByteStorage", "|u1", 8, 1, K::kInteger},
    DTypeRow{D::kI8, "i8", "I8", "int8", "CharStorage", "|i1", 8, 1, K::kInteger},
    DTypeRow{D::kU16, "u16", "U16", "uint16", "", "<u2", 16, 2, K::kInteger},
    DTypeRow{D::kI16, "i16", "I16", "int16", "ShortStorage", "<i2", 16, 2, K::kInteger},
    DTypeRow{D::kU32, "u32", "U32", "uint32", "", "<u4", 32, 4, K::kInteger},
    DTypeRow{D::kI32, "i32", "I32", "int32", "IntStorage", "<i4", 32, 4, K::kInteger},
    DTypeRow{D::kU64, "u64", "U64", "uint64", "", "<u8", 64, 8, K::kInteger},
    DTypeRow{D::kI64, "i64", "I64", "int64", "LongStorage", "<i8", 64, 8, K::kInteger},
    DTypeRow{D::kF16, "f16", "F16", "float16", "HalfStorage", "<f2", 16, 2, K::kFloat},
    DTypeRow{D::kBF16, "bf16", "BF16", "bfloat16", "BFloat16Storage", "", 16, 2, K::kFloat},
    DTypeRow{D::kF32, "f32", "F32", "float32", "FloatStorage", "<f4", 32, 4, K::kFloat},
    DTypeRow{D::kF64, "f64", "F64", "float64", "DoubleStorage", "<f8", 64, 8, K::kFloat},
    DTypeRow{D::kC32, "c32", "", "complex32", "", "", 32, 2, K::kComplex},
    DTypeRow{D::kC64, "c64", "C64", "complex64", "ComplexFloatStorage", "<c8", 64, 4, K::kComplex},
    DTypeRow{D::kC128, "c128", "", "complex128", "ComplexDoubleStorage", "<c16", 128, 8,
             K::kComplex},
    DTypeRow{D::kF8E4M3FN, "f8_e4m3fn", "F8_E4M3", "float8_e4m3fn", "", "", 8, 1, K::kFloat},
    DTypeRow{D::kF8E5M2, "f8_e5m2", "F8_E5M2", "float8_e5m2", "", "", 8, 1, K::kFloat},
    DTypeRow{D::kF8E4M3FNUZ, "f8_e4m3fnuz", "F8_E4M3FNUZ", "float8_e4m3fnuz", "", "", 8, 1,
             K::kFloat},
    DTypeRow{D::kF8E5M2FNUZ, "f8_e5m2fnuz", "F8_E5M2FNUZ", "float8_e5m2fnuz", "", "", 8, 1,
             K::kFloat},
    DTypeRow{D::kF8E8M0FNU, "f8_e8m0fnu", "F8_E8M0", "float8_e8m0fnu", "", "", 8, 1, K::kFloat},
    DTypeRow{D::kF6E2M3, "f6_e2m3", "F6_E2M3", "", "", "", 6, 1, K::kFloat},
    DTypeRow{D::kF6E3M2, "f6_e3m2", "F6_E3M2", "", "", "", 6, 1, K::kFloat},
    DTypeRow{D::kF4E2M1, "f4_e2m1", "F4", "float4_e2m1fn_x2", "", "", 4, 1, K::kFloat},
    DTypeRow{D::kQI8, "qi8", "", "qint8", "QInt8Storage", "", 8, 1, K::kQuantized},
    DTypeRow{D::kQU8, "qu8", "", "quint8", "QUInt8Storage", "", 8, 1, K::kQuantized},
    DTypeRow{D::kQI32, "qi32", "", "qint32", "QInt32Storage", "", 32, 4, K::kQuantized},
    DTypeRow{D::kQU4x2, "qu4x2", "", "quint4x2", "QUInt4x2Storage", "", 4, 1, K::kQuantized},
    DTypeRow{D::kQU2x4, "qu2x4", "", "quint2x4", "QUInt2x4Storage", "", 2, 1, K::kQuantized},
    DTypeRow{D::kU1, "u1", "", "uint1", "", "", 8, 1, K::kInteger},
    DTypeRow{D::kU2, "u2", "", "uint2", "", "", 8, 1, K::kInteger},
    DTypeRow{D::kU3, "u3", "", "uint3", "", "", 8, 1, K::kInteger},
    DTypeRow{D::kU4, "u4", "", "uint4", "", "", 8, 1, K::kInteger},
    DTypeRow{D::kU5, "u5", "", "uint5", "", "", 8, 1, K::kInteger},
    DTypeRow{D::kU6, "u6", "", "uint6", "", "", 8, 1, K::kInteger},
    DTypeRow{D::kU7, "u7", "", "uint7", "", "", 8, 1, K::kInteger},
    DTypeRow{D::kI1, "i1", "", "int1", "", "", 8, 1, K::kInteger},
    DTypeRow{D::kI2, "i2", "", "int2", "", "", 8, 1, K::kInteger},
    DTypeRow{D::kI3, "i3", "", "int3", "", "", 8, 1, K::kInteger},
    DTypeRow{D::kI4, "i4", "", "int4", "", "", 8, 1, K::kInteger},
    DTypeRow{D::kI5, "i5", "", "int5", "", "", 8, 1, K::kInteger},
    DTypeRow{D::kI6, "i6", "", "int6", "", "", 8, 1, K::kInteger},
    DTypeRow{D::kI7, "i7", "", "int7", "", "", 8, 1, K::kInteger},
    DTypeRow{D::kV2, "v2", "", "", "", "|V2", 16, 1, K::kVoid},
    DTypeRow{D::kBits8, "bits8", "", "bits8", "", "", 8, 1, K::kVoid},
    DTypeRow{D::kBits16, "bits16", "", "bits16", "", "", 16, 2, K::kVoid},
    DTypeRow{D::kBits1x8, "bits1x8", "", "bits1x8", "", "", 8, 1, K::kVoid},
    DTypeRow{D::kBits2x4, "bits2x4", "", "bits2x4", "", "", 8, 1, K::kVoid},
    DTypeRow{D::kBits4x2, "bits4x2", "", "bits4x2", "", "", 8, 1, K::kVoid},
    DTypeRow{D::kBC32, "bc32", "", "bcomplex32", "", "", 32, 2, K::kComplex},
};

constexpr bool rows_stand_at_their_dtype() {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<std::size_t>(kTable[i].dtype) != i) return false;
  }
  return kTable.size() == kDTypeCount;
}
static_assert(rows_stand_at_their_dtype());

struct Alias {
  std::string_view name;
  DType dtype;
};

// Second names that torch gives its dtypes; pickles hold the first ones, people type these too.
constexpr std::array kTorchAliases = {
    Alias{"half", D::kF16},  Alias{"float", D::kF32},  Alias{"double", D::kF64},
    Alias{"short", D::kI16}, Alias{"int", D::kI32},    Alias{"long", D::kI64},
    Alias{"chalf", D::kC32}, Alias{"cfloat", D::kC64}, Alias{"cdouble", D::kC128},
    Alias{"bit", D::kU1},
};

/// Rows in the order of one of their names: headers of ten thousand tensors look each dtype up.
template <std::string_view DTypeRow::* kName>
class Names {
 public:
  constexpr Names() {
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<std::uint8_t>(i);
    std::sort(order_.begin(), order_.end(),
              [](std::uint8_t a, std::uint8_t b) { return kTable[a].*kName < kTable[b].*kName; });
  }

  std::optional<DType> find(std::string_view name) const {
    if (name.empty()) return std::nullopt;  // stands for "none" in the table
    const auto at = std::lower_bound(
        order_.begin(), order_.end(), name,
        [](std::uint8_t row, std::string_view wanted) { return kTable[row].*kName < wanted; });
    if (at == order_.end() || kTable[*at].*kName != name) return std::nullopt;
    return kTable[*at].dtype;
  }

 private:
  std::array<std::uint8_t, kTable.size()> order_{};
};

constexpr Names<&DTypeRow::name> kNames;
constexpr Names<&DTypeRow::safetensors> kSafetensorsNames;
constexpr Names<&DTypeRow::torch> kTorchNames;
constexpr Names<&DTypeRow::torch_storage> kTorchStorageNames;

}  // namespace

std::span<const DTypeRow> dtype_table() { return kTable; }

const DTypeRow& dtype_row(DType dtype) { return kTable[static_cast<std::size_t>(dtype)]; }

std::optional<DType> dtype_from_name(std::string_view name) { return kNames.find(name); }

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  return kSafetensorsNames.find(name);
}

std::optional<DType> dtype_from_torch(std::string_view name) {
  if (const auto found = kTorchNames.find(name)) return found;
  const auto* alias = std::find_if(kTorchAliases.begin(), kTorchAliases.end(),
                                   [name](const Alias& a) { return a.name == name; });
  if (alias == kTorchAliases.end()) return std::nullopt;
  return alias->dtype;
}

std::optional<DType> dtype_from_torch_storage(std::string_view name) {
  return kTorchStorageNames.find(name);
}

}  // namespace kilter

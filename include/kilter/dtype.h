// Element types. Owned by the floor `tensor`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace kilter {

/// Every dtype of safetensors and torch. One row each in `dtype_table()`.
enum class DType : std::uint8_t {
  kBool,
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kU64,
  kI64,
  kF16,
  kBF16,
  kF32,
  kF64,
  kC32,
  kC64,
  kC128,  ///< complex of f16, f32, f64
  kF8E4M3FN,
  kF8E5M2,
  kF8E4M3FNUZ,
  kF8E5M2FNUZ,
  kF8E8M0FNU,
  kF6E2M3,
  kF6E3M2,  ///< 6 bits, packed, as safetensors counts them
  kF4E2M1,  ///< 4 bits, packed two to a byte, low nibble first
  kQI8,
  kQU8,
  kQI32,
  kQU4x2,
  kQU2x4,  ///< torch quantized storage
  kU1,
  kU2,
  kU3,
  kU4,
  kU5,
  kU6,
  kU7,  ///< torch.uintN shells (one byte an element)
  kI1,
  kI2,
  kI3,
  kI4,
  kI5,
  kI6,
  kI7,  ///< torch.intN shells (one byte an element)
  kV2,  ///< numpy void of 2 bytes: bf16 as numpy saves it
  kBits8,
  kBits16,
  kBits1x8,
  kBits2x4,
  kBits4x2,  ///< torch.bitsN shells: bytes (bits16: pairs) without meaning as numbers
  kBC32,     ///< complex of bf16 (torch.bcomplex32)
};

inline constexpr std::size_t kDTypeCount = static_cast<std::size_t>(DType::kBC32) + 1;

enum class DTypeKind : std::uint8_t { kBool, kInteger, kFloat, kComplex, kQuantized, kVoid };

/// One row of the table of dtypes.
struct DTypeRow {
  DType dtype;
  std::string_view name;           ///< ours, in text and JSON: "bf16", "f8_e4m3fn", "f4_e2m1"
  std::string_view safetensors;    ///< "BF16"; empty where that format has none
  std::string_view torch;          ///< "bfloat16", as in torch.bfloat16; empty where none
  std::string_view torch_storage;  ///< "BFloat16Storage"; empty where torch has no typed storage
  std::string_view numpy;          ///< "<f4" little-endian descriptor; empty where none
  std::uint16_t bits;              ///< of one logical element
  std::uint8_t swap_bytes;         ///< unit of a byte swap: 4 for f32 and c64; 1 where none
  DTypeKind kind;
};

/// One row for each DType, in the enumerators' order.
std::span<const DTypeRow> dtype_table();
const DTypeRow& dtype_row(DType dtype);
inline std::string_view dtype_name(DType dtype) { return dtype_row(dtype).name; }

/// By each naming; nullopt if unknown.
std::optional<DType> dtype_from_name(std::string_view name);
std::optional<DType> dtype_from_safetensors(std::string_view name);
/// "bfloat16"; also torch's second names ("half", "cfloat"). Where torch's shape counts bytes that
/// hold two elements (float4_e2m1fn_x2), the reader doubles the last dimension: ours counts
/// logical elements.
std::optional<DType> dtype_from_torch(std::string_view name);
std::optional<DType> dtype_from_torch_storage(std::string_view name);  ///< "BFloat16Storage"

}  // namespace kilter

#include "formats/npy/npy_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/checked.h"
#include "base/text.h"
#include "base/try.h"
#include "formats/npy/literal.h"

namespace kilter::npy {
namespace {

constexpr std::uint64_t kAlignBytes = 64;  // numpy pads so that the data can be mapped

struct Code {
  std::string_view code;  // kind and size, without the byte order
  DType dtype;
};
// Source: numpy's array-protocol type strings; f1 and V2 as ml_dtypes registers them.
constexpr std::array kCodes = {
    Code{"b1", DType::kBool},   Code{"i1", DType::kI8},    Code{"i2", DType::kI16},
    Code{"i4", DType::kI32},    Code{"i8", DType::kI64},   Code{"u1", DType::kU8},
    Code{"u2", DType::kU16},    Code{"u4", DType::kU32},   Code{"u8", DType::kU64},
    Code{"f2", DType::kF16},    Code{"f4", DType::kF32},   Code{"f8", DType::kF64},
    Code{"c8", DType::kC64},    Code{"c16", DType::kC128}, Code{"V2", DType::kV2},
    Code{"f1", DType::kF8E5M2}, Code{"?", DType::kBool},
};

/// Splits "<f4" and looks it up. Byte order '=' is the writer's own, which was little-endian on
/// every machine numpy runs on today.
void classify(NpyHeader* header) {
  std::string_view code = header->descr;
  bool big = false;
  if (!code.empty() && std::string_view("<>=|").find(code[0]) != std::string_view::npos) {
    big = code[0] == '>';
    code.remove_prefix(1);
  }
  if (code == "O" || code == "O8" || code == "O4") {
    header->elements = Elements::kObjects;
    return;
  }
  const auto* row =
      std::find_if(kCodes.begin(), kCodes.end(), [&](const Code& c) { return c.code == code; });
  if (row == kCodes.end()) return;
  header->elements = Elements::kNumbers;
  header->dtype = row->dtype;
  // Two opaque bytes have no order to swap by.
  header->big_endian = big && row->dtype != DType::kV2;
}

struct Prefix {
  int major = 0;
  std::uint64_t begin = 0;  // of the literal
  std::uint64_t literal_bytes = 0;
};

Result<Prefix> parse_prefix(Bytes head, std::uint64_t file_offset_bytes) {
  ByteReader reader(head, file_offset_bytes);
  KILTER_ASSIGN(const Bytes magic, reader.take(kMagic.size()));
  if (as_text(magic) != kMagic)
    return fail(Error(ErrorCode::kMalformed, "this is no numpy array")
                    .at_offset(file_offset_bytes)
                    .wanted("\\x93NUMPY", '"' + escape_text(as_text(magic)) + '"'));
  KILTER_ASSIGN(const std::uint8_t major, reader.u8());
  KILTER_ASSIGN(const std::uint8_t minor, reader.u8());
  if (major < 1 || major > 3 || minor != 0)
    return fail(Error(ErrorCode::kUnsupported, "the numpy format's version is unknown")
                    .at_offset(file_offset_bytes + kMagic.size())
                    .wanted("1.0, 2.0 or 3.0", fmt::format("{}.{}", major, minor)));
  Prefix out;
  out.major = major;
  if (major == 1) {
    KILTER_ASSIGN(out.literal_bytes, reader.u16_le());
  } else {
    KILTER_ASSIGN(out.literal_bytes, reader.u32_le());
  }
  out.begin = reader.position();
  if (out.literal_bytes > kHeaderBytesMax)
    return fail(Error(ErrorCode::kLimitExceeded, "the numpy header is too large")
                    .at_offset(file_offset_bytes + 8)
                    .wanted(fmt::format("at most {} bytes", kHeaderBytesMax),
                            fmt::format("{} bytes", out.literal_bytes)));
  return out;
}

}  // namespace

Result<std::uint64_t> npy_header_bytes(Bytes head, std::uint64_t file_offset_bytes) {
  KILTER_ASSIGN(const Prefix prefix, parse_prefix(head, file_offset_bytes));
  return prefix.begin + prefix.literal_bytes;
}

Result<NpyHeader> parse_npy_header(Bytes head, std::uint64_t file_offset_bytes) {
  KILTER_ASSIGN(const Prefix prefix, parse_prefix(head, file_offset_bytes));
  if (!range_fits(prefix.begin, prefix.literal_bytes, head.size()))
    return fail(Error(ErrorCode::kMalformed, "the file is cut off inside the numpy header")
                    .at_offset(file_offset_bytes + 8)
                    .wanted(fmt::format("{} bytes of header", prefix.literal_bytes),
                            fmt::format("{} bytes", head.size() - prefix.begin))
                    .advise("fetch the file again"));
  auto literal = parse_header_literal(as_text(head.subspan(prefix.begin, prefix.literal_bytes)));
  if (!literal) {
    Error error = std::move(literal).error();
    error.offset_bytes = file_offset_bytes + prefix.begin + error.offset_bytes.value_or(0);
    return fail(std::move(error));
  }
  NpyHeader out;
  out.major = prefix.major;
  out.descr = std::move(literal->descr);
  out.fortran_order = literal->fortran_order;
  out.shape = std::move(literal->shape);
  out.data_offset_bytes = prefix.begin + prefix.literal_bytes;
  if (literal->is_string) classify(&out);
  return out;
}

std::string_view numpy_descr(DType dtype) {
  const DTypeRow& row = dtype_row(dtype);
  if (dtype == DType::kBF16 || dtype == DType::kV2) return "|V2";
  if (!row.numpy.empty()) return row.numpy;
  return row.bits == 8 ? "|u1" : "";
}

std::string make_npy_header(std::string_view descr, const std::vector<std::int64_t>& shape) {
  std::string literal = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}",
                                    descr, fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
  const std::uint64_t prefix_bytes = kMagic.size() + 4;
  const std::uint64_t total = round_up(prefix_bytes + literal.size() + 1, kAlignBytes);
  literal.resize(total - prefix_bytes - 1, ' ');
  literal += '\n';
  std::string out(kMagic);
  out += '\1';
  out += '\0';
  out += static_cast<char>(literal.size() & 0xff);
  out += static_cast<char>(literal.size() >> 8);
  return out + literal;
}

}  // namespace kilter::npy

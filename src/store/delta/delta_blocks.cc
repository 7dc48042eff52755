#include "store/delta/delta_blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/try.h"
#include "store/format/element.h"

namespace kilter::store {
namespace {

tl::unexpected<Error> bad_delta_block(ErrorCode code, std::string what) {
  return fail(code, "the delta is damaged: " + std::move(what));
}

bool casts_from_f32(DType dtype) {
  return dtype == DType::kBF16 || dtype == DType::kF16 || dtype == DType::kF8E4M3FN ||
         dtype == DType::kF8E5M2;
}

}  // namespace

std::optional<BaseWindow> BaseWindow::between(const TensorInfo& result, const TensorInfo& base) {
  BaseWindow out;
  out.base_bytes_ = base.bytes();
  out.element_ = element_of(base.dtype);
  if (result.dtype == base.dtype) return out;
  if (base.dtype != DType::kF32 || !casts_from_f32(result.dtype)) return std::nullopt;
  out.same_dtype_ = false;
  out.factor_ = 32U / dtype_row(result.dtype).bits;
  return out;
}

std::optional<BaseWindow::Range> BaseWindow::range(std::uint64_t offset_bytes,
                                                   std::uint64_t bytes) const {
  const auto begin = checked_mul<std::uint64_t>(offset_bytes, factor_);
  const auto size = checked_mul<std::uint64_t>(bytes, factor_);
  if (!begin || !size || !range_fits(*begin, *size, base_bytes_)) return std::nullopt;
  return Range{*begin, *size};
}

Result<std::vector<DeltaBlock>> read_delta_directory(Bytes directory, std::uint64_t plain_bytes,
                                                     std::uint64_t payload_bytes) {
  std::vector<DeltaBlock> blocks(delta_block_count(plain_bytes));
  if (directory.size() != blocks.size() * 4 || directory.size() > payload_bytes)
    return bad_delta_block(ErrorCode::kMalformed, "a directory is cut off");
  std::uint64_t at = directory.size();
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const auto word = load_le<std::uint32_t>(directory, 4 * i);
    blocks[i] = {static_cast<std::uint8_t>(word >> kDeltaSizeBits),
                 word & ((1U << kDeltaSizeBits) - 1), at};
    at += blocks[i].bytes;  // at most 2^28 each: no overflow
    if (blocks[i].bytes > delta_block_bytes(plain_bytes, i))
      return bad_delta_block(ErrorCode::kMalformed, "a block is larger than its plain bytes");
  }
  if (at == payload_bytes) return blocks;
  return fail(Error(ErrorCode::kMalformed, "the delta is damaged: its blocks do not add up")
                  .wanted(fmt::format("{} bytes", at), fmt::format("{} bytes", payload_bytes)));
}

EncodedDeltaBlock encode_delta_block(Element element, Bytes plain,
                                     const std::optional<BaseWindow>& between, Bytes window) {
  std::vector<CodecBase> bases;
  if (between && !window.empty()) {
    if (between->same_dtype() && std::ranges::equal(plain, window)) return {kDeltaSame, {}};
    bases.push_back({between->element(), window});
  }
  EncodedChunk chunk = encode_smallest(element, plain, bases, Effort::kSmall);
  return {static_cast<std::uint8_t>(chunk.form), std::move(chunk.payload)};
}

Result<bool> delta_form_needs_window(std::uint8_t form, const std::optional<BaseWindow>& between) {
  const bool wants_same = form == kDeltaSame || form == static_cast<std::uint8_t>(Form::kDelta);
  const bool wants_cast = form == static_cast<std::uint8_t>(Form::kCast);
  if (!wants_same && !wants_cast) {
    if (form <= static_cast<std::uint8_t>(Form::kExponent)) return false;
    return bad_delta_block(ErrorCode::kMalformed, fmt::format("a block has no form {}", form));
  }
  if (between && between->same_dtype() == wants_same) return true;
  return bad_delta_block(ErrorCode::kMalformed,
                         "a block leans on a tensor that the base does not have");
}

Status decode_delta_block(std::uint8_t form, Element element, Bytes payload,
                          const std::optional<BaseWindow>& between, Bytes window,
                          std::span<std::byte> plain) {
  if (form == kDeltaSame) {
    if (!payload.empty() || window.size() != plain.size())
      return bad_delta_block(ErrorCode::kCorrupt,
                             "a block that is the base's has bytes of its own");
    std::memcpy(plain.data(), window.data(), plain.size());
    return {};
  }
  const Codec* const codec = find_codec(static_cast<Form>(form));
  if (codec == nullptr) return bad_delta_block(ErrorCode::kCorrupt, "a block has no such form");
  const CodecBase base{between ? between->element() : Element::kBytes, window};
  return codec->decode(element, payload, codec->needs_base() ? &base : nullptr, plain);
}

}  // namespace kilter::store

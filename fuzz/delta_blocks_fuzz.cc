// A tensor's blocks in a delta: the first bytes say what its plain bytes are like, the rest is the
// payload. Nothing outside is touched, and a block that decodes is as long as it should be.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/raw_bytes.h"
#include "store/delta/delta_blocks.h"
#include "store/format/element.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kilter;
  using namespace kilter::store;
  if (size < 4) return 0;
  constexpr DType kDTypes[] = {DType::kU8,  DType::kBF16,     DType::kF16, DType::kF32,
                               DType::kF64, DType::kF8E4M3FN, DType::kI64, DType::kBF16};
  TensorInfo result, base;
  result.dtype = kDTypes[data[0] % 8];
  base.dtype = data[0] & 8 ? DType::kF32 : result.dtype;
  result.shape = {(data[1] | data[2] << 8) + (data[0] & 16 ? 600000 : 0)};
  base.shape = {result.shape[0] - (data[3] % 4 == 1 ? 1 : 0)};
  if (base.shape[0] < 0) return 0;
  const Bytes payload{reinterpret_cast<const std::byte*>(data + 4), size - 4};
  const std::uint64_t plain_bytes = result.bytes();
  if (delta_block_count(plain_bytes) * 4 > payload.size()) return 0;
  const auto blocks = read_delta_directory(payload.first(delta_block_count(plain_bytes) * 4),
                                           plain_bytes, payload.size());
  if (!blocks) return 0;
  const auto between = BaseWindow::between(result, base);
  for (std::size_t i = 0; i < blocks->size(); ++i) {
    const DeltaBlock& block = (*blocks)[i];
    const auto needs = delta_form_needs_window(block.form, between);
    if (!needs) return 0;
    RawBytes window, plain(delta_block_bytes(plain_bytes, i));
    if (*needs) {
      const auto range = between->range(i * kDeltaBlockBytes, plain.size());
      if (!range) return 0;
      window.assign(range->bytes, std::byte{0x3f});
    }
    const auto decoded = decode_delta_block(block.form, element_of(result.dtype),
                                            payload.subspan(block.offset_bytes, block.bytes),
                                            between, window, plain);
    if (!decoded) return 0;
  }
  return 0;
}

#include "flow/unzstd.h"

#include <zstd.h>

#include <algorithm>
#include <array>

#include "base/try.h"

namespace kilter::flow {
namespace {

constexpr std::size_t kZstdInputBytes = 64 * 1024;
constexpr std::size_t kZstdSkipBytes = 16 * 1024;
/// Frames that want a larger window than 128 MiB need a decoder told so; nobody writes them here.
constexpr int kWindowLogMax = 27;

Error zstd_error(const StorageInfo& storage, std::uint64_t taken_bytes, std::string message) {
  return Error(ErrorCode::kMalformed, "storage \"" + storage.name + "\": " + message)
      .at_offset(storage.offset_bytes + taken_bytes);
}

}  // namespace

struct ZstdCursor::Stream {
  ZSTD_DCtx* context = nullptr;
  std::array<std::byte, kZstdInputBytes> input;
  ZSTD_inBuffer in{nullptr, 0, 0};
  bool between_frames = true;
};

ZstdCursor::ZstdCursor(const StorageInfo& storage)
    : storage_(storage), stream_(std::make_unique<Stream>()) {}

ZstdCursor::~ZstdCursor() { ZSTD_freeDCtx(stream_->context); }

Result<std::unique_ptr<StreamCursor>> ZstdCursor::make(const StorageInfo& storage) {
  std::unique_ptr<ZstdCursor> cursor(new ZstdCursor(storage));
  cursor->stream_->context = ZSTD_createDCtx();
  if (cursor->stream_->context == nullptr ||
      ZSTD_isError(
          ZSTD_DCtx_setParameter(cursor->stream_->context, ZSTD_d_windowLogMax, kWindowLogMax)))
    return fail(ErrorCode::kLimitExceeded, "no memory to decompress");
  return cursor;
}

Result<std::size_t> ZstdCursor::read_some(const StoredRead& read, std::span<std::byte> out) {
  Stream& stream = *stream_;
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  while (to.pos < to.size) {
    if (stream.in.pos == stream.in.size) {
      const std::uint64_t left = storage_.stored_bytes - taken_bytes_;
      if (left == 0) break;
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left, kZstdInputBytes));
      KILTER_TRY(read(taken_bytes_, std::span(stream.input).first(count)));
      taken_bytes_ += count;
      stream.in = {stream.input.data(), count, 0};
    }
    const std::size_t state = ZSTD_decompressStream(stream.context, &to, &stream.in);
    if (ZSTD_isError(state) != 0)
      return fail(zstd_error(
          storage_, taken_bytes_ - (stream.in.size - stream.in.pos),
          std::string("the compressed data is broken (") + ZSTD_getErrorName(state) + ")"));
    stream.between_frames = state == 0;
  }
  // What the decoder still holds comes without further input.
  while (to.pos < to.size && !stream.between_frames) {
    const std::size_t before = to.pos;
    const std::size_t state = ZSTD_decompressStream(stream.context, &to, &stream.in);
    if (ZSTD_isError(state) != 0 || (to.pos == before && state != 0))
      return fail(zstd_error(storage_, taken_bytes_, "the compressed data ends too early"));
    stream.between_frames = state == 0;
  }
  position_ += to.pos;
  return to.pos;
}

Status ZstdCursor::read(const StoredRead& read, std::uint64_t offset_bytes,
                        std::span<std::byte> out) {
  std::array<std::byte, kZstdSkipBytes> dropped;
  while (position_ < offset_bytes) {
    const auto step =
        static_cast<std::size_t>(std::min<std::uint64_t>(offset_bytes - position_, kZstdSkipBytes));
    KILTER_ASSIGN(const std::size_t count, read_some(read, std::span(dropped).first(step)));
    if (count < step) break;
  }
  KILTER_ASSIGN(const std::size_t count, read_some(read, out));
  if (count == out.size()) return ok();
  return fail(zstd_error(storage_, taken_bytes_, "the compressed data ends too early")
                  .wanted(std::to_string(storage_.bytes) + " bytes after decoding",
                          std::to_string(position_) + " bytes"));
}

Result<std::vector<std::byte>> decode_zstd(const StoredRead& read, std::uint64_t stored_bytes,
                                           std::uint64_t bytes_max) {
  constexpr std::size_t kStepBytes = 64 * 1024;
  StorageInfo storage;
  storage.coding = StorageCoding::kZstd;
  storage.stored_bytes = stored_bytes;
  KILTER_ASSIGN(const auto cursor, ZstdCursor::make(storage));
  auto& stream = static_cast<ZstdCursor&>(*cursor);
  std::vector<std::byte> out;
  while (out.size() < bytes_max) {
    const std::size_t before = out.size();
    // Twice as much each time: what a short stream claims costs nothing.
    const auto step = static_cast<std::size_t>(
        std::min<std::uint64_t>(bytes_max - before, std::max(kStepBytes, before)));
    out.resize(before + step);
    KILTER_ASSIGN(const std::size_t count, stream.read_some(read, std::span(out).subspan(before)));
    out.resize(before + count);
    if (count < step) break;
  }
  return out;
}

}  // namespace kilter::flow

#include "flow/inflate.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "base/try.h"
#include "flow/unzstd.h"

namespace kilter::flow {
namespace {

constexpr std::size_t kInputBytes = 64 * 1024;
constexpr std::size_t kSkipBytes = 16 * 1024;
constexpr std::size_t kStepBytesMax = std::size_t{1} << 30;  // zlib counts in 32 bits

Error stream_error(const StorageInfo& storage, std::uint64_t taken_bytes, std::string message) {
  return Error(ErrorCode::kMalformed, "storage \"" + storage.name + "\": " + message)
      .at_offset(storage.offset_bytes + taken_bytes);
}

}  // namespace

struct InflateCursor::Stream {
  z_stream z{};
  std::array<std::byte, kInputBytes> input;
  bool open = false;
};

InflateCursor::InflateCursor(const StorageInfo& storage)
    : storage_(storage), stream_(std::make_unique<Stream>()) {}

InflateCursor::~InflateCursor() {
  if (stream_->open) inflateEnd(&stream_->z);
}

Result<std::unique_ptr<StreamCursor>> InflateCursor::make(const StorageInfo& storage) {
  std::unique_ptr<InflateCursor> cursor(new InflateCursor(storage));
  if (inflateInit2(&cursor->stream_->z, -MAX_WBITS) != Z_OK)
    return fail(ErrorCode::kLimitExceeded, "no memory to decompress");
  cursor->stream_->open = true;
  return cursor;
}

Status InflateCursor::read(const StoredRead& read, std::uint64_t offset_bytes,
                           std::span<std::byte> out) {
  std::array<std::byte, kSkipBytes> dropped;
  while (position_ < offset_bytes) {
    const std::size_t step = std::min<std::uint64_t>(offset_bytes - position_, dropped.size());
    KILTER_TRY(produce(read, std::span(dropped).first(step)));
  }
  while (!out.empty()) {
    const std::size_t step = std::min(out.size(), kStepBytesMax);
    KILTER_TRY(produce(read, out.first(step)));
    out = out.subspan(step);
  }
  return position_ == storage_.bytes ? finish(read) : ok();
}

Status InflateCursor::refill(const StoredRead& read) {
  const std::uint64_t left = storage_.stored_bytes - taken_bytes_;
  if (left == 0)
    return fail(
        stream_error(storage_, taken_bytes_, "the compressed data ends too early")
            .wanted(std::to_string(storage_.bytes) + " bytes after decoding", "fewer than that"));
  const auto input = std::span(stream_->input).first(std::min<std::uint64_t>(left, kInputBytes));
  KILTER_TRY(read(taken_bytes_, input));
  taken_bytes_ += input.size();
  stream_->z.next_in = reinterpret_cast<Bytef*>(input.data());
  stream_->z.avail_in = static_cast<uInt>(input.size());
  return ok();
}

Status InflateCursor::produce(const StoredRead& read, std::span<std::byte> out) {
  z_stream& z = stream_->z;
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  while (z.avail_out != 0) {
    if (z.avail_in == 0) KILTER_TRY(refill(read));
    const int state = inflate(&z, Z_NO_FLUSH);
    if (state == Z_STREAM_END && z.avail_out != 0)
      return fail(
          stream_error(storage_, taken_bytes_ - z.avail_in, "the compressed data ends too early")
              .wanted(std::to_string(storage_.bytes) + " bytes after decoding",
                      std::to_string(position_ + out.size() - z.avail_out) + " bytes"));
    if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
      return fail(stream_error(storage_, taken_bytes_ - z.avail_in,
                               std::string("the compressed data is broken") +
                                   (z.msg != nullptr ? std::string(" (") + z.msg + ")" : "")));
  }
  if (storage_.crc32)
    crc32_ = static_cast<std::uint32_t>(
        ::crc32_z(crc32_, reinterpret_cast<const Bytef*>(out.data()), out.size()));
  position_ += out.size();
  return ok();
}

Status InflateCursor::finish(const StoredRead& read) {
  z_stream& z = stream_->z;
  Bytef beyond = 0;
  z.next_out = &beyond;
  z.avail_out = 1;
  // The end mark may lie in input that is still to come.
  for (int state = Z_OK; state != Z_STREAM_END;) {
    state = inflate(&z, Z_NO_FLUSH);
    if (z.avail_out == 0)
      return fail(
          stream_error(storage_, taken_bytes_ - z.avail_in,
                       "the compressed data goes on after the stated size")
              .wanted(std::to_string(storage_.bytes) + " bytes after decoding", "more than that"));
    if (state == Z_STREAM_END) break;
    if (state != Z_OK && state != Z_BUF_ERROR)
      return fail(stream_error(storage_, taken_bytes_ - z.avail_in,
                               "the compressed data is broken at its end"));
    if (z.avail_in == 0) KILTER_TRY(refill(read));
  }
  if (!storage_.crc32 || *storage_.crc32 == crc32_) return ok();
  return fail(Error(ErrorCode::kCorrupt,
                    "storage \"" + storage_.name + "\": the decoded bytes fail their CRC-32")
                  .at_offset(storage_.offset_bytes)
                  .wanted(std::to_string(*storage_.crc32), std::to_string(crc32_)));
}

Result<std::unique_ptr<StreamCursor>> make_stream_cursor(const StorageInfo& storage) {
  return storage.coding == StorageCoding::kZstd ? ZstdCursor::make(storage)
                                                : InflateCursor::make(storage);
}

bool InflateCache::should_wait(std::size_t number, std::uint64_t offset_bytes,
                               Slots::iterator best) {
  const std::uint64_t from = best == slots_.end() ? 0 : best->position;
  // A cursor at work will soon be nearer; or another reader needs what we would skip.
  for (const Slot& slot : slots_)
    if (slot.busy && slot.number == number && slot.position <= offset_bytes && slot.position > from)
      return true;
  for (const Wish& wish : wishes_)
    if (wish.number == number && wish.offset_bytes < offset_bytes && wish.offset_bytes >= from)
      return true;
  return false;
}

InflateCache::Slots::iterator InflateCache::claim(std::size_t number, std::uint64_t offset_bytes) {
  auto best = slots_.end();
  for (auto slot = slots_.begin(); slot != slots_.end(); ++slot)
    if (!slot->busy && slot->number == number && slot->position <= offset_bytes &&
        (best == slots_.end() || slot->position > best->position))
      best = slot;
  if (should_wait(number, offset_bytes, best)) return slots_.end();
  if (best != slots_.end()) return best;
  if (slots_.size() < kCursorsMax) return slots_.insert(slots_.begin(), Slot{number, nullptr});
  for (auto slot = slots_.end(); slot != slots_.begin();) {
    if ((--slot)->busy) continue;
    *slot = Slot{number, nullptr};
    return slot;
  }
  return slots_.end();
}

Status InflateCache::read(std::size_t number, const StorageInfo& storage, const StoredRead& read,
                          std::uint64_t offset_bytes, std::span<std::byte> out) {
  if (out.empty()) return ok();
  std::unique_lock lock(mutex_);
  const auto wish = wishes_.insert(wishes_.end(), Wish{number, offset_bytes});
  auto slot = claim(number, offset_bytes);
  while (slot == slots_.end()) {
    changed_.wait(lock);
    slot = claim(number, offset_bytes);
  }
  wishes_.erase(wish);
  slot->busy = true;
  slot->position = offset_bytes + out.size();
  slots_.splice(slots_.begin(), slots_, slot);
  changed_.notify_all();
  lock.unlock();
  Status status;
  if (!slot->cursor) {
    auto made = make_stream_cursor(storage);
    if (made) slot->cursor = std::move(*made);
    if (!made) status = fail(std::move(made).error());
  }
  if (status) status = slot->cursor->read(read, offset_bytes, out);
  lock.lock();
  slot->busy = false;
  if (!status) slots_.erase(slot);
  changed_.notify_all();
  return status;
}

}  // namespace kilter::flow

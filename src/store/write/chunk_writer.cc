#include "store/write/chunk_writer.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/try.h"

namespace kilter::store {
namespace {

// On a thread of its own, or when it is waited for where the system has no more threads.
constexpr auto kPublishApart = std::launch::async | std::launch::deferred;

/// A pack's name follows from its chunks. One that stores anew what a condemned pack holds must not
/// get that pack's name, or it would be removed with it: a chunk that only this one has keeps them
/// apart.
Status add_salt(PackWriter& pack) {
  const std::string text = random_hex(32);
  ChunkRecord record;
  record.digest = blake3(as_bytes(text));
  record.bytes = static_cast<std::uint32_t>(text.size());
  record.crc32 = payload_crc32(as_bytes(text));
  return pack.add(record, as_bytes(text));
}

}  // namespace

/// A chunk that is ready to be written, or needs no writing.
struct ChunkWriter::Ready {
  bool fresh = false;
  ChunkRecord record;
  RawBytes payload;
  std::uint64_t held_bytes = 0;  // of the budget
};

/// A payload on its way to the disk, and its part of the budget; whoever lets go of it last, a
/// thread of the disk's queue perhaps, gives both back.
struct ChunkWriter::Payload {
  Payload(ChunkWriter& of, Ready& ready)
      : writer(of), bytes(std::move(ready.payload)), held_bytes(ready.held_bytes) {}
  Payload(const Payload&) = delete;
  Payload& operator=(const Payload&) = delete;
  ~Payload() {
    writer.spare_.give(std::move(bytes));
    writer.release(held_bytes);
  }
  ChunkWriter& writer;
  RawBytes bytes;
  std::uint64_t held_bytes;
};

ChunkWriter::ChunkWriter(Store& store, ChunkWriterOptions options)
    : store_(store),
      options_(std::move(options)),
      index_(store.index()),
      pool_(std::make_unique<ThreadPool>(options_.thread_count)) {}

ChunkWriter::~ChunkWriter() { pool_.reset(); }

/// Waits for room; the number of the chunk.
Result<std::uint64_t> ChunkWriter::reserve(std::uint64_t bytes) {
  std::unique_lock guard(mutex_);
  const std::uint64_t most = options_.memory_bytes - spare_.bytes_max();
  // One always fits.
  changed_.wait(
      guard, [&] { return !error_ || in_flight_bytes_ == 0 || in_flight_bytes_ + bytes <= most; });
  if (!error_) return fail(error_.error());
  in_flight_bytes_ += bytes;
  return next_number_++;
}

Status ChunkWriter::add(ChunkJob job) {
  // Twice its size: the plain bytes and what they are encoded to.
  const std::uint64_t bytes = 2 * job.bytes;
  KILTER_ASSIGN(const std::uint64_t number, reserve(bytes));
  pool_->submit([this, number, bytes, job = std::move(job)]() mutable {
    run(number, bytes, [&](Ready& ready) { return make(job, ready); });
  });
  return ok();
}

Status ChunkWriter::add_made(std::function<Result<MadeChunk>()> make, std::uint64_t bytes) {
  KILTER_ASSIGN(const std::uint64_t number, reserve(bytes));
  pool_->submit([this, number, bytes, make = std::move(make)] {
    run(number, bytes, [&](Ready& ready) -> Status {
      KILTER_ASSIGN(MadeChunk made, make());
      ready.fresh = true;
      ready.record = made.record;
      ready.payload = std::move(made.payload);
      ready.record.crc32 = made.record.form == Form::kRaw ? 0 : payload_crc32(ready.payload);
      return ok();
    });
  });
  return ok();
}

Status ChunkWriter::add(std::vector<std::byte> bytes, ChunkKind kind, Digest* digest) {
  ChunkJob job;
  job.bytes = bytes.size();
  job.kind = kind;
  job.digest = digest;
  job.read = [held = std::move(bytes)](std::uint64_t at, std::span<std::byte> out) {
    std::memcpy(out.data(), held.data() + at, out.size());
    return ok();
  };
  return add(std::move(job));
}

bool ChunkWriter::add_known(std::span<const Digest> chunks, std::uint64_t plain_bytes,
                            std::span<Digest> digests) {
  if (chunks.size() != digests.size()) return false;
  for (const Digest& digest : chunks) {
    const auto there = index_->contains(digest, options_.condemned);
    if (!there || !*there) return false;
  }
  std::ranges::copy(chunks, digests.begin());
  const std::lock_guard guard(mutex_);
  totals_.chunk_count += chunks.size();
  totals_.plain_bytes += plain_bytes;
  totals_.unread_bytes += plain_bytes;
  return true;
}

void ChunkWriter::release(std::uint64_t bytes) {
  const std::lock_guard guard(mutex_);
  in_flight_bytes_ -= bytes;
  changed_.notify_all();
}

void ChunkWriter::run(std::uint64_t number, std::uint64_t bytes,
                      const std::function<Status(Ready&)>& work) {
  Ready ready;
  bool go_on = true;
  {
    const std::lock_guard guard(mutex_);
    go_on = error_.has_value();
  }
  Status made = go_on ? work(ready) : ok();
  if (!made) {
    const std::lock_guard guard(mutex_);
    if (error_) error_ = std::move(made);
    ready.fresh = false;
  }
  if (!ready.fresh) ready.payload = {};
  ready.held_bytes = std::min<std::uint64_t>(bytes, ready.payload.capacity());
  release(bytes - ready.held_bytes);
  hand_over(number, std::move(ready));
}

Status ChunkWriter::make(ChunkJob& job, Ready& ready) {
  RawBytes plain = spare_.take(static_cast<std::size_t>(job.bytes));
  ChunkRecord& record = ready.record;
  KILTER_TRY(read(job, plain, record));
  *job.digest = record.digest;
  KILTER_ASSIGN(ready.fresh, claim(record.digest));
  if (!ready.fresh) {
    spare_.give(std::move(plain));
    return ok();
  }
  EncodedChunk encoded;
  if (!leave_raw(job)) encoded = encode_smallest(job.element, plain, {}, options_.effort);
  record.form = encoded.form;
  if (encoded.form == Form::kRaw) {
    ready.payload = std::move(plain);  // its digest is its checksum
    return ok();
  }
  spare_.give(std::move(plain));
  ready.payload = std::move(encoded.payload);
  record.crc32 = payload_crc32(ready.payload);
  return ok();
}

/// The plain bytes and their digest.
Status ChunkWriter::read(ChunkJob& job, std::span<std::byte> plain, ChunkRecord& record) {
  Blake3 hasher;
  for (std::size_t at = 0; at < plain.size(); at += kChunkReadBytes) {
    const auto block = plain.subspan(at, std::min(kChunkReadBytes, plain.size() - at));
    KILTER_TRY(job.read(at, block));
    hasher.update(block);
  }
  record.digest = hasher.finish();
  record.bytes = static_cast<std::uint32_t>(plain.size());
  record.kind = job.kind;
  record.element = job.element;
  return ok();
}

/// Small chunks are not worth the question, and zeros and their like are no work to encode.
bool ChunkWriter::leave_raw(const ChunkJob& job) {
  constexpr std::uint64_t kLargeBytes = 256 << 10;
  if (options_.raw && job.kind == ChunkKind::kData) return true;
  if (!options_.keep_disk_busy || job.kind != ChunkKind::kData || job.bytes < kLargeBytes)
    return false;
  const std::lock_guard guard(mutex_);
  return raw_share_.next_is_raw();
}

/// True for the first who asks for a chunk that the store does not have.
Result<bool> ChunkWriter::claim(const Digest& digest) {
  KILTER_ASSIGN(const bool there, index_->contains(digest, options_.condemned));
  if (there) return false;
  const std::lock_guard guard(mutex_);
  return claimed_.insert(digest).second;
}

/// Whoever hands over the chunk that is next writes it and all that follow; the others go on.
void ChunkWriter::hand_over(std::uint64_t number, Ready ready) {
  std::unique_lock guard(mutex_);
  ready_.emplace(number, std::move(ready));
  if (writing_) return;
  writing_ = true;
  while (!ready_.empty() && ready_.begin()->first == next_written_) {
    Ready next = std::move(ready_.begin()->second);
    ready_.erase(ready_.begin());
    ++next_written_;
    count(next);
    if (!next.fresh || !error_) {
      in_flight_bytes_ -= next.held_bytes;
      continue;
    }
    guard.unlock();
    const std::size_t bytes = next.payload.size();
    const auto begun = std::chrono::steady_clock::now();
    Status written = write(next.record, std::make_shared<Payload>(*this, next));
    const auto took = std::chrono::steady_clock::now() - begun;
    guard.lock();
    raw_share_.written(bytes, took);
    if (!written && error_) error_ = std::move(written);
  }
  writing_ = false;
  changed_.notify_all();
}

void ChunkWriter::count(const Ready& ready) {
  ++totals_.chunk_count;
  totals_.plain_bytes += ready.record.bytes;
  if (!ready.fresh) return;
  ++totals_.new_chunk_count;
  totals_.new_plain_bytes += ready.record.bytes;
  totals_.stored_bytes += ready.payload.size();
}

Status ChunkWriter::write(const ChunkRecord& record, std::shared_ptr<const Payload> payload) {
  if (options_.discard) return ok();
  if (pack_ == nullptr) {
    KILTER_ASSIGN(pack_, PackWriter::begin(store_.place()));
    if (!options_.condemned.empty()) KILTER_TRY(add_salt(*pack_));
  }
  const Bytes bytes = payload->bytes;
  KILTER_TRY(pack_->add(record, bytes, std::move(payload)));
  return pack_->full() ? close_pack() : ok();
}

Status ChunkWriter::close_pack() {
  if (pack_ == nullptr) return ok();
  KILTER_ASSIGN(PackWriter::Finished finished, pack_->seal());
  KILTER_TRY(wait_published());
  publishing_ = std::async(kPublishApart, [pack = std::shared_ptr<PackWriter>(std::move(pack_))] {
    return pack->publish();
  });
  const auto number = static_cast<std::uint32_t>(content_.packs.size());
  content_.packs.push_back(finished.pack);
  for (const ChunkRecord& record : finished.records) content_.chunks.push_back({record, number});
  return ok();
}

Status ChunkWriter::wait() {
  std::unique_lock guard(mutex_);
  changed_.wait(guard, [&] { return next_written_ == next_number_ && !writing_; });
  return error_;
}

Status ChunkWriter::wait_published() { return publishing_.valid() ? publishing_.get() : ok(); }

Result<IndexContent> ChunkWriter::take_closed() {
  KILTER_TRY(wait_published());
  return std::exchange(content_, {});
}

Result<IndexContent> ChunkWriter::finish() {
  KILTER_TRY(wait());
  pool_->wait_idle();
  KILTER_TRY(close_pack());
  return take_closed();
}

}  // namespace kilter::store

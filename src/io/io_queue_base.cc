#include "io/io_queue_base.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/checked.h"
#include "io/buffer_pool.h"
#include "io/os_error.h"
#include "io/transfer.h"

namespace kilter::io {

Transfer::Transfer(IoRead read)
    : read_file_(read.file),
      offset_bytes_(read.offset_bytes),
      data_(read.out.data()),
      asked_bytes_(read.out.size()),
      needed_bytes_(read.out.size()),
      plain_fd_(read.file->fd()),
      direct_(read.direct),
      done_(std::move(read.done)) {
  check_read_range();
  if (direct_ && aligned()) direct_fd_ = read_file_->direct_fd();
  direct_ = direct_fd_ >= 0;
}

Transfer::Transfer(IoWrite write)
    : write_file_(write.file),
      offset_bytes_(write.offset_bytes),
      data_(const_cast<std::byte*>(write.bytes.data())),  // only ever read from
      asked_bytes_(write.bytes.size()),
      needed_bytes_(write.bytes.size()),
      plain_fd_(write.file->fd()),
      direct_(write.direct),
      done_(std::move(write.done)) {
  if (direct_ && aligned()) direct_fd_ = write_file_->direct_fd();
  direct_ = direct_fd_ >= 0;
  if (!range_fits(offset_bytes_, asked_bytes_, std::uint64_t{1} << 62)) fail_with(EFBIG);
}

void Transfer::check_read_range() {
  const std::uint64_t file_bytes = read_file_->bytes();
  if (direct_ && offset_bytes_ <= file_bytes)
    needed_bytes_ = std::min(asked_bytes_, file_bytes - offset_bytes_);
  if (range_fits(offset_bytes_, needed_bytes_, file_bytes)) return;
  status_ = fail(out_of_range(read_file_->path(), offset_bytes_, asked_bytes_, file_bytes));
}

bool Transfer::aligned() const {
  const auto address = reinterpret_cast<std::uintptr_t>(data_);
  return (address | offset_bytes_ | asked_bytes_) % kDirectAlignBytes == 0;
}

std::uint32_t Transfer::count_bytes() const {
  const std::uint64_t end = direct_ ? asked_bytes_ : needed_bytes_;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(end - moved_bytes_, kTransferBytesMax));
}

void Transfer::fail_with(int error_number) {
  const std::uint64_t left = needed_bytes_ - std::min(moved_bytes_, needed_bytes_);
  Error error = is_read()
                    ? os_error(error_number, "read", read_file_->path())
                    : write_error(error_number, "write", write_file_->path(), plain_fd_, left);
  status_ = fail(std::move(error).at_offset(offset_bytes()));
}

Transfer::Next Transfer::advance(std::int64_t result) {
  if (result == -EINTR) return Next::kStep;
  if (result == -EAGAIN || result == -ECANCELED) return Next::kBlocking;
  if (direct_ && (result == -EINVAL || result == -EOPNOTSUPP || result == -ENOTBLK)) {
    direct_ = false;
    return Next::kStep;
  }
  if (result < 0) return fail_with(static_cast<int>(-result)), Next::kDone;
  if (result == 0) {
    status_ = is_read() ? Status(fail(became_shorter(read_file_->path(), offset_bytes())))
                        : Status(fail(os_error(EIO, "write", write_file_->path())));
    return Next::kDone;
  }
  moved_bytes_ += static_cast<std::uint64_t>(result);
  if (moved_bytes_ >= needed_bytes_) return Next::kDone;
  // What is left of a short direct transfer need not be aligned any more.
  if (moved_bytes_ % kDirectAlignBytes != 0) direct_ = false;
  return Next::kStep;
}

void Transfer::run_blocking() {
  const std::uint64_t left = needed_bytes_ - moved_bytes_;
  status_ = is_read() ? read_file_->read_at(offset_bytes(), {data(), left})
                      : write_file_->write_at(offset_bytes(), Bytes(data(), left));
}

void Transfer::finish() {
  if (done_) std::move(done_)(std::move(status_));
}

void FlightCounter::enter(bool on_queue_thread) {
  std::unique_lock lock(mutex_);
  if (!on_queue_thread) slot_.wait(lock, [&] { return in_flight_ < depth_; });
  ++in_flight_;
  ++unfinished_;
}

void FlightCounter::leave_slot() {
  const std::lock_guard lock(mutex_);
  --in_flight_;
  slot_.notify_one();
}

void FlightCounter::finish() {
  const std::lock_guard lock(mutex_);
  if (--unfinished_ == 0) idle_.notify_all();
}

bool FlightCounter::idle() const {
  const std::lock_guard lock(mutex_);
  return in_flight_ == 0;
}

void FlightCounter::wait_idle() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [&] { return unfinished_ == 0; });
}

}  // namespace kilter::io

#include "io/append_writer.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "base/checked.h"
#include "base/try.h"
#include "io/buffer_pool.h"
#include "io/io_queue.h"

namespace kilter::io {
namespace {

constexpr std::size_t kAppendBlockBytes = 2ULL << 20;

class QueuedAppendWriter : public AppendWriter {
 public:
  QueuedAppendWriter(WriteFile& file, std::unique_ptr<IoQueue> queue, std::size_t blocks)
      : file_(file), pool_(kAppendBlockBytes, blocks), queue_(std::move(queue)) {}
  ~QueuedAppendWriter() override { queue_.reset(); }

  Status append(Bytes bytes) override;
  Status append(Bytes bytes, std::shared_ptr<const void> keeper) override;
  std::uint64_t bytes() const override { return begun_bytes_ + filled_; }
  Status finish() override;

 private:
  void write_block();
  void write(Bytes bytes, std::shared_ptr<const void> keeper);
  Status first_error() {
    const std::lock_guard guard(mutex_);
    return error_;
  }

  WriteFile& file_;
  BufferPool pool_;
  std::mutex mutex_;
  Status error_;
  std::unique_ptr<IoQueue> queue_;  // goes first: its transfers use what stands above
  std::shared_ptr<Buffer> block_;
  std::size_t filled_ = 0;
  std::uint64_t begun_bytes_ = 0;  // of all blocks before this one
};

Status QueuedAppendWriter::append(Bytes bytes) {
  while (!bytes.empty()) {
    if (block_ == nullptr) {
      KILTER_TRY(first_error());
      KILTER_ASSIGN(Buffer buffer, pool_.take());
      block_ = std::make_shared<Buffer>(std::move(buffer));
    }
    const std::size_t count = std::min(bytes.size(), kAppendBlockBytes - filled_);
    std::memcpy(block_->span().data() + filled_, bytes.data(), count);
    filled_ += count;
    bytes = bytes.subspan(count);
    if (filled_ == kAppendBlockBytes) write_block();
  }
  return ok();
}

Status QueuedAppendWriter::append(Bytes bytes, std::shared_ptr<const void> keeper) {
  const auto is_aligned = [](std::uint64_t at) { return at % kDirectAlignBytes == 0; };
  const std::size_t whole = bytes.size() - bytes.size() % kDirectAlignBytes;
  if (whole == 0 || !is_aligned(this->bytes()) ||
      !is_aligned(reinterpret_cast<std::uintptr_t>(bytes.data())))
    return append(bytes);
  KILTER_TRY(first_error());
  if (filled_ > 0) write_block();
  write(bytes.first(whole), keeper);  // and held here until the rest is copied
  begun_bytes_ += whole;
  return append(bytes.subspan(whole));
}

void QueuedAppendWriter::write_block() {
  // A direct write's size is a multiple of the block's alignment; finish() cuts the rest off.
  const std::size_t size = round_up(filled_, kDirectAlignBytes);
  std::memset(block_->span().data() + filled_, 0, size - filled_);
  const Bytes bytes = Bytes(block_->span()).first(size);
  write(bytes, std::move(block_));
  begun_bytes_ += filled_;
  filled_ = 0;
}

/// At begun_bytes_.
void QueuedAppendWriter::write(Bytes bytes, std::shared_ptr<const void> keeper) {
  IoWrite write;
  write.file = &file_;
  write.offset_bytes = begun_bytes_;
  write.bytes = bytes;
  write.direct = true;
  write.done = [this, keeper = std::move(keeper)](Status status) mutable {
    {
      const std::lock_guard guard(mutex_);
      if (!status && error_) error_ = std::move(status);
    }
    keeper.reset();
  };
  queue_->submit(std::move(write));
}

Status QueuedAppendWriter::finish() {
  const std::uint64_t total = bytes();
  if (filled_ > 0) write_block();
  queue_->wait_idle();
  KILTER_TRY(first_error());
  return file_.truncate(total);
}

}  // namespace

Result<std::unique_ptr<AppendWriter>> AppendWriter::begin(WriteFile& file,
                                                          std::uint64_t memory_bytes) {
  const std::size_t blocks = std::max<std::size_t>(memory_bytes / kAppendBlockBytes, 1);
  KILTER_ASSIGN(auto queue, make_io_queue(IoQueueKind::kAuto, static_cast<unsigned>(blocks)));
  return std::make_unique<QueuedAppendWriter>(file, std::move(queue), blocks);
}

}  // namespace kilter::io

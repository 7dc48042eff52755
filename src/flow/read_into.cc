#include "flow/read_into.h"

#include <libdeflate.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <tuple>

#include "base/checked.h"
#include "base/text.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "flow/raw_range.h"
#include "flow/tile_fill.h"
#include "io/buffer_pool.h"
#include "io/io_queue.h"
#include "io/page_cache.h"

namespace kilter::flow {
namespace {

constexpr double kMostlyCached = 0.5;
constexpr std::uint64_t kPieceBytes = 4ULL << 20;
constexpr std::uint64_t kGatherElements = 1ULL << 20;  ///< as stores cut tensors
constexpr std::size_t kCheckedBytes = 256 * 1024;
constexpr std::size_t kWindowCount = 12;  ///< buffers of kPieceBytes in flight
constexpr unsigned kIntoDepth = 16;
constexpr auto kIntoPoll = std::chrono::milliseconds(20);

/// A run of one target's bytes. What lies raw in a file has it; the rest comes from the source.
struct IntoPiece {
  std::size_t target = 0;
  std::uint64_t offset_bytes = 0;  ///< in the target
  std::uint64_t file_begin = 0;    ///< of a raw one
  std::span<std::byte> out;
  std::uint32_t crc32 = 0;
};

/// One direct read and the pieces that lie in it.
struct Window {
  std::uint64_t begin = 0, end = 0;
  std::size_t first = 0, last = 0;  ///< in the file's pieces
};

/// A file's pieces, by place.
struct FilePieces {
  std::shared_ptr<const io::ReadFile> file;
  bool direct = false;
  std::vector<IntoPiece> pieces;
  std::vector<Window> windows;
};

/// Reads over a gap rather than begin another transfer.
constexpr std::uint64_t kWindowGapBytesMax = 64 * 1024;

void cut_windows(FilePieces* file) {
  auto& pieces = file->pieces;
  for (std::size_t first = 0; first < pieces.size();) {
    Window window;
    window.first = first;
    window.begin = pieces[first].file_begin / io::kDirectAlignBytes * io::kDirectAlignBytes;
    window.end = window.begin;
    std::size_t next = first;
    for (; next < pieces.size(); ++next) {
      const std::uint64_t begin = pieces[next].file_begin;
      const std::uint64_t end = begin + pieces[next].out.size();
      if (next != first && begin > window.end + kWindowGapBytesMax) break;
      if (std::max(window.end, end) - window.begin > kPieceBytes) break;
      window.end = std::max(window.end, end);
    }
    window.last = next;
    file->windows.push_back(window);
    first = next;
  }
}

class IntoRun {
 public:
  IntoRun(const Source& source, std::span<const IntoTarget> targets, const IntoOptions& options,
          const RunContext& context)
      : source_(source), targets_(targets), options_(options), context_(context) {}

  Status run() {
    KILTER_TRY(context_.check());
    KILTER_TRY(cut());
    if (context_.progress != nullptr) context_.progress->begin("load", total_bytes_);
    Status status = bring();
    if (context_.progress != nullptr) context_.progress->end();
    KILTER_TRY(std::move(status));
    return options_.verify ? check() : ok();
  }

 private:
  const TensorIndex& index() const { return source_.index(); }
  const TensorInfo& tensor_of(std::size_t target) const {
    return index().tensors[targets_[target].tensor];
  }

  Status cut() {
    files_.resize(index().files.size());
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      if (targets_[i].tensor >= index().tensors.size())
        return fail(ErrorCode::kInvalidArgument, "no tensor has this number");
      const TensorInfo& tensor = tensor_of(i);
      if (tensor.bytes() != targets_[i].out.size())
        return fail(Error(ErrorCode::kInvalidArgument, "the memory to load into has another size")
                        .at_tensor(tensor.name)
                        .wanted(std::to_string(tensor.bytes()) + " bytes",
                                std::to_string(targets_[i].out.size()) + " bytes"));
      total_bytes_ += tensor.bytes();
      if (tensor.bytes() > 0) KILTER_TRY(cut_target(i, tensor));
    }
    for (FilePieces& file : files_) {
      if (file.file == nullptr) continue;
      file.direct = file.file->direct_fd() >= 0 && io::cached_fraction(*file.file) < kMostlyCached;
      std::sort(file.pieces.begin(), file.pieces.end(), [](const IntoPiece& a, const IntoPiece& b) {
        return std::tie(a.file_begin, a.target) < std::tie(b.file_begin, b.target);
      });
      if (file.direct) cut_windows(&file);
    }
    return ok();
  }

  Status cut_target(std::size_t target, const TensorInfo& tensor) {
    const auto raw = raw_range(index(), tensor);
    FilePieces* file = raw ? &files_[raw->file] : nullptr;
    if (file != nullptr && file->file == nullptr) file->file = source_.open_file(raw->file);
    // What has no descriptor (a commit, a step whose bytes are checked) is read as its own pieces.
    if (file != nullptr && (file->file == nullptr || file->file->fd() < 0)) file = nullptr;
    if (file != nullptr && raw->offset_bytes + tensor.bytes() > file->file->bytes())
      return fail(Error(ErrorCode::kIo, "the file became shorter since it was examined")
                      .at_path(source_.file_path(raw->file))
                      .at_tensor(tensor.name));
    const std::span<std::byte> out = targets_[target].out;
    // A window begins up to a block before its first piece. In a store, each chunk is decoded once.
    const std::uint64_t most =
        file != nullptr
            ? kPieceBytes - io::kDirectAlignBytes
            : std::max<std::uint64_t>(1, dtype_row(tensor.dtype).bits / 8U) * kGatherElements;
    for (std::uint64_t at = 0; at < out.size(); at += most) {
      IntoPiece piece;
      piece.target = target;
      piece.offset_bytes = at;
      piece.file_begin = file != nullptr ? raw->offset_bytes + at : 0;
      piece.out = out.subspan(at, std::min<std::uint64_t>(most, out.size() - at));
      (file != nullptr ? file->pieces : gathered_).push_back(piece);
    }
    return ok();
  }

  bool is_checked(std::size_t target) const {
    const TensorInfo& tensor = tensor_of(target);
    const StorageInfo& storage = index().storages[tensor.storage];
    return options_.verify && storage.crc32 && tensor.offset_elements == 0 &&
           tensor.bytes() == storage.bytes && raw_range(index(), tensor).has_value();
  }

  Status bring() {
    KILTER_ASSIGN(queue_, io::make_io_queue(io::IoQueueKind::kAuto, kIntoDepth));
    ThreadPool pool;
    pool_ = &pool;
    for (FilePieces& file : files_) {
      if (file.direct) continue;
      for (IntoPiece& piece : file.pieces)
        submit([this, &file, &piece] { read_plainly(*file.file, &piece); });
    }
    for (IntoPiece& piece : gathered_)
      submit([this, &piece] { finish(&piece, from_source(piece)); });
    for (FilePieces& file : files_) {
      for (const Window& window : file.windows) {
        if (stop_) break;
        note(read_directly(&file, window));
        report();
      }
    }
    {
      std::unique_lock lock(mutex_);
      while (waiting_ > 0) {
        changed_.wait_for(lock, kIntoPoll);
        lock.unlock();
        report();
        lock.lock();
      }
    }
    pool.wait_idle();
    queue_->wait_idle();
    report();
    return std::move(status_);
  }

  template <typename Task>
  void submit(Task task) {
    begin_one();
    pool_->submit([this, task] {
      if (!stop_) task();
      end_one();
    });
  }

  void begin_one() {
    std::lock_guard lock(mutex_);
    ++waiting_;
  }
  void end_one() {
    std::lock_guard lock(mutex_);
    --waiting_;
    changed_.notify_one();
  }

  /// From the calling thread alone.
  void report() {
    note(context_.check());
    if (context_.progress != nullptr && !stop_) context_.progress->update(done_bytes_.load());
  }

  void note(Status status) {
    if (status) return;
    std::lock_guard lock(mutex_);
    if (status_) status_ = std::move(status);
    stop_ = true;
  }

  Status from_source(const IntoPiece& piece) const {
    return source_.read_tensor(targets_[piece.target].tensor, piece.offset_bytes, piece.out);
  }

  /// In blocks that are still in the cache when their checksum is made.
  template <typename Fill>
  Status fill_and_check(IntoPiece* piece, const Fill& fill) const {
    const bool checked = is_checked(piece->target);
    const std::size_t most = checked ? kCheckedBytes : piece->out.size();
    for (std::size_t at = 0; at < piece->out.size(); at += most) {
      const auto block = piece->out.subspan(at, std::min(most, piece->out.size() - at));
      KILTER_TRY(fill(at, block));
      if (checked) piece->crc32 = libdeflate_crc32(piece->crc32, block.data(), block.size());
    }
    return ok();
  }

  void read_plainly(const io::ReadFile& file, IntoPiece* piece) {
    finish(piece, fill_and_check(piece, [&](std::size_t at, std::span<std::byte> out) {
             return file.read_at(piece->file_begin + at, out);
           }));
  }

  Status read_directly(FilePieces* file, const Window& window) {
    auto buffer = buffers_.take();
    if (!buffer) return fail(std::move(buffer).error());
    const auto held = std::make_shared<io::Buffer>(std::move(*buffer));
    const std::uint64_t bytes = round_up(window.end - window.begin, io::kDirectAlignBytes);
    begin_one();
    queue_->submit(io::IoRead{file->file.get(), window.begin, held->span().first(bytes), true,
                              [this, file, window, held](Status status) mutable {
                                pool_->submit([this, file, window, held = std::move(held),
                                               status = std::move(status)]() mutable {
                                  note(std::move(status));
                                  if (!stop_) place(file, window, held->span());
                                  held.reset();
                                  end_one();
                                });
                              }});
    return ok();
  }

  void place(FilePieces* file, const Window& window, std::span<const std::byte> bytes) {
    for (std::size_t i = window.first; i < window.last; ++i) {
      IntoPiece& piece = file->pieces[i];
      const std::byte* from = bytes.data() + (piece.file_begin - window.begin);
      finish(&piece, fill_and_check(&piece, [&](std::size_t at, std::span<std::byte> out) {
        std::memcpy(out.data(), from + at, out.size());
        return ok();
      }));
    }
  }

  void finish(IntoPiece* piece, Status status) {
    if (!status)
      return note(fail(std::move(status).error().at_tensor(tensor_of(piece->target).name)));
    done_bytes_ += piece->out.size();
  }

  /// Checksums of pieces, joined in order.
  Status check() const {
    for (const FilePieces& file : files_) {
      std::vector<const IntoPiece*> pieces;
      for (const IntoPiece& piece : file.pieces)
        if (is_checked(piece.target)) pieces.push_back(&piece);
      std::sort(pieces.begin(), pieces.end(), [](const IntoPiece* a, const IntoPiece* b) {
        return std::tie(a->target, a->offset_bytes) < std::tie(b->target, b->offset_bytes);
      });
      std::uint32_t crc32 = 0;
      for (const IntoPiece* piece : pieces) {
        crc32 = piece->offset_bytes == 0 ? piece->crc32
                                         : combine_crc32(crc32, piece->crc32, piece->out.size());
        if (piece->offset_bytes + piece->out.size() == targets_[piece->target].out.size())
          KILTER_TRY(compare(piece->target, crc32));
      }
    }
    return ok();
  }

  Status compare(std::size_t target, std::uint32_t crc32) const {
    const TensorInfo& tensor = tensor_of(target);
    const StorageInfo& storage = index().storages[tensor.storage];
    if (storage.crc32 == crc32) return ok();
    return fail(
        Error(ErrorCode::kCorrupt, "the tensor's bytes do not fit their checksum")
            .at_path(source_.file_path(storage.file))
            .at_tensor(tensor.name)
            .at_offset(storage.offset_bytes)
            .wanted("CRC-32 " + std::to_string(storage.crc32.value_or(0)), std::to_string(crc32)));
  }

  const Source& source_;
  std::span<const IntoTarget> targets_;
  const IntoOptions& options_;
  const RunContext& context_;
  std::vector<FilePieces> files_;  // by number; those without a file stay empty
  std::vector<IntoPiece> gathered_;
  std::uint64_t total_bytes_ = 0;
  io::BufferPool buffers_{kPieceBytes, kWindowCount};
  std::unique_ptr<io::IoQueue> queue_;
  ThreadPool* pool_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t waiting_ = 0;
  Status status_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> done_bytes_{0};
};

}  // namespace

Status read_into(const Source& source, std::span<const IntoTarget> targets,
                 const IntoOptions& options, const RunContext& context) {
  return IntoRun(source, targets, options, context).run();
}

}  // namespace kilter::flow

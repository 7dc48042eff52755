#include "train/live_cut.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "kilter/tensor_index.h"

#include "base/try.h"
#include "tensor/kernels/gather.h"

namespace kilter::train {
namespace {

/// Copying so little costs less than keeping account of it.
constexpr std::uint64_t kSmallBytes = 64 << 10;
/// Threads are worth waking for more than this.
constexpr std::uint64_t kShareBytes = 8ULL << 20;

bool is_contiguous(const LiveTensor& tensor) {
  if (tensor.strides.empty()) return true;
  TensorInfo info;
  info.shape = tensor.shape;
  info.strides = tensor.strides;
  return info.contiguous();
}

Status gather_into(const LiveTensor& tensor, std::span<std::byte> out) {
  const std::uint32_t element_bytes = dtype_row(tensor.dtype).bits / 8U;
  KILTER_ASSIGN(const Gather gather, Gather::make(tensor.shape, tensor.strides, element_bytes));
  gather.run(static_cast<const std::byte*>(tensor.data), 0, gather.element_count(), out.data());
  return ok();
}

}  // namespace

Result<std::unique_ptr<LiveCut>> LiveCut::make(std::vector<Part> parts, StagingPool& pool,
                                               ThreadPool* helpers) {
  std::unique_ptr<LiveCut> cut(new LiveCut(pool, helpers));
  cut->parts_ = std::move(parts);
  cut->frozen_.resize(cut->parts_.size());
  cut->first_piece_.resize(cut->parts_.size() + 1, 0);
  for (std::size_t i = 0; i < cut->parts_.size(); ++i) {
    const Part& part = cut->parts_[i];
    const bool live = part.bytes >= kSmallBytes && is_contiguous(part.tensor);
    cut->first_piece_[i] = cut->piece_count_;
    if (live) {
      cut->piece_count_ += (part.bytes - 1) / part.piece_bytes + 1;
      cut->live_bytes_ += part.bytes;
      if (!part.tensor.held) cut->loose_bytes_ += part.bytes;
    } else {
      KILTER_TRY(cut->freeze(i));
    }
  }
  cut->first_piece_.back() = cut->piece_count_;
  cut->pieces_ = std::make_unique<Piece[]>(cut->piece_count_);
  for (std::size_t i = 0; i < cut->parts_.size(); ++i) cut->add_pieces(i);
  return cut;
}

Status LiveCut::freeze(std::size_t number) {
  const Part& part = parts_[number];
  if (part.bytes == 0) return ok();
  try {
    frozen_[number].resize(static_cast<std::size_t>(part.bytes));
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kLimitExceeded, "no memory for a copy of the state");
  }
  copied_bytes_ += part.bytes;
  if (!is_contiguous(part.tensor)) return gather_into(part.tensor, frozen_[number]);
  std::memcpy(frozen_[number].data(), part.tensor.data, static_cast<std::size_t>(part.bytes));
  return ok();
}

void LiveCut::add_pieces(std::size_t number) {
  const Part& part = parts_[number];
  std::uint64_t at = 0;
  for (std::size_t i = first_piece_[number]; i < first_piece_[number + 1]; ++i) {
    pieces_[i].from = static_cast<const std::byte*>(part.tensor.data) + at;
    pieces_[i].bytes = std::min(part.piece_bytes, part.bytes - at);
    pieces_[i].held = part.tensor.held;
    ++(part.tensor.held ? open_held_ : open_loose_);
    at += pieces_[i].bytes;
  }
}

void LiveCut::close(Piece& piece, Stage stage) {
  piece.stage = stage;
  piece.stage.notify_all();
  if (--(piece.held ? open_held_ : open_loose_) != 0) return;
  const std::lock_guard guard(mutex_);
  changed_.notify_all();
}

Status LiveCut::read(std::size_t number, std::uint64_t offset_bytes, std::span<std::byte> out) {
  if (out.empty()) return ok();
  copying_.wait(true);
  if (first_piece_[number] == first_piece_[number + 1]) {
    std::memcpy(out.data(), frozen_[number].data() + offset_bytes, out.size());
    return ok();
  }
  Piece& piece = pieces_[first_piece_[number] + offset_bytes / parts_[number].piece_bytes];
  if (piece.bytes != out.size()) return fail(ErrorCode::kInternal, "a piece is read in parts");
  Stage stage = Stage::kLive;
  if (piece.stage.compare_exchange_strong(stage, Stage::kBusy)) {
    if (!abandoned_) std::memcpy(out.data(), piece.from, out.size());
    close(piece, Stage::kRead);
  } else {
    piece.stage.wait(Stage::kBusy);  // who copies it is at it
    if (piece.stage == Stage::kCopied) std::memcpy(out.data(), piece.from, out.size());
  }
  if (abandoned_) return fail(ErrorCode::kCancelled, "this save was given up");
  return ok();
}

/// What the threads that copy share.
struct LiveCut::Copying {
  Which which;
  std::atomic<std::int64_t> next;
  std::atomic<std::uint64_t> bytes{0};
};

/// Takes pieces from the end: the writer comes from the beginning, and what it reaches in time need
/// not be copied.
void LiveCut::copy_pieces(Copying& copying) {
  for (std::int64_t i = copying.next--; i >= 0; i = copying.next--) {
    Piece& piece = pieces_[static_cast<std::size_t>(i)];
    if (piece.stage != Stage::kLive || (copying.which == Which::kLoose && piece.held)) continue;
    const auto to = pool_.take(piece.bytes);
    if (to.empty()) continue;  // a smaller one may fit
    Stage stage = Stage::kLive;
    if (!piece.stage.compare_exchange_strong(stage, Stage::kBusy)) continue;
    std::memcpy(to.data(), piece.from, to.size());
    piece.from = to.data();
    copying.bytes += to.size();
    close(piece, Stage::kCopied);
  }
}

void LiveCut::wait_settled(Which which) {
  std::unique_lock guard(mutex_);
  changed_.wait(guard, [&] { return open_loose_ == 0 && (which == Which::kLoose || settled()); });
}

bool LiveCut::any_live(Which which) const {
  for (std::size_t i = 0; i < piece_count_; ++i)
    if (pieces_[i].stage == Stage::kLive && (which == Which::kAll || !pieces_[i].held)) return true;
  return false;
}

LiveCut::Staged LiveCut::stage(Which which, WhenFull when_full) {
  Staged staged;
  if (open_loose_ == 0 && (which == Which::kLoose || settled())) return staged;
  Copying copying{which, static_cast<std::int64_t>(piece_count_) - 1};
  copying_ = true;
  const std::uint64_t bytes = which == Which::kLoose ? loose_bytes_ : live_bytes_;
  const bool share = helpers_ != nullptr && bytes >= kShareBytes;
  for (unsigned i = 0; share && i < helpers_->thread_count(); ++i)
    helpers_->submit([&] { copy_pieces(copying); });
  copy_pieces(copying);
  if (share) helpers_->wait_idle();
  copying_ = false;
  copying_.notify_all();
  staged.bytes = copying.bytes;
  if (when_full == WhenFull::kGiveUp && any_live(which)) {
    staged.whole = false;
    gave_up_ = true;
    abandon();
  }
  wait_settled(which);
  return staged;
}

void LiveCut::abandon() {
  abandoned_ = true;
  for (std::size_t i = 0; i < piece_count_; ++i) {
    Stage stage = Stage::kLive;
    if (pieces_[i].stage.compare_exchange_strong(stage, Stage::kBusy))
      close(pieces_[i], Stage::kRead);
  }
  wait_settled(Which::kAll);
}

}  // namespace kilter::train

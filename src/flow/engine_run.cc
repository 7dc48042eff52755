#include "flow/engine_run.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/checked.h"
#include "base/try.h"

namespace kilter::flow {
namespace {

/// How often a waiting coordinator looks whether the user wants to stop.
constexpr auto kCancelPoll = std::chrono::milliseconds(20);

}  // namespace

EngineRun::EngineRun(const Plan& plan, Sink& sink, const std::vector<FileLayout>& layout,
                     const MemoryPlan& memory, const EngineOptions& options,
                     const RunContext& context, std::unique_ptr<io::IoQueue> queue)
    : sink_(sink),
      context_(context),
      direct_io_(options.direct_io),
      tile_bytes_(memory.tile_bytes),
      wants_checksums_(sink.wants_checksums()),
      filler_(plan, memory, sink.wants_checksums()),
      buffers_(memory.tile_bytes, memory.tile_count),
      checksums_(plan.outputs.size(), 0),
      resume_(options.resume),
      pool_(memory.thread_count),
      queue_(std::move(queue)),
      stager_(plan, memory, options.read_ahead, *queue_) {
  files_.reserve(layout.size());
  for (const FileLayout& file : layout) files_.push_back({FileMap(file)});
  if (resume_ == nullptr) return;
  next_file_ = safe_file_ = resume_->file;
  next_offset_ = safe_offset_ = resume_->offset_bytes;
  for (std::size_t i = 0; i < resume_->file; ++i) written_bytes_ += files_[i].map.bytes();
  written_bytes_ += resume_->offset_bytes;
  marked_bytes_ = written_bytes_;
}

Status EngineRun::run(io::Publication& publication) {
  KILTER_TRY(create_files(publication));
  while (true) {
    if (auto status = context_.check(); !status && !failed())
      record(ordered_, std::move(status).error());
    start_tiles();
    if (tiles_.empty()) break;
    wait_for_events();
  }
  queue_->wait_idle();
  pool_.wait_idle();
  if (failed()) {
    static_cast<void>(mark_progress());  // what ended the run is what there is to say
    return fail(std::move(*error_));
  }
  return finish_files();
}

Status EngineRun::create_files(io::Publication& publication) {
  for (OutputFile& output : files_) {
    KILTER_ASSIGN(output.file, publication.add(output.map.layout().name));
    output.direct = direct_io_ && output.file->direct_fd() >= 0;
    const std::uint64_t bytes =
        output.direct ? round_up(output.map.bytes(), io::kDirectAlignBytes) : output.map.bytes();
    if (bytes != 0) KILTER_TRY(output.file->reserve(bytes));
  }
  return ok();
}

Status EngineRun::finish_files() {
  // Direct writes end on a whole block, and what another run left may be longer.
  for (OutputFile& output : files_)
    if (output.direct || resume_ != nullptr) KILTER_TRY(output.file->truncate(output.map.bytes()));
  return ok();
}

bool EngineRun::next_position() {
  while (next_file_ < files_.size() && next_offset_ >= files_[next_file_].map.bytes()) {
    ++next_file_;
    next_offset_ = 0;
  }
  return next_file_ < files_.size();
}

void EngineRun::start_tiles() {
  while (!failed() && next_position()) {
    auto buffer = buffers_.try_take();
    // Without memory for another tile the ones in flight must do; without any, nothing will.
    if (!buffer && tiles_.empty()) return record(next_sequence_, std::move(buffer).error());
    if (!buffer || !*buffer) return;
    start_tile(std::move(*buffer));
  }
}

void EngineRun::start_tile(io::Buffer buffer) {
  const FileMap& map = files_[next_file_].map;
  auto owned = std::make_unique<Tile>();
  Tile& tile = *owned;
  tile.sequence = next_sequence_++;
  tile.file = next_file_;
  tile.offset_bytes = next_offset_;
  tile.bytes = std::min(tile_bytes_, map.bytes() - next_offset_);
  tile.buffer = std::move(buffer);
  next_offset_ += tile.bytes;
  tiles_.emplace(tile.sequence, std::move(owned));
  stager_.start(map, tile.offset_bytes, tile.bytes, tile.staged,
                [this, &tile] { pool_.submit([this, &tile] { fill_tile(tile); }); });
}

void EngineRun::fill_tile(Tile& tile) {
  const std::uint64_t sequence = tile.sequence;
  Status status = tile.staged.status();
  if (status && sequence >= useless_from_.load(std::memory_order_relaxed))
    status = fail(ErrorCode::kCancelled, "an earlier part failed");
  if (status) {
    tile.fill = filler_.fill(files_[tile.file].map, tile.offset_bytes,
                             tile.buffer.span().first(tile.bytes), tile.staged.parts());
    status = std::move(tile.fill.status);
  }
  tile.staged.release();
  post({sequence, false, std::move(status)});
}

void EngineRun::post(Event event) {
  // Notified under the lock: the run may end as soon as its last event is taken.
  std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  wake_.notify_one();
}

void EngineRun::wait_for_events() {
  std::deque<Event> events;
  {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, kCancelPoll, [&] { return !events_.empty(); });
    events.swap(events_);
  }
  for (Event& event : events) handle(std::move(event));
}

void EngineRun::handle(Event event) {
  if (!event.status) record(event.sequence, std::move(event.status).error());
  if (event.written) {
    const auto tile = tiles_.find(event.sequence);
    written_bytes_ += tile->second->bytes;
    tiles_.erase(tile);
    note_progress();
    if (context_.progress != nullptr && !failed()) context_.progress->update(written_bytes_);
    return;
  }
  tiles_.find(event.sequence)->second->filled = true;
  advance_order();
}

void EngineRun::advance_order() {
  for (auto at = tiles_.find(ordered_); at != tiles_.end() && at->second->filled;
       at = tiles_.find(ordered_)) {
    Tile& tile = *at->second;
    ++ordered_;
    read_bytes_ += tile.fill.read_bytes;
    if (!failed() || tile.sequence < error_sequence_) {
      if (auto status = finish_tile(tile); !status)
        record(tile.sequence, std::move(status).error());
    }
    if (failed()) {
      tiles_.erase(at);
    } else {
      write_tile(tile);
    }
  }
}

Status EngineRun::finish_tile(Tile& tile) {
  auto late = tile.fill.late.begin();
  const auto fill_late_before = [&](std::uint64_t run_offset) -> Status {
    for (; late != tile.fill.late.end() && late->run_offset < run_offset; ++late)
      KILTER_TRY(fill_late(tile, *late));
    return ok();
  };
  // In file order: a late segment knows what lies before it and nothing else.
  for (const ChecksumPiece& piece : tile.fill.checksums) {
    KILTER_TRY(fill_late_before(piece.run_offset));
    std::uint32_t& crc32 = checksums_[piece.output];
    crc32 = combine_crc32(crc32, piece.crc32, piece.bytes);
  }
  return fill_late_before(~std::uint64_t{0});
}

Status EngineRun::fill_late(const Tile& tile, const SegmentPart& part) {
  const Segment& segment = files_[tile.file].map.layout().segments[part.segment];
  if (part.segment_offset == 0) {
    late_.emplace(LateSegment{tile.file, part.segment, std::vector<std::byte>(segment.bytes)});
    KILTER_TRY(sink_.fill_late(tile.file, segment.index, checksums_, late_->bytes));
  }
  std::memcpy(tile.buffer.span().data() + part.run_offset,
              late_->bytes.data() + part.segment_offset, part.bytes);
  if (part.segment_offset + part.bytes == segment.bytes) late_.reset();
  return ok();
}

void EngineRun::write_tile(Tile& tile) {
  const OutputFile& output = files_[tile.file];
  const std::uint64_t bytes =
      output.direct ? round_up(tile.bytes, io::kDirectAlignBytes) : tile.bytes;
  const auto run = tile.buffer.span().first(bytes);
  std::memset(run.data() + tile.bytes, 0, bytes - tile.bytes);
  const std::uint64_t sequence = tile.sequence;
  io::IoWrite write{output.file, tile.offset_bytes, run, output.direct, {}};
  write.done = [this, sequence](Status status) { post({sequence, true, std::move(status)}); };
  queue_->submit(std::move(write));
}

/// Tiles are written in any order: what lies before the first one in flight is all there.
void EngineRun::note_progress() {
  if (resume_ == nullptr || failed()) return;
  safe_file_ = tiles_.empty() ? next_file_ : tiles_.begin()->second->file;
  safe_offset_ = tiles_.empty() ? next_offset_ : tiles_.begin()->second->offset_bytes;
  if (written_bytes_ - marked_bytes_ < resume_->step_bytes) return;
  if (auto status = mark_progress(); !status) record(ordered_, std::move(status).error());
}

Status EngineRun::mark_progress() {
  if (resume_ == nullptr || written_bytes_ == marked_bytes_) return ok();
  for (std::size_t i = resume_->file; i < files_.size() && i <= safe_file_; ++i)
    KILTER_TRY(files_[i].file->sync());
  marked_bytes_ = written_bytes_;
  return resume_->reached(safe_file_, safe_offset_);
}

void EngineRun::record(std::uint64_t sequence, Error error) {
  if (failed() && error_sequence_ <= sequence) return;
  error_ = std::move(error);
  error_sequence_ = sequence;
  useless_from_.store(sequence, std::memory_order_relaxed);
}

}  // namespace kilter::flow

// One run of the engine: tiles in, filled in parallel, written in order.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/thread_pool.h"
#include "flow/engine.h"
#include "flow/read_ahead.h"
#include "flow/tile_fill.h"

namespace kilter::flow {

/// Life of a tile: staged (its raw bytes are read ahead by the queue), filled (by a thread of the
/// pool), ordered (checksums joined and late bytes filled, by the coordinator, in file order),
/// written (by the queue). The coordinator is the thread that calls run(); it alone touches what is
/// not marked as shared.
class EngineRun {
 public:
  EngineRun(const Plan& plan, Sink& sink, const std::vector<FileLayout>& layout,
            const MemoryPlan& memory, const EngineOptions& options, const RunContext& context,
            std::unique_ptr<io::IoQueue> queue);

  /// Writes all files; does not commit. Of several errors the first in file order.
  Status run(io::Publication& publication);
  std::uint64_t read_bytes() const { return read_bytes_; }

 private:
  struct OutputFile {
    FileMap map;
    io::WriteFile* file = nullptr;
    bool direct = false;
  };
  struct Tile {
    std::uint64_t sequence = 0;
    std::size_t file = 0;
    std::uint64_t offset_bytes = 0;
    std::uint64_t bytes = 0;
    io::Buffer buffer;
    StagedTile staged;
    TileFill fill;
    bool filled = false;
  };
  struct Event {
    std::uint64_t sequence = 0;
    bool written = false;  ///< else filled
    Status status;
  };
  struct LateSegment {
    std::size_t file = 0;
    std::size_t segment = 0;
    std::vector<std::byte> bytes;
  };

  Status create_files(io::Publication& publication);
  void start_tiles();
  bool next_position();
  void start_tile(io::Buffer buffer);
  void fill_tile(Tile& tile);  // on the pool
  void post(Event event);      // from any thread
  void wait_for_events();
  void handle(Event event);
  void advance_order();
  Status finish_tile(Tile& tile);
  Status fill_late(const Tile& tile, const SegmentPart& part);
  void write_tile(Tile& tile);
  void record(std::uint64_t sequence, Error error);
  void note_progress();
  Status mark_progress();
  bool failed() const { return error_.has_value(); }
  Status finish_files();

  Sink& sink_;
  const RunContext& context_;
  const bool direct_io_;
  const std::uint64_t tile_bytes_;
  const bool wants_checksums_;
  std::vector<OutputFile> files_;

  TileFiller filler_;
  io::BufferPool buffers_;
  OutputChecksums checksums_;
  std::optional<LateSegment> late_;  // begun in a tile, goes on in the next

  std::map<std::uint64_t, std::unique_ptr<Tile>> tiles_;  // in flight, by sequence
  std::uint64_t next_sequence_ = 0;                       // to be started
  std::size_t next_file_ = 0;
  std::uint64_t next_offset_ = 0;
  std::uint64_t ordered_ = 0;  // the first sequence not yet written out
  std::uint64_t read_bytes_ = 0;
  std::uint64_t written_bytes_ = 0;

  const EngineResume* resume_;
  std::size_t safe_file_ = 0;  // everything before (safe_file_, safe_offset_) is written
  std::uint64_t safe_offset_ = 0;
  std::uint64_t marked_bytes_ = 0;  // written_bytes_ when that was last made durable and told

  std::optional<Error> error_;
  std::uint64_t error_sequence_ = 0;
  std::atomic<std::uint64_t> useless_from_{~std::uint64_t{0}};  // shared: tiles nobody will write

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Event> events_;  // shared, under mutex_

  // Destroyed first, in this order: the queue waits for its transfers, which may still submit
  // fills; the pool finishes those.
  ThreadPool pool_;
  std::unique_ptr<io::IoQueue> queue_;
  Stager stager_;
};

}  // namespace kilter::flow

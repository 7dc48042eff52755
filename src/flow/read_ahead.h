// Source bytes on their way before a tile is filled.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "flow/engine.h"
#include "flow/memory_plan.h"
#include "flow/tile_fill.h"
#include "flow/tile_map.h"
#include "io/buffer_pool.h"
#include "io/io_queue.h"

namespace kilter::flow {

/// What was read ahead for one tile. `parts` may be used once the last read is done.
class StagedTile {
 public:
  const std::vector<StagedPart>& parts() const { return parts_; }
  const Status& status() const { return status_; }  ///< the first read's error, if any
  /// Gives the memory back. Nothing of it may be used any more.
  void release() {
    parts_.clear();
    reads_.clear();
    buffers_.clear();
  }

 private:
  friend class Stager;
  struct Read {
    std::shared_ptr<const io::ReadFile> file;
    std::uint64_t offset_bytes = 0;
    std::span<std::byte> out;
    std::size_t output = 0;  ///< the first output it is for, for messages
  };
  std::vector<io::Buffer> buffers_;
  std::vector<Read> reads_;
  std::vector<StagedPart> parts_;
  std::atomic<std::size_t> pending_{0};
  std::mutex mutex_;
  Status status_;
};

/// Starts direct reads for output bytes that lie in files as they are. Used by one thread.
class Stager {
 public:
  Stager(const Plan& plan, const MemoryPlan& memory, ReadAhead mode, io::IoQueue& queue);

  /// Reads what [offset_bytes, offset_bytes + bytes) of the file needs; calls `done` once, when
  /// everything came: on a thread of the queue, or at once if nothing is to be read ahead.
  void start(const FileMap& map, std::uint64_t offset_bytes, std::uint64_t bytes, StagedTile& tile,
             std::function<void()> done);

 private:
  struct Wish;  ///< an aligned range of a file, and the parts it holds
  std::vector<Wish> wishes_of(const FileMap& map, std::uint64_t offset_bytes, std::uint64_t bytes);
  bool reads_directly(const Source& source, std::uint32_t number, const io::ReadFile& file);

  const Plan& plan_;
  ReadAhead mode_;
  io::IoQueue& queue_;
  std::uint64_t staging_bytes_;
  std::unique_ptr<io::BufferPool> buffers_;  ///< none: nothing is read ahead
  std::map<std::pair<const Source*, std::uint32_t>, bool> direct_;
};

}  // namespace kilter::flow

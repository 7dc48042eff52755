// Writes packs: payloads one after the other, then the directory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "store/index/index_file.h"
#include "store/place/place.h"

namespace kilter::store {

/// One pack being written. Not for several threads at once.
class PackWriter {
 public:
  /// `queue_depth` writes are in flight at a time, direct where the file system can.
  static Result<std::unique_ptr<PackWriter>> begin(Place& place);
  ~PackWriter();

  /// Appends a payload; fills the record's place and checksum.
  Status add(ChunkRecord record, Bytes payload);
  /// The same; `keeper` holds the payload until it is written, and a large one is not copied.
  Status add(ChunkRecord record, Bytes payload, std::shared_ptr<const void> keeper);
  std::uint64_t bytes() const;
  std::size_t chunk_count() const { return records_.size(); }
  bool full() const;

  struct Finished {
    IndexedPack pack;
    std::vector<ChunkRecord> records;
  };
  /// Writes the directory and names the pack. Nothing can be added any more.
  Result<Finished> seal();
  /// Makes the sealed pack durable and lets it appear. May run on another thread.
  Status publish();

 private:
  struct Stream;
  explicit PackWriter(std::unique_ptr<Stream> stream);
  Status pad(std::uint64_t align_bytes);
  std::unique_ptr<Stream> stream_;
  std::vector<ChunkRecord> records_;
  std::string name_;  // once it is sealed
};

}  // namespace kilter::store

// One index file: what some packs hold, and commits. Source: spec/store.md.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/file_system.h"
#include "io/mapped_file.h"
#include "store/format/records.h"

namespace kilter::store {

struct IndexedPack {
  Digest digest{};
  std::uint64_t bytes = 0;
  std::uint32_t chunk_count = 0;
};

/// Where a chunk lies.
struct ChunkPlace {
  ChunkRecord record;
  Digest pack{};
};

struct IndexedCommit {
  Digest digest{};
  std::int64_t time_unix_ns = 0;
  std::string_view text;  ///< the commit's JSON; lives as long as the index file
};

/// What goes into an index file.
struct IndexContent {
  std::vector<IndexedPack> packs;
  struct Chunk {
    ChunkRecord record;
    std::uint32_t pack = 0;  ///< in `packs`
  };
  std::vector<Chunk> chunks;
  struct Commit {
    Digest digest{};
    std::int64_t time_unix_ns = 0;
    std::string text;
  };
  std::vector<Commit> commits;
  std::vector<Digest> superseded;  ///< index files whose content is in this one
};

/// The bytes of an index file. Sorts the content.
std::vector<std::byte> index_bytes(IndexContent& content);
std::string index_name(const Digest& digest);  ///< "index/<digest>.idx"
std::string pack_name(const Digest& digest);   ///< "packs/ab/<digest>.pack"

/// An open index file. Lookups are binary searches in the mapped file.
class IndexFile {
 public:
  /// Checks header and sections against the size; with `whole` also the digest of everything.
  /// Errors: kMalformed, kCorrupt, kUnsupported.
  static Result<std::shared_ptr<const IndexFile>> open(const io::ReadFile& file, const Digest& name,
                                                       bool whole);

  const Digest& name() const { return name_; }
  std::uint64_t bytes() const { return bytes_.size(); }
  std::size_t pack_count() const { return packs_.count; }
  std::size_t chunk_count() const { return chunks_.count; }
  std::size_t commit_count() const { return commits_.count; }
  IndexedPack pack(std::size_t i) const;
  /// Errors: kMalformed.
  Result<ChunkPlace> chunk(std::size_t i) const;
  Digest chunk_digest(std::size_t i) const;
  /// Number of the first chunk whose digest is not less; chunk_count() if none.
  std::size_t lower_bound(const Digest& digest) const;
  Result<IndexedCommit> commit(std::size_t i) const;
  std::vector<Digest> superseded() const;

 private:
  struct Section {
    std::uint64_t offset_bytes = 0;
    std::uint64_t count = 0;
  };
  Status parse();
  Status check_whole() const;

  Digest name_{};
  io::MappedFile mapping_;
  std::vector<std::byte> copy_;  // where the file cannot be mapped
  Bytes bytes_;
  Section packs_, chunks_, commits_, superseded_, heap_;
};

}  // namespace kilter::store

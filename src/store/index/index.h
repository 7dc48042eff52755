// All index files of a store together.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "store/index/index_file.h"
#include "store/place/place.h"

namespace kilter::store {

/// A snapshot: what was there when it was loaded. Cheap to copy; safe to use from several threads.
class Index {
 public:
  using Files = std::vector<std::shared_ptr<const IndexFile>>;

  Index() = default;
  explicit Index(Files files) : files_(std::move(files)) {}

  const Files& files() const { return files_; }
  /// All places of a chunk, those that lean on fewer others first. Errors: kMalformed.
  Result<std::vector<ChunkPlace>> find_all(const Digest& digest) const;
  /// Whether a pack that is not in `except` holds the chunk.
  Result<bool> contains(const Digest& digest, const std::set<Digest>& except) const;
  /// Every commit once, by time. The texts live as long as this index.
  Result<std::vector<IndexedCommit>> commits() const;
  /// Every pack once.
  std::vector<IndexedPack> packs() const;
  /// Digests of chunks that begin with these hexadecimal digits and are of `kind`; at most `max`.
  Result<std::vector<Digest>> with_prefix(std::string_view hex, ChunkKind kind,
                                          std::size_t max) const;

 private:
  Files files_;
};

/// Lists and opens the index files, taking over from `before` what it has open already. Files that
/// others supersede are left out.
Result<Index> load_index(Place& place, const Index& before);

/// Puts what these files hold into `content`, which supersedes them; without the packs in `except`,
/// and without commits that lay only there.
Status gather_index(const Index::Files& files, const std::set<Digest>& except,
                    IndexContent& content);

/// Writes `content` as one more index file, durable. Returns its name.
Result<Digest> put_index(Place& place, IndexContent& content);

/// Removes index files that another one supersedes, and first those that they themselves did: what
/// a crash kept of the older ones must not come back once nothing names it any more.
Status remove_superseded(Place& place, const Index::Files& files);

/// Merges small index files where there are many. Files of others are never lost: a merged file
/// names what it supersedes, and only then are those removed.
Status merge_index_files(Place& place, const Index& index);

}  // namespace kilter::store

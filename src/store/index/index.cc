#include "store/index/index.h"

#include <algorithm>
#include <map>

#include "base/try.h"

namespace kilter::store {
namespace {

/// Index files of one size class are merged once there are this many.
constexpr std::size_t kMergeCount = 8;

std::optional<Digest> index_digest(std::string_view name) {
  if (!name.starts_with("index/") || !name.ends_with(".idx")) return std::nullopt;
  return digest_from_hex(name.substr(6, name.size() - 10));
}

std::shared_ptr<const IndexFile> find_open(const Index& before, const Digest& name) {
  for (const auto& file : before.files())
    if (file->name() == name) return file;
  return nullptr;
}

/// A small one costs nothing to check whole; chunks are checked when they are read anyway.
Result<std::shared_ptr<const IndexFile>> open_checked(Place& place, const std::string& object,
                                                      const Digest& name) {
  KILTER_ASSIGN(const auto opened, place.open(object));
  auto file = IndexFile::open(*opened, name, opened->bytes() < 1U << 20);
  if (file || !place.forget(object)) return file;
  KILTER_ASSIGN(const auto again, place.open(object));
  return IndexFile::open(*again, name, again->bytes() < 1U << 20);
}

Result<std::vector<Digest>> index_names(Place& place) {
  KILTER_ASSIGN(const auto entries, place.list("index"));
  std::vector<Digest> names;
  for (const PlaceEntry& entry : entries)
    if (const auto name = index_digest(entry.name)) names.push_back(*name);
  return names;
}

/// Without those that are gone by now.
Result<Index::Files> open_listed(Place& place, const Index& before,
                                 const std::vector<Digest>& names) {
  Index::Files files;
  for (const Digest& name : names) {
    auto file = find_open(before, name);
    if (file == nullptr) {
      auto opened = open_checked(place, index_name(name), name);
      if (!opened && opened.error().code == ErrorCode::kNotFound) continue;
      if (!opened) return fail(std::move(opened).error());
      file = std::move(*opened);
    }
    files.push_back(std::move(file));
  }
  return files;
}

void drop_superseded(Index::Files& files) {
  std::set<Digest> superseded;
  for (const auto& file : files)
    for (const Digest& digest : file->superseded()) superseded.insert(digest);
  std::erase_if(files, [&](const auto& file) { return superseded.contains(file->name()); });
}

unsigned size_class(const IndexFile& file) {
  unsigned result = 0;
  for (std::uint64_t bytes = file.bytes() / 4096; bytes > 0; bytes /= 8) ++result;
  return result;
}

class IndexGatherer {
 public:
  IndexGatherer(const std::set<Digest>& except, IndexContent& content)
      : except_(except), content_(content) {}

  Status take(const IndexFile& file) {
    for (std::size_t i = 0; i < file.pack_count(); ++i) take_pack(file.pack(i));
    for (std::size_t i = 0; i < file.chunk_count(); ++i) {
      KILTER_ASSIGN(const ChunkPlace chunk, file.chunk(i));
      if (except_.contains(chunk.pack)) continue;
      if (chunk.record.kind == ChunkKind::kCommit) kept_commits_.insert(chunk.record.digest);
      content_.chunks.push_back({chunk.record, packs_.at(chunk.pack)});
    }
    content_.superseded.push_back(file.name());
    return ok();
  }

  /// Once all files' chunks are known.
  Status take_commits(const IndexFile& file) {
    for (std::size_t i = 0; i < file.commit_count(); ++i) {
      KILTER_ASSIGN(const IndexedCommit commit, file.commit(i));
      if (kept_commits_.contains(commit.digest) && taken_commits_.insert(commit.digest).second)
        content_.commits.push_back({commit.digest, commit.time_unix_ns, std::string(commit.text)});
    }
    return ok();
  }

 private:
  void take_pack(const IndexedPack& pack) {
    if (except_.contains(pack.digest)) return;
    if (packs_.emplace(pack.digest, content_.packs.size()).second) content_.packs.push_back(pack);
  }

  const std::set<Digest>& except_;
  IndexContent& content_;
  std::map<Digest, std::uint32_t> packs_;
  std::set<Digest> kept_commits_, taken_commits_;
};

void drop_repeated_chunks(IndexContent& content) {
  const auto key = [](const IndexContent::Chunk& chunk) {
    return std::tuple(chunk.record.digest, chunk.pack, chunk.record.offset_bytes);
  };
  std::ranges::sort(content.chunks, {}, key);
  const auto rest = std::ranges::unique(content.chunks, {}, key);
  content.chunks.erase(rest.begin(), rest.end());
}

Status merge_files(Place& place, const Index::Files& files, PlaceLock& held) {
  IndexContent content;
  KILTER_TRY(gather_index(files, {}, content));
  KILTER_TRY(held.still_held());  // gathering may have taken long
  KILTER_TRY(put_index(place, content));
  return remove_superseded(place, files);
}

}  // namespace

Result<std::vector<ChunkPlace>> Index::find_all(const Digest& digest) const {
  std::vector<ChunkPlace> places;
  for (const auto& file : files_) {
    for (std::size_t i = file->lower_bound(digest);
         i < file->chunk_count() && file->chunk_digest(i) == digest; ++i) {
      KILTER_ASSIGN(ChunkPlace place, file->chunk(i));
      places.push_back(place);
    }
  }
  std::ranges::stable_sort(places, {}, [](const ChunkPlace& p) { return p.record.depth; });
  return places;
}

Result<bool> Index::contains(const Digest& digest, const std::set<Digest>& except) const {
  for (const auto& file : files_) {
    for (std::size_t i = file->lower_bound(digest);
         i < file->chunk_count() && file->chunk_digest(i) == digest; ++i) {
      if (except.empty()) return true;
      KILTER_ASSIGN(const ChunkPlace place, file->chunk(i));
      if (!except.contains(place.pack)) return true;
    }
  }
  return false;
}

Result<std::vector<IndexedCommit>> Index::commits() const {
  std::vector<IndexedCommit> all;
  for (const auto& file : files_) {
    for (std::size_t i = 0; i < file->commit_count(); ++i) {
      KILTER_ASSIGN(const IndexedCommit commit, file->commit(i));
      all.push_back(commit);
    }
  }
  std::ranges::sort(all, [](const IndexedCommit& a, const IndexedCommit& b) {
    return std::pair(a.time_unix_ns, a.digest) < std::pair(b.time_unix_ns, b.digest);
  });
  const auto rest = std::ranges::unique(all, {}, &IndexedCommit::digest);
  all.erase(rest.begin(), rest.end());
  return all;
}

std::vector<IndexedPack> Index::packs() const {
  std::map<Digest, IndexedPack> all;
  for (const auto& file : files_)
    for (std::size_t i = 0; i < file->pack_count(); ++i)
      all.emplace(file->pack(i).digest, file->pack(i));
  std::vector<IndexedPack> out;
  for (const auto& [digest, pack] : all) out.push_back(pack);
  return out;
}

Result<std::vector<Digest>> Index::with_prefix(std::string_view hex, ChunkKind kind,
                                               std::size_t max) const {
  const auto first = digest_from_hex(std::string(hex) + std::string(64 - hex.size(), '0'));
  std::set<Digest> found;
  if (!first) return std::vector<Digest>();
  for (const auto& file : files_) {
    for (std::size_t i = file->lower_bound(*first); i < file->chunk_count(); ++i) {
      const Digest digest = file->chunk_digest(i);
      if (!to_hex(digest).starts_with(hex) || found.size() >= max) break;
      KILTER_ASSIGN(const ChunkPlace place, file->chunk(i));
      if (place.record.kind == kind) found.insert(digest);
    }
  }
  return std::vector<Digest>(found.begin(), found.end());
}

Result<Index> load_index(Place& place, const Index& before) {
  constexpr int kAttemptsMax = 100;
  for (int attempt = 0;; ++attempt) {
    KILTER_ASSIGN(const auto listed, index_names(place));
    KILTER_ASSIGN(Index::Files files, open_listed(place, before, listed));
    // A listing made while files are merged may hold neither the old ones nor the new one.
    KILTER_ASSIGN(const auto now, index_names(place));
    const bool steady = files.size() == listed.size() && now == listed;
    drop_superseded(files);
    if (steady) return Index(std::move(files));
    if (attempt == kAttemptsMax)
      return fail(Error(ErrorCode::kIo, "the index changed all the time while it was read")
                      .at_path(place.address())
                      .advise("try again"));
  }
}

Status gather_index(const Index::Files& files, const std::set<Digest>& except,
                    IndexContent& content) {
  IndexGatherer gatherer(except, content);
  for (const auto& file : files) KILTER_TRY(gatherer.take(*file));
  for (const auto& file : files) KILTER_TRY(gatherer.take_commits(*file));
  drop_repeated_chunks(content);
  return ok();
}

Result<Digest> put_index(Place& place, IndexContent& content) {
  const std::vector<std::byte> bytes = index_bytes(content);
  const Digest name = blake3(bytes);
  KILTER_TRY(place.put(index_name(name), bytes));
  return name;
}

Status remove_superseded(Place& place, const Index::Files& files) {
  for (const auto& file : files) {
    for (const Digest& older : file->superseded()) KILTER_TRY(place.remove(index_name(older)));
    KILTER_TRY(place.remove(index_name(file->name())));
  }
  return ok();
}

Status merge_index_files(Place& place, const Index& index) {
  std::map<unsigned, Index::Files> classes;
  for (const auto& file : index.files()) classes[size_class(*file)].push_back(file);
  for (const auto& [number, files] : classes) {
    if (files.size() < kMergeCount) continue;
    // One merger at a time: two would each supersede the other's input.
    KILTER_ASSIGN(const auto held, place.lock("index", false));
    if (held == nullptr) return ok();
    for (const auto& file : files) {
      auto opened = place.open(index_name(file->name()));
      if (!opened) return ok();  // merged by someone else meanwhile
    }
    KILTER_TRY(merge_files(place, files, *held));
  }
  return ok();
}

}  // namespace kilter::store

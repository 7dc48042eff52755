#include "store/keep/repair.h"

#include <algorithm>

#include "base/try.h"
#include "store/keep/collect.h"
#include "store/keep/reach.h"
#include "store/write/chunk_writer.h"

namespace kilter::store {
namespace {

std::optional<Digest> digest_of_name(std::string_view name, std::string_view suffix) {
  const std::size_t slash = name.rfind('/');
  if (slash == std::string_view::npos || !name.ends_with(suffix)) return std::nullopt;
  const std::string_view stem = name.substr(slash + 1);
  return digest_from_hex(stem.substr(0, stem.size() - suffix.size()));
}

Status set_bad_index_aside(Place& place, bool dry_run, RepairOutcome& outcome) {
  KILTER_ASSIGN(const auto entries, place.list("index"));
  for (const PlaceEntry& entry : entries) {
    const auto name = digest_of_name(entry.name, ".idx");
    if (!name) continue;
    KILTER_ASSIGN(const auto file, place.open(entry.name));
    if (IndexFile::open(*file, *name, true)) continue;
    outcome.set_aside.push_back(entry.name);
    if (!dry_run) KILTER_TRY(place.set_aside(entry.name));
  }
  return ok();
}

/// A pack that no index names, as index content.
Status index_pack(Store& store, const Digest& pack, std::uint64_t bytes, IndexContent& content) {
  auto directory = read_pack_directory(store.place(), pack);
  if (!directory) return ok();  // the check says what is wrong with it
  const auto number = static_cast<std::uint32_t>(content.packs.size());
  content.packs.push_back({pack, bytes, static_cast<std::uint32_t>(directory->size())});
  for (const ChunkRecord& record : *directory) {
    content.chunks.push_back({record, number});
    if (record.kind != ChunkKind::kCommit || record.has_base()) continue;
    const auto text = store.decode_place({record, pack});
    if (!text) continue;
    const auto commit = parse_commit(as_text(**text));
    if (commit)
      content.commits.push_back(
          {record.digest, commit->time_unix_ns, std::string(as_text(**text))});
  }
  return ok();
}

Status index_unknown_packs(Store& store, bool dry_run, RepairOutcome& outcome) {
  std::set<Digest> known;
  for (const IndexedPack& pack : store.index()->packs()) known.insert(pack.digest);
  KILTER_ASSIGN(const auto entries, store.place().list("packs"));
  IndexContent content;
  for (const PlaceEntry& entry : entries) {
    const auto pack = digest_of_name(entry.name, ".pack");
    if (pack && !known.contains(*pack)) KILTER_TRY(index_pack(store, *pack, entry.bytes, content));
  }
  outcome.indexed_packs = content.packs.size();
  if (content.packs.empty() || dry_run) return ok();
  KILTER_TRY(put_index(store.place(), content).map([](const Digest&) {}));
  return store.refresh();
}

class Repairer {
 public:
  Repairer(Store& store, const RepairRequest& request, RepairOutcome& outcome)
      : store_(store), request_(request), outcome_(outcome) {}

  Status run() {
    KILTER_ASSIGN(outcome_.after, check());
    if (outcome_.after.faults.empty()) return ok();
    KILTER_TRY(find_bad_packs());
    if (request_.dry_run) return ok();
    KILTER_TRY(rescue());
    std::set<Digest> leaving(bad_.begin(), bad_.end());
    KILTER_TRY(drop_packs_from_index(store_, leaving));
    for (const Digest& pack : leaving) {
      const std::string name = pack_name(pack);
      if (!store_.place().open(name)) continue;  // it was not there at all
      KILTER_TRY(store_.place().set_aside(name));
    }
    KILTER_TRY(store_.refresh());
    KILTER_ASSIGN(outcome_.after, check());
    return ok();
  }

 private:
  Result<CheckOutcome> check() {
    CheckRequest request;
    request.data = true;
    request.max_memory_bytes = request_.max_memory_bytes;
    request.context = request_.context;
    return check_store(store_, request);
  }

  Status find_bad_packs() {
    bad_ = outcome_.after.bad_packs;
    for (const ChunkPlace& place : outcome_.after.bad_places) {
      // A chunk may fail because of what it leans on: then its own pack is sound.
      if (store_.read_payload(place)) {
        if (place.record.form != Form::kRaw) continue;
      }
      bad_.insert(place.pack);
    }
    for (const Digest& pack : bad_) outcome_.set_aside.push_back(pack_name(pack));
    return ok();
  }

  /// Chunks of bad packs that still come out right, and those that the copy has.
  Status rescue() {
    ChunkWriterOptions options;
    options.memory_bytes = request_.max_memory_bytes / 2;
    ChunkWriter writer(store_, options);
    // The same chunks in the same order would give the new pack the damaged one's name.
    const std::string mark = "repair " + random_hex(32);
    const Bytes mark_bytes = as_bytes(mark);
    Digest mark_digest{};
    KILTER_TRY(writer.add({mark_bytes.begin(), mark_bytes.end()}, ChunkKind::kData, &mark_digest));
    const auto index = store_.index();
    for (const auto& file : index->files())
      for (std::size_t i = 0; i < file->chunk_count(); ++i) {
        KILTER_ASSIGN(const ChunkPlace place, file->chunk(i));
        if (!bad_.contains(place.pack)) continue;
        KILTER_ASSIGN(const bool elsewhere, index->contains(place.record.digest, bad_));
        if (!elsewhere) KILTER_TRY(rescue_chunk(writer, place.record.digest, &place));
      }
    for (const StoreFault& fault : outcome_.after.faults)
      if (!fault.affected.empty()) KILTER_TRY(rescue_chunk(writer, fault.chunk, nullptr));
    KILTER_ASSIGN(IndexContent content, writer.finish());
    KILTER_TRY(add_commits(content));
    if (content.packs.empty()) return ok();
    return put_index(store_.place(), content).map([](const Digest&) {});
  }

  Status rescue_chunk(ChunkWriter& writer, const Digest& digest, const ChunkPlace* place) {
    if (rescued_.contains(digest) || digest == Digest{}) return ok();
    auto plain = store_.read_chunk(digest, false);
    bool fetched = false;
    if (!plain && request_.copy != nullptr) {
      plain = request_.copy->read_chunk(digest, false);
      fetched = plain.has_value();
    }
    if (!plain) return ok();  // lost: the last check names what it was part of
    rescued_.insert(digest);
    ++(fetched ? outcome_.fetched_count : outcome_.saved_count);
    ChunkRecord record;
    KILTER_TRY(find_record(digest, place, fetched, record));
    return writer.add_made(
        [bytes = *plain, record]() -> Result<MadeChunk> {
          EncodedChunk encoded = encode_smallest(record.element, *bytes, {}, Effort::kFast);
          MadeChunk made{record, encoded.form == Form::kRaw ? *bytes : std::move(encoded.payload)};
          made.record.form = encoded.form;
          made.record.base = {};
          made.record.depth = 0;
          made.record.bytes = static_cast<std::uint32_t>(bytes->size());
          made.record.tried = Tried::kFast;
          return made;
        },
        2 * (*plain)->size());
  }

  /// Kind and element, from whichever store knows them.
  Status find_record(const Digest& digest, const ChunkPlace* place, bool fetched,
                     ChunkRecord& record) {
    if (place != nullptr) {
      record = place->record;
      return ok();
    }
    const Store& knows = fetched ? *request_.copy : store_;
    KILTER_ASSIGN(const auto places, knows.index()->find_all(digest));
    if (!places.empty()) record = places.front().record;
    record.digest = digest;
    return ok();
  }

  Status add_commits(IndexContent& content) {
    for (const IndexContent::Chunk& chunk : content.chunks) {
      if (chunk.record.kind != ChunkKind::kCommit) continue;
      Store& knows = request_.copy != nullptr ? *request_.copy : store_;
      auto text = store_.read_chunk(chunk.record.digest, false);
      if (!text) text = knows.read_chunk(chunk.record.digest, false);
      if (!text) continue;
      KILTER_ASSIGN(const Commit commit, parse_commit(as_text(**text)));
      content.commits.push_back(
          {chunk.record.digest, commit.time_unix_ns, std::string(as_text(**text))});
    }
    return ok();
  }

  Store& store_;
  const RepairRequest& request_;
  RepairOutcome& outcome_;
  std::set<Digest> bad_;
  DigestSet rescued_;
};

}  // namespace

Result<std::shared_ptr<Store>> open_for_repair(std::unique_ptr<Place> place, bool dry_run,
                                               RepairOutcome& outcome) {
  place->bypass_cache();
  KILTER_TRY(set_bad_index_aside(*place, dry_run, outcome));
  KILTER_ASSIGN(auto store, Store::open(std::move(place)));
  KILTER_TRY(index_unknown_packs(*store, dry_run, outcome));
  return store;
}

Status repair(Store& store, const RepairRequest& request, RepairOutcome& outcome) {
  KILTER_ASSIGN(const auto held, lock_keeping(store));
  return Repairer(store, request, outcome).run();
}

}  // namespace kilter::store

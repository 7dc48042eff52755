#include "store/keep/collect.h"

#include <algorithm>
#include <map>

#include "base/try.h"
#include "store/fossils.h"
#include "store/keep/reach.h"

namespace kilter::store {
namespace {

constexpr std::int64_t kStaleAgeNs = 24LL * 3600 * 1'000'000'000;

/// What each pack holds that is needed, and needed from this pack alone.
struct PackUse {
  std::uint64_t bytes = 0;       // of the pack
  std::uint64_t live_bytes = 0;  // payloads of chunks that are reachable
  std::uint64_t sole_count = 0;  // reachable chunks that lie in no pack that stays
};
using PackUses = std::map<Digest, PackUse>;

Result<PackUses> use_of_packs(const Index& index, const DigestSet& reachable,
                              const std::set<Digest>& leaving) {
  PackUses uses;
  for (const IndexedPack& pack : index.packs()) uses[pack.digest].bytes = pack.bytes;
  for (const auto& file : index.files()) {
    for (std::size_t i = 0; i < file->chunk_count(); ++i) {
      if (!reachable.contains(file->chunk_digest(i))) continue;
      KILTER_ASSIGN(const ChunkPlace place, file->chunk(i));
      PackUse& use = uses[place.pack];
      use.live_bytes += place.record.stored_bytes;
      if (!leaving.contains(place.pack)) continue;
      KILTER_ASSIGN(const bool elsewhere, index.contains(place.record.digest, leaving));
      if (!elsewhere) ++use.sole_count;
    }
  }
  return uses;
}

/// A chunk that stays needs a place of its base that stays too and lies less deep: without one, the
/// packs that have such a place are needed as well.
Status count_needed_bases(const Index& index, const DigestSet& reachable,
                          const std::set<Digest>& leaving, PackUses& uses) {
  for (const auto& file : index.files()) {
    for (std::size_t i = 0; i < file->chunk_count(); ++i) {
      if (!reachable.contains(file->chunk_digest(i))) continue;
      KILTER_ASSIGN(const ChunkPlace place, file->chunk(i));
      if (!place.record.has_base() || leaving.contains(place.pack)) continue;
      KILTER_ASSIGN(auto bases, index.find_all(place.record.base));
      std::erase_if(
          bases, [&](const ChunkPlace& base) { return base.record.depth >= place.record.depth; });
      const auto goes = [&](const ChunkPlace& base) { return leaving.contains(base.pack); };
      if (!std::ranges::all_of(bases, goes)) continue;
      for (const ChunkPlace& base : bases) ++uses[base.pack].sole_count;
    }
  }
  return ok();
}

/// Takes from `leaving` what must stay; each pack that stays may need others.
Result<PackUses> keep_needed(const Index& index, const DigestSet& reachable,
                             std::set<Digest>& leaving) {
  while (true) {
    KILTER_ASSIGN(PackUses uses, use_of_packs(index, reachable, leaving));
    KILTER_TRY(count_needed_bases(index, reachable, leaving, uses));
    const std::size_t before = leaving.size();
    std::erase_if(leaving, [&](const Digest& pack) {
      const auto use = uses.find(pack);
      return use != uses.end() && use->second.sole_count > 0;
    });
    if (leaving.size() == before) return uses;
  }
}

bool still_waited_for(const FossilList& list, const std::vector<std::string>& alive) {
  if (!list.sessions) return !alive.empty();
  return std::ranges::any_of(*list.sessions, [&](const std::string& session) {
    return std::ranges::find(alive, session) != alive.end();
  });
}

class Collector {
 public:
  Collector(Store& store, const RunContext& context, CollectReport& outcome)
      : store_(store), context_(context), outcome_(outcome) {}

  /// Looks at the store as it is now. Nothing is removed from one that cannot be read whole.
  Status look(const std::set<Digest>& leaving = {}) {
    KILTER_TRY(store_.refresh());
    KILTER_ASSIGN(const History history, History::load(store_));
    KILTER_ASSIGN(Reach reach, mark_reachable(store_, history, context_, leaving));
    if (!reach.faults.empty()) {
      Error error = reach.faults.front();
      error.hint = "nothing was removed: run `kilter check`, then `kilter repair`";
      return fail(std::move(error));
    }
    reachable_ = std::move(reach.chunks);
    return ok();
  }

  /// Packs nobody needs and nobody has condemned yet.
  Result<std::vector<Digest>> find_dead() {
    KILTER_ASSIGN(const auto condemned, condemned_packs(store_.place()));
    KILTER_ASSIGN(const PackUses uses, use_of_packs(*store_.index(), reachable_, {}));
    std::vector<Digest> dead;
    for (const auto& [pack, use] : uses) {
      if (condemned.contains(pack)) continue;
      if (use.live_bytes == 0) dead.push_back(pack);
      if (use.live_bytes > 0)
        outcome_.dead_bytes += use.bytes - std::min(use.bytes, use.live_bytes);
    }
    return dead;
  }

  /// A list first, then who was alive once it was there: whoever comes later reads the list.
  Status condemn(const std::vector<Digest>& packs) {
    if (packs.empty()) return ok();
    FossilList list;
    list.packs = packs;
    KILTER_TRY(write_fossils(store_.place(), list));
    return note_sessions(list);
  }

  Status finish_lists() {
    KILTER_ASSIGN(const auto lists, read_fossils(store_.place()));
    for (const FossilList& list : lists) {
      const bool noted = !list.sessions && std::ranges::any_of(lists, [&](const FossilList& other) {
        return other.sessions && other.packs == list.packs;
      });
      if (noted) continue;  // goes with the list that says whose sessions
      KILTER_ASSIGN(const auto alive, store_.place().live_sessions());
      if (still_waited_for(list, alive)) {
        KILTER_TRY(keep_waiting(list, alive));
      } else {
        KILTER_TRY(finish_list(list));
      }
    }
    return ok();
  }

 private:
  Status keep_waiting(const FossilList& list, const std::vector<std::string>& alive) {
    for (const IndexedPack& pack : store_.index()->packs())
      if (std::ranges::binary_search(list.packs, pack.digest)) {
        ++outcome_.waiting_packs;
        outcome_.waiting_bytes += pack.bytes;
      }
    outcome_.writers = alive;
    return list.sessions ? ok() : note_sessions(list);
  }

  /// A second list with the writers that were alive once the first was there. The first stays as
  /// long: whoever looks meanwhile always sees one of them.
  Status note_sessions(FossilList list) {
    KILTER_ASSIGN(list.sessions, store_.place().live_sessions());
    return write_fossils(store_.place(), list);
  }

  /// The writers of then have ended: what they have come to need stays, the rest goes.
  Status finish_list(const FossilList& list) {
    std::set<Digest> leaving(list.packs.begin(), list.packs.end());
    KILTER_TRY(look(leaving));
    KILTER_ASSIGN(const PackUses uses, keep_needed(*store_.index(), reachable_, leaving));
    for (const auto& [pack, use] : uses)
      if (leaving.contains(pack)) {
        ++outcome_.removed_packs;
        outcome_.removed_bytes += use.bytes;
      }
    KILTER_TRY(drop_packs_from_index(store_, leaving));
    for (const Digest& pack : leaving) KILTER_TRY(store_.place().remove(pack_name(pack)));
    KILTER_TRY(store_.place().remove(list.name));
    FossilList first;
    first.packs = list.packs;
    return store_.place().remove(fossils_name(first));
  }

  Store& store_;
  const RunContext& context_;
  CollectReport& outcome_;
  DigestSet reachable_;
};

Status count_dead(Store& store, const std::vector<Digest>& dead, CollectReport& outcome) {
  for (const IndexedPack& pack : store.index()->packs())
    if (std::ranges::find(dead, pack.digest) != dead.end()) {
      ++outcome.removed_packs;
      outcome.removed_bytes += pack.bytes;
    }
  KILTER_ASSIGN(outcome.swept_files, store.place().sweep(kStaleAgeNs, true));
  return ok();
}

}  // namespace

Result<std::unique_ptr<PlaceLock>> lock_keeping(Store& store) {
  KILTER_ASSIGN(auto held, store.place().lock("keeping", false));
  if (held != nullptr) return held;
  return fail(Error(ErrorCode::kAlreadyExists, "another collect, compact or repair is running")
                  .at_path(store.address())
                  .advise("wait for it, then try again"));
}

// One file in place of all that name them.
Status drop_packs_from_index(Store& store, const std::set<Digest>& packs) {
  Place& place = store.place();
  KILTER_ASSIGN(const auto held, place.lock("index", true));
  KILTER_TRY(store.refresh());
  const auto index = store.index();
  Index::Files touched;
  for (const auto& file : index->files())
    for (std::size_t i = 0; i < file->pack_count(); ++i)
      if (packs.contains(file->pack(i).digest)) {
        touched.push_back(file);
        break;
      }
  if (touched.empty()) return ok();
  IndexContent content;
  KILTER_TRY(gather_index(touched, packs, content));
  KILTER_TRY(held->still_held());  // gathering may have taken long
  KILTER_TRY(put_index(place, content));
  KILTER_TRY(remove_superseded(place, touched));
  return store.refresh();
}

Result<CollectReport> collect(Store& store, const CollectRequest& request) {
  CollectReport outcome;
  KILTER_ASSIGN(const auto held, lock_keeping(store));
  Collector collector(store, request.context, outcome);
  KILTER_TRY(collector.look());
  KILTER_ASSIGN(const auto dead, collector.find_dead());
  if (request.dry_run) {
    KILTER_TRY(count_dead(store, dead, outcome));
    return outcome;
  }
  KILTER_TRY(collector.condemn(dead));
  KILTER_TRY(collector.finish_lists());
  KILTER_TRY(store.place().live_sessions().map([](const auto&) {}));  // forgets the dead ones
  KILTER_ASSIGN(outcome.swept_files, store.place().sweep(kStaleAgeNs, false));
  return outcome;
}

Status condemn_packs(Store& store, const std::vector<Digest>& packs, CollectReport& outcome,
                     const RunContext& context) {
  Collector collector(store, context, outcome);
  KILTER_TRY(collector.look());
  KILTER_TRY(collector.condemn(packs));
  KILTER_TRY(collector.finish_lists());
  // What only those packs leaned on is free now.
  KILTER_TRY(collector.look());
  outcome.dead_bytes = 0;
  KILTER_ASSIGN(const auto dead, collector.find_dead());
  KILTER_TRY(collector.condemn(dead));
  return dead.empty() ? ok() : collector.finish_lists();
}

}  // namespace kilter::store

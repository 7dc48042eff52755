#include "store/store.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <list>

#include "base/checked.h"
#include "base/json.h"
#include "base/text.h"
#include "base/try.h"
#include "store/chunk_cache.h"
#include "store/chunk_payload.h"
#include "store/format/base.h"
#include "store/format/json_fields.h"

namespace kilter::store {
namespace {

constexpr std::uint64_t kStoreVersion = 1;
constexpr std::size_t kOpenPacksMax = 64;
// Where one chunk is read from before it counts as lost: a hostile index may name any number.
constexpr std::size_t kDamagedPlacesMax = 256;

std::string store_text(const std::vector<std::string>& features) {
  SortedJson out;
  out["created"] = time_text(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                 std::chrono::system_clock::now().time_since_epoch())
                                 .count());
  out["format"] = "kilter-store";
  out["id"] = random_hex(32);
  out["requires"] = SortedJson(features);
  out["version"] = kStoreVersion;
  return out.dump() + "\n";
}

/// False where there is a store already.
Result<bool> write_store_file(Place& place) {
  KILTER_TRY(place.make_root());
  KILTER_ASSIGN(const auto features, place.needed_features());
  return place.replace_small(std::string(kStoreFile), store_text(features), std::nullopt);
}

/// Also has the place do as the store requires.
Status check_store_text(std::string_view text, Place& place) {
  KILTER_ASSIGN(const Json json, parse_json(text, {.bytes_max = kSmallTextMax, .depth_max = 16}));
  JsonFields fields(json, "kilter-store.json");
  const std::string format = fields.text("format");
  const std::uint64_t version = fields.u64("version", ~std::uint64_t{0});
  const Json& needs = fields.array("requires", true);
  KILTER_TRY(fields.status());
  if (format != "kilter-store") return fail(ErrorCode::kMalformed, "is no store of Kilter");
  if (version != kStoreVersion)
    return fail(Error(ErrorCode::kUnsupported, "the store is of another version")
                    .wanted("version 1", "version " + std::to_string(version))
                    .advise("use a newer Kilter"));
  for (const Json& need : needs)
    if (!need.is_string() || !place.use_feature(need.get<std::string>()))
      return fail(Error(ErrorCode::kUnsupported, "the store needs \"" +
                                                     escape_text(need.dump(), 60) +
                                                     "\", which this program does not know")
                      .advise("use a newer Kilter"));
  return ok();
}

bool is_same_place(const ChunkPlace& a, const ChunkPlace& b) {
  return a.pack == b.pack && a.record.offset_bytes == b.record.offset_bytes;
}

/// Where to read what `above` leans on; nullptr for nowhere. One that does not suit is better than
/// none: decoding says what is wrong with it.
const ChunkPlace* choose_base(const ChunkRecord& above, const std::vector<ChunkPlace>& places,
                              const std::vector<ChunkPlace>& avoid) {
  const ChunkPlace* any = nullptr;
  for (const ChunkPlace& place : places) {
    if (place.record.depth >= above.depth ||
        std::ranges::any_of(avoid, [&](const auto& a) { return is_same_place(a, place); }))
      continue;
    if (suits_as_base(above, place.record)) return &place;
    if (any == nullptr) any = &place;
  }
  return any;
}

}  // namespace

struct Store::Reading {
  std::mutex mutex;
  ChunkCache chunks;
  std::map<Digest, std::shared_ptr<const Tree>> trees;
  std::list<std::pair<Digest, std::shared_ptr<const io::ReadFile>>> packs;  // last used first
};

Store::Store(std::unique_ptr<Place> place)
    : place_(std::move(place)),
      index_(std::make_shared<const Index>()),
      reading_(std::make_unique<Reading>()) {}
Store::~Store() = default;

Result<std::shared_ptr<Store>> Store::create(std::unique_ptr<Place> place) {
  KILTER_ASSIGN(const bool made, write_store_file(*place));
  if (!made)
    return fail(
        Error(ErrorCode::kAlreadyExists, "there is a store already").at_path(place->address()));
  return open(std::move(place));
}

Result<std::shared_ptr<Store>> Store::open_or_create(std::unique_ptr<Place> place) {
  KILTER_ASSIGN(const auto text, place->read_small(std::string(kStoreFile)));
  if (text) return open(std::move(place));
  // If it is not ours that stays, another's does.
  KILTER_TRY(write_store_file(*place).map([](bool) {}));
  return open(std::move(place));
}

Result<std::shared_ptr<Store>> Store::open(std::unique_ptr<Place> place) {
  KILTER_ASSIGN(const auto text, place->read_small(std::string(kStoreFile)));
  if (!text)
    return fail(Error(ErrorCode::kNotFound, "there is no store here")
                    .at_path(place->address())
                    .advise("`kilter save SRC STORE` makes one"));
  if (auto sound = check_store_text(*text, *place); !sound)
    return fail(std::move(sound).error().at_path(io::join_path(place->address(), kStoreFile)));
  auto store = std::make_shared<Store>(std::move(place));
  KILTER_TRY(store->refresh());
  return store;
}

std::shared_ptr<const Index> Store::index() const {
  const std::lock_guard guard(mutex_);
  return index_;
}

Status Store::refresh() {
  KILTER_ASSIGN(Index fresh, load_index(*place_, *index()));
  const std::lock_guard guard(mutex_);
  index_ = std::make_shared<const Index>(std::move(fresh));
  return ok();
}

void Store::set_cache_bytes(std::uint64_t bytes) {
  const std::lock_guard guard(reading_->mutex);
  reading_->chunks.set_bytes_max(bytes);
}

Result<std::shared_ptr<const io::ReadFile>> Store::open_pack(const Digest& pack) {
  {
    const std::lock_guard guard(reading_->mutex);
    auto& packs = reading_->packs;
    const auto found =
        std::ranges::find(packs, pack, [](const auto& entry) { return entry.first; });
    if (found != packs.end()) {
      packs.splice(packs.begin(), packs, found);
      return packs.front().second;
    }
  }
  KILTER_ASSIGN(std::shared_ptr<const io::ReadFile> file, place_->open(pack_name(pack)));
  const std::lock_guard guard(reading_->mutex);
  reading_->packs.emplace_front(pack, file);
  if (reading_->packs.size() > kOpenPacksMax) reading_->packs.pop_back();
  return file;
}

/// Who copies a payload without decoding it must not pass damage on under a good name.
Result<RawBytes> Store::read_payload(const ChunkPlace& place) {
  const auto read = [&]() -> Result<RawBytes> {
    KILTER_ASSIGN(const auto file, open_pack(place.pack));
    KILTER_ASSIGN(auto payload, fetch_payload(*file, place));
    if (place.record.form == Form::kRaw && blake3(payload) != place.record.digest)
      return fail(wrong_bytes(place));
    return payload;
  };
  auto payload = read();
  if (!payload && payload.error().code == ErrorCode::kCorrupt &&
      place_->forget(pack_name(place.pack)))
    payload = read();
  return payload;
}

/// Follows the chunk in `chain` to what it leans on, until one stands alone.
Status Store::find_chain(std::vector<ChunkPlace>& chain, const std::vector<ChunkPlace>& avoid) {
  while (chain.back().record.has_base()) {
    const ChunkRecord& above = chain.back().record;
    KILTER_ASSIGN(const auto places, index()->find_all(above.base));
    const ChunkPlace* below = choose_base(above, places, avoid);
    if (below == nullptr)
      return fail(at_chunk(Error(ErrorCode::kCorrupt, "what the chunk leans on is missing")
                               .wanted("chunk " + to_hex(above.base), "none of this name"),
                           chain.back()));
    chain.push_back(*below);
  }
  return ok();
}

Result<PlainChunk> Store::decode_link(const ChunkPlace& place, const CodecBase* base) {
  KILTER_ASSIGN(const auto file, open_pack(place.pack));
  KILTER_ASSIGN(auto payload, fetch_payload(*file, place));
  KILTER_ASSIGN(auto plain, decode_payload(place, std::move(payload), base));
  return std::make_shared<const RawBytes>(std::move(plain));
}

/// Begins at the first link that is still in memory and keeps the others: a chunk's neighbours in
/// time lean on the same ones. The place that is at fault is added to `avoid`.
Result<PlainChunk> Store::try_decode(const ChunkPlace& place, Keep keep,
                                     std::vector<ChunkPlace>& avoid) {
  std::vector<ChunkPlace> chain{place};
  if (auto found = find_chain(chain, avoid); !found) {
    avoid.push_back(chain.back());
    return fail(std::move(found).error());
  }
  PlainChunk plain;
  std::size_t i = 1;
  for (; keep != Keep::kNothing && i < chain.size() && plain == nullptr; ++i)
    plain = find_kept(chain[i].record.digest);
  i = plain != nullptr ? i - 1 : chain.size();
  while (i-- > 0) {
    CodecBase base;
    if (plain != nullptr) base = {chain[i + 1].record.element, *plain};
    auto next = decode_link(chain[i], plain != nullptr ? &base : nullptr);
    if (!next) {
      avoid.push_back(chain[i]);
      return next;
    }
    plain = std::move(*next);
    if (keep == Keep::kAll || (keep == Keep::kBases && i > 0))
      keep_chunk(chain[i].record.digest, plain);
  }
  return plain;
}

/// A base that is damaged where it was looked for may lie elsewhere too. What is said is what was
/// wrong first.
Result<PlainChunk> Store::decode_from(const ChunkPlace& place, Keep keep) {
  std::vector<ChunkPlace> avoid;
  auto chunk = try_decode(place, keep, avoid);
  while (!chunk && !is_same_place(avoid.back(), place) && avoid.size() < kDamagedPlacesMax)
    if (auto other = try_decode(place, keep, avoid)) return other;
  return chunk;
}

Result<PlainChunk> Store::decode_place(const ChunkPlace& place) {
  return decode_from(place, Keep::kNothing);
}

PlainChunk Store::find_kept(const Digest& digest) {
  const std::lock_guard guard(reading_->mutex);
  return reading_->chunks.find(digest);
}

void Store::keep_chunk(const Digest& digest, const PlainChunk& chunk) {
  const std::lock_guard guard(reading_->mutex);
  reading_->chunks.add(digest, chunk);
}

Result<PlainChunk> Store::read_once(const Digest& digest, bool keep) {
  KILTER_ASSIGN(const auto places, index()->find_all(digest));
  Result<PlainChunk> first =
      fail(Error(ErrorCode::kNotFound, "the store has no chunk " + to_hex(digest))
               .at_path(address())
               .advise("run `kilter check`"));
  const Keep what = keep ? Keep::kAll : Keep::kBases;
  for (std::size_t i = 0; i < places.size(); ++i) {
    auto chunk = decode_from(places[i], what);
    // Its path names the pack: what is kept of it on this machine may be at fault.
    if (!chunk && chunk.error().code == ErrorCode::kCorrupt && place_->forget(chunk.error().path))
      chunk = decode_from(places[i], what);
    if (chunk) return chunk;
    if (i == 0) first = std::move(chunk);
  }
  return first;
}

Result<PlainChunk> Store::read_chunk(const Digest& digest, bool keep) {
  if (PlainChunk found = find_kept(digest)) return found;
  auto chunk = read_once(digest, keep);
  if (!chunk && chunk.error().code == ErrorCode::kNotFound) {
    // Packs go when others compact: then the chunk lies elsewhere by now.
    KILTER_TRY(refresh());
    chunk = read_once(digest, keep);
    // What a commit needs is not merely not there: the store is damaged.
    if (!chunk && chunk.error().code == ErrorCode::kNotFound) {
      Error error = std::move(chunk).error();
      error.code = ErrorCode::kCorrupt;
      return fail(std::move(error));
    }
  }
  return chunk;
}

Status Store::read_chunk_into(const Digest& digest, std::span<std::byte> out) {
  if (find_kept(digest) == nullptr) {
    KILTER_ASSIGN(const auto places, index()->find_all(digest));
    for (const ChunkPlace& place : places) {
      if (place.record.has_base() || place.record.bytes != out.size()) continue;
      const auto file = open_pack(place.pack);
      if (file && decode_into(**file, place, out)) return ok();
      break;  // the other way knows what to do about damage
    }
  }
  KILTER_ASSIGN(const PlainChunk chunk, read_chunk(digest, false));
  if (chunk->size() != out.size())
    return fail(ErrorCode::kCorrupt, "a chunk is not as long as its tree says");
  if (!out.empty()) std::memcpy(out.data(), chunk->data(), out.size());
  return ok();
}

Result<Commit> Store::read_commit(const Digest& digest) {
  KILTER_ASSIGN(const PlainChunk text, read_chunk(digest, false));
  auto commit = parse_commit(as_text(*text));
  if (!commit) return fail(std::move(commit).error().at_path("commit " + to_hex(digest)));
  return commit;
}

Result<std::shared_ptr<const Tree>> Store::read_tree(const Digest& digest) {
  {
    const std::lock_guard guard(reading_->mutex);
    const auto found = reading_->trees.find(digest);
    if (found != reading_->trees.end()) return found->second;
  }
  KILTER_ASSIGN(const PlainChunk text, read_chunk(digest, false));
  auto parsed = parse_tree(as_text(*text));
  if (!parsed) return fail(std::move(parsed).error().at_path("tree " + to_hex(digest)));
  auto tree = std::make_shared<const Tree>(std::move(*parsed));
  const std::lock_guard guard(reading_->mutex);
  if (reading_->trees.size() > 8) reading_->trees.clear();
  reading_->trees[digest] = tree;
  return tree;
}

}  // namespace kilter::store

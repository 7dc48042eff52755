#include "store/keep/compact.h"

#include <algorithm>
#include <atomic>
#include <map>

#include "base/try.h"
#include "store/format/element.h"
#include "store/keep/bases.h"
#include "store/keep/reach.h"
#include "store/write/chunk_writer.h"

namespace kilter::store {
namespace {

/// Packs of this size are not worth asking what of them is dead; many of them are made one.
constexpr std::uint64_t kSmallPackBytes = 64 << 10;
constexpr std::ptrdiff_t kSmallPacksMax = 32;

/// What is known of a chunk that is or will be written anew: how deep it lies.
struct Settled {
  std::uint8_t depth = 0;
  Element element = Element::kBytes;
};

/// Something a chunk might lean on.
struct CompactCandidate {
  Digest digest{};
  Element element = Element::kBytes;
  std::uint8_t depth = 0;
};

struct Work {
  ChunkPlace place;
  std::vector<CompactCandidate> bases;
};

class Compactor {
 public:
  Compactor(Store& store, const CompactRequest& request, CompactReport& outcome)
      : store_(store), request_(request), outcome_(outcome) {}

  Status run() {
    KILTER_TRY(store_.refresh());
    KILTER_ASSIGN(history_, History::load(store_));
    KILTER_ASSIGN(Reach reach, mark_reachable(store_, history_, request_.context));
    if (!reach.faults.empty())
      return fail(std::move(reach.faults.front()).advise("run `kilter check`"));
    reachable_ = std::move(reach.chunks);
    for (const IndexedPack& pack : store_.index()->packs()) outcome_.before_bytes += pack.bytes;
    KILTER_TRY(find_direct());
    KILTER_TRY(note_ceilings());
    KILTER_TRY(choose_packs());
    begin_progress();
    Status walked = walk();
    if (request_.context.progress != nullptr) request_.context.progress->end();
    return walked;
  }

  const std::vector<Digest>& leaving() const { return leaving_; }

 private:
  /// Chunks of checkpoints that are kept; others are there only because these lean on them.
  Status find_direct() {
    for (const CommitSummary& commit : history_.commits()) {
      if (commit.retired || !reachable_.contains(commit.digest)) continue;
      KILTER_ASSIGN(const auto tree, store_.read_tree(commit.tree));
      for (const TreeTensor& tensor : tree->tensors)
        direct_.insert(tensor.chunks.begin(), tensor.chunks.end());
    }
    return ok();
  }

  /// Whoever leans on a chunk lies deeper than it, and must go on doing so.
  Status note_ceilings() {
    const auto index = store_.index();
    for (const auto& file : index->files())
      for (std::size_t i = 0; i < file->chunk_count(); ++i) {
        KILTER_ASSIGN(const ChunkPlace place, file->chunk(i));
        if (!place.record.has_base()) continue;
        const auto [known, fresh] = ceilings_.emplace(place.record.base, place.record.depth);
        if (!fresh) known->second = std::min(known->second, place.record.depth);
      }
    return ok();
  }

  /// Saved fast, or leaning on what nobody wants for itself.
  bool is_unsettled(const ChunkRecord& record) const {
    if (!request_.encode) return false;
    return record.tried == Tried::kFast || (record.has_base() && !direct_.contains(record.base));
  }

  /// What is there only to be leaned on goes by itself once nobody does.
  bool direct_or_no_data(const ChunkRecord& record) const {
    return !record.has_base() || direct_.contains(record.digest);
  }

  /// Packs that hold something unsettled, or too much that nobody needs.
  Status choose_packs() {
    struct Use {
      std::uint64_t bytes = 0, live_bytes = 0;
      bool fast = false;
    };
    std::map<Digest, Use> uses;
    const auto index = store_.index();
    for (const IndexedPack& pack : index->packs()) uses[pack.digest].bytes = pack.bytes;
    for (const auto& file : index->files())
      for (std::size_t i = 0; i < file->chunk_count(); ++i) {
        if (!reachable_.contains(file->chunk_digest(i))) continue;
        KILTER_ASSIGN(const ChunkPlace place, file->chunk(i));
        Use& use = uses[place.pack];
        use.live_bytes += place.record.stored_bytes;
        use.fast = use.fast || (direct_or_no_data(place.record) && is_unsettled(place.record));
      }
    const auto is_small = [](const auto& pair) { return pair.second.bytes <= kSmallPackBytes; };
    const bool join = std::ranges::count_if(uses, is_small) >= kSmallPacksMax;
    for (const auto& [pack, use] : uses) {
      const double live = static_cast<double>(use.live_bytes);
      const bool dead = live < (1 - request_.dead_part_max) * static_cast<double>(use.bytes);
      const bool small = use.bytes <= kSmallPackBytes;
      if (!use.fast && !(small ? join : dead)) continue;
      leaving_.push_back(pack);
      leaving_set_.insert(pack);
      total_bytes_ += use.live_bytes;
      leaving_bytes_ += use.bytes;
    }
    return ok();
  }

  void begin_progress() {
    Progress* progress = request_.context.progress;
    if (progress != nullptr) progress->begin("compact", total_bytes_);
  }

  /// Commits from the oldest on: what a chunk leans on is settled before it.
  Status walk() {
    std::vector<std::size_t> order = history_.ancestry(std::nullopt);
    std::ranges::reverse(order);
    ChunkWriterOptions options;
    options.thread_count = request_.thread_count;
    options.memory_bytes = request_.max_memory_bytes / 2;
    options.discard = request_.dry_run;
    writer_ = std::make_unique<ChunkWriter>(store_, options);
    for (const std::size_t number : order) {
      KILTER_TRY(request_.context.check());
      KILTER_TRY(take_commit(number));
      KILTER_ASSIGN(IndexContent closed, writer_->take_closed());
      KILTER_TRY(put_closed(std::move(closed)));
    }
    KILTER_ASSIGN(IndexContent rest, writer_->finish());
    KILTER_TRY(put_closed(std::move(rest)));
    outcome_.after_bytes = outcome_.before_bytes - leaving_bytes_ + writer_->totals().stored_bytes;
    writer_.reset();
    return store_.refresh();
  }

  Status take_commit(std::size_t number) {
    const CommitSummary& commit = history_.commits()[number];
    KILTER_TRY(take_chunk(commit.digest, {}));
    if (commit.retired) return writer_->wait();
    KILTER_ASSIGN(const auto tree, store_.read_tree(commit.tree));
    KILTER_TRY(take_chunk(commit.tree, {}));
    for (const SkeletonPart& part : tree->skeleton) KILTER_TRY(take_chunk(part.digest, {}));
    KILTER_ASSIGN(const auto before, tree_before(commit));
    std::optional<TensorMatcher> matcher;
    if (before != nullptr) matcher.emplace(before);
    // float32 first: what others may be rounded copies of is settled then.
    for (const bool wide : {true, false}) {
      for (const TreeTensor& tensor : tree->tensors)
        if ((element_of(tensor.dtype) == Element::kF32) == wide)
          KILTER_TRY(take_tensor(*tree, tensor, matcher));
      KILTER_TRY(writer_->wait());
    }
    return ok();
  }

  /// The tree of the nearest commit before this one whose data is still there.
  Result<std::shared_ptr<const Tree>> tree_before(const CommitSummary& commit) {
    const CommitSummary* at = &commit;
    while (!at->parents.empty()) {
      const auto parent = history_.find(at->parents.front());
      if (!parent) break;
      at = &history_.commits()[*parent];
      if (!at->retired) return store_.read_tree(at->tree);
    }
    return std::shared_ptr<const Tree>();
  }

  Status take_tensor(const Tree& tree, const TreeTensor& tensor,
                     const std::optional<TensorMatcher>& matcher) {
    const TreeTensor* before = matcher ? matcher->find(tree, tensor) : nullptr;
    const auto rounded = rounding_candidates(tree, tensor);
    for (std::size_t i = 0; i < tensor.chunks.size(); ++i) {
      std::vector<Digest> bases;
      if (before != nullptr && i < before->chunks.size()) bases.push_back(before->chunks[i]);
      for (const TreeTensor* wide : rounded) bases.push_back(wide->chunks[i]);
      KILTER_TRY(take_chunk(tensor.chunks[i], bases));
    }
    return ok();
  }

  Result<std::optional<ChunkPlace>> smallest_place(const Digest& digest) const {
    KILTER_ASSIGN(auto places, store_.index()->find_all(digest));
    if (places.empty()) return std::optional<ChunkPlace>();
    return std::optional<ChunkPlace>(*std::ranges::min_element(
        places, {}, [](const ChunkPlace& place) { return place.record.stored_bytes; }));
  }

  Result<std::optional<Settled>> settled(const Digest& digest) {
    {
      const std::lock_guard guard(mutex_);
      const auto found = settled_.find(digest);
      if (found != settled_.end()) return std::optional<Settled>(found->second);
    }
    KILTER_ASSIGN(const auto place, smallest_place(digest));
    if (!place) return std::optional<Settled>();
    return std::optional<Settled>(Settled{place->record.depth, place->record.element});
  }

  Status take_chunk(const Digest& digest, const std::vector<Digest>& bases) {
    if (!taken_.insert(digest).second) return ok();
    KILTER_ASSIGN(const auto place, smallest_place(digest));
    if (!place || !leaving_set_.contains(place->pack)) return ok();
    Work work{*place, {}};
    const auto ceiling = ceilings_.find(digest);
    const unsigned depth_max = ceiling == ceilings_.end()
                                   ? request_.chain_max
                                   : std::min<unsigned>(request_.chain_max, ceiling->second - 1U);
    for (const Digest& base : bases) {
      KILTER_ASSIGN(const auto known, settled(base));
      if (base != digest && known && known->depth < depth_max)
        work.bases.push_back({base, known->element, known->depth});
    }
    done_bytes_ += place->record.stored_bytes;
    if (request_.context.progress != nullptr) request_.context.progress->update(done_bytes_);
    // Plain bytes, payload, and as much for each base.
    const std::uint64_t memory = place->record.bytes * (2 + 2 * work.bases.size());
    return writer_->add_made([this, work = std::move(work)] { return make(work); }, memory);
  }

  Result<MadeChunk> make(const Work& work) {
    const ChunkRecord& old = work.place.record;
    MadeChunk made;
    made.record = old;
    if (request_.encode) made.record.tried = Tried::kAll;
    if (!is_unsettled(old)) {
      KILTER_ASSIGN(made.payload, store_.read_payload(work.place));
      settle(made.record);
      return made;
    }
    KILTER_ASSIGN(const PlainChunk plain, store_.read_chunk(old.digest, true));
    std::vector<PlainChunk> held;
    std::vector<CodecBase> bases;
    for (const CompactCandidate& candidate : work.bases) {
      KILTER_ASSIGN(PlainChunk base, store_.read_chunk(candidate.digest, true));
      bases.push_back({candidate.element, *base});
      held.push_back(std::move(base));
    }
    EncodedChunk encoded = encode_smallest(old.element, *plain, bases, Effort::kSmall);
    made.record.form = encoded.form;
    made.record.base = {};
    made.record.depth = 0;
    if (encoded.base) {
      made.record.base = work.bases[*encoded.base].digest;
      made.record.depth = static_cast<std::uint8_t>(work.bases[*encoded.base].depth + 1);
    }
    made.payload = encoded.form == Form::kRaw ? *plain : std::move(encoded.payload);
    ++encoded_count_;
    if (made.payload.size() < old.stored_bytes) ++smaller_count_;
    settle(made.record);
    return made;
  }

  void settle(const ChunkRecord& record) {
    const std::lock_guard guard(mutex_);
    settled_[record.digest] = {record.depth, record.element};
  }

  /// Packs that are whole go into the index at once: an interruption loses one pack at most.
  Status put_closed(IndexContent content) {
    outcome_.encoded_count = encoded_count_;
    outcome_.smaller_count = smaller_count_;
    if (content.packs.empty()) return ok();
    DigestSet here;
    for (const IndexContent::Chunk& chunk : content.chunks)
      if (chunk.record.kind == ChunkKind::kCommit) here.insert(chunk.record.digest);
    const auto index = store_.index();
    KILTER_ASSIGN(const auto commits, index->commits());
    for (const IndexedCommit& commit : commits)
      if (here.contains(commit.digest))
        content.commits.push_back({commit.digest, commit.time_unix_ns, std::string(commit.text)});
    return put_index(store_.place(), content).map([](const Digest&) {});
  }

  Store& store_;
  const CompactRequest& request_;
  CompactReport& outcome_;
  History history_;
  DigestSet reachable_, direct_;
  std::unordered_map<Digest, std::uint8_t, DigestHash> ceilings_;
  std::vector<Digest> leaving_;
  std::set<Digest> leaving_set_;
  DigestSet taken_;
  std::uint64_t total_bytes_ = 0, done_bytes_ = 0, leaving_bytes_ = 0;
  std::atomic<std::uint64_t> encoded_count_{0}, smaller_count_{0};
  std::mutex mutex_;
  std::unordered_map<Digest, Settled, DigestHash> settled_;
  std::unique_ptr<ChunkWriter> writer_;  // goes first: its workers use the rest
};

}  // namespace

Result<CompactReport> compact(Store& store, const CompactRequest& request) {
  if (request.chain_max < 1 || request.chain_max > kDepthMax)
    return fail(ErrorCode::kInvalidArgument, "a chain has 1 to 16 links");
  KILTER_ASSIGN(const auto held, lock_keeping(store));
  // Chunks that others lean on are read more than once.
  store.set_cache_bytes(request.max_memory_bytes / 4);
  CompactReport outcome;
  {
    Compactor compactor(store, request, outcome);
    KILTER_TRY(compactor.run());
    if (request.dry_run) return outcome;
    outcome.after_bytes = 0;
    KILTER_TRY(condemn_packs(store, compactor.leaving(), outcome.collected, request.context));
  }
  for (const IndexedPack& pack : store.index()->packs()) outcome.after_bytes += pack.bytes;
  outcome.after_bytes -= std::min(outcome.after_bytes, outcome.collected.waiting_bytes);
  KILTER_TRY(merge_index_files(store.place(), *store.index()));
  return outcome;
}

}  // namespace kilter::store

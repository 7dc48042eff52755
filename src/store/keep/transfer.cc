#include "store/keep/transfer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/try.h"
#include "store/fossils.h"
#include "store/keep/reach.h"
#include "store/write/chunk_writer.h"

namespace kilter::store {
namespace {

class Transfer {
 public:
  Transfer(Store& from, Store& to, const TransferRequest& request)
      : from_(from), to_(to), request_(request) {}

  Result<TransferOutcome> run() {
    KILTER_ASSIGN(session_, to_.place().begin_session());
    KILTER_ASSIGN(condemned_, condemned_packs(to_.place()));
    KILTER_TRY(to_.refresh());
    KILTER_ASSIGN(source_, History::load(from_));
    KILTER_ASSIGN(target_, History::load(to_));
    KILTER_TRY(check_refs());
    KILTER_TRY(find_missing());
    if (request_.dry_run) return std::move(outcome_);
    KILTER_TRY(copy());
    KILTER_TRY(session_->still_alive());
    KILTER_TRY(move_refs());
    KILTER_TRY(to_.refresh());
    KILTER_TRY(merge_index_files(to_.place(), *to_.index()));
    return std::move(outcome_);
  }

 private:
  bool leads_to(const Digest& tip, const Digest& commit) const {
    for (const std::size_t i : source_.ancestry(source_.find(tip)))
      if (source_.commits()[i].digest == commit) return true;
    return false;
  }

  Status check_refs() {
    for (const Ref& ref : request_.refs) {
      KILTER_ASSIGN(const auto now, read_ref(to_.place(), ref.kind, ref.name));
      if (!now || *now == ref.commit || request_.force) continue;
      if (ref.kind == RefKind::kBranch && leads_to(ref.commit, *now)) continue;
      return fail(
          Error(ErrorCode::kAlreadyExists,
                fmt::format("\"{}\" points elsewhere there, and moving it would lose commits",
                            ref.name))
              .at_path(to_.address())
              .advise("--force moves it all the same"));
    }
    return ok();
  }

  /// Chunks of the commits that the target lacks, with what they lean on, in the packs' order.
  Status find_missing() {
    DigestSet wanted;
    DigestSet seen;
    for (const Ref& ref : request_.refs)
      for (const std::size_t number : source_.ancestry(source_.find(ref.commit))) {
        const CommitSummary& commit = source_.commits()[number];
        if (!seen.insert(commit.digest).second) continue;
        commits_.push_back(number);
        if (!target_.find(commit.digest)) ++outcome_.commit_count;
        wanted.insert(commit.digest);
        // What the target has in full stays there in full.
        if (commit.retired && !target_.find(commit.digest)) retired_.insert(commit.digest);
        if (!commit.retired) KILTER_TRY(mark_tree(from_, commit.tree, wanted));
      }
    const auto index = from_.index();
    const auto there = to_.index();
    for (const Digest& digest : wanted) {
      KILTER_ASSIGN(const bool present, there->contains(digest, condemned_));
      if (present) {
        ++outcome_.present_count;
        continue;
      }
      KILTER_ASSIGN(const auto places, index->find_all(digest));
      if (places.empty())
        return fail(Error(ErrorCode::kCorrupt, "a chunk is missing: " + to_hex(digest))
                        .at_path(from_.address())
                        .advise("run `kilter check`"));
      const ChunkPlace& place = *std::ranges::min_element(
          places, {}, [](const ChunkPlace& p) { return p.record.stored_bytes; });
      ++outcome_.chunk_count;
      outcome_.bytes += place.record.stored_bytes;
      missing_.push_back(place);
      copied_.insert(digest);
    }
    std::ranges::sort(missing_, [](const ChunkPlace& a, const ChunkPlace& b) {
      return std::pair(a.pack, a.record.offset_bytes) < std::pair(b.pack, b.record.offset_bytes);
    });
    return ok();
  }

  Status copy() {
    Progress* progress = request_.context.progress;
    if (progress != nullptr) progress->begin("copy", outcome_.bytes);
    ChunkWriterOptions options;
    options.memory_bytes = request_.max_memory_bytes / 2;
    options.condemned = condemned_;  // what lies in those packs is copied anew, under another name
    ChunkWriter writer(to_, options);
    Status copied = copy_chunks(writer);
    if (progress != nullptr) progress->end();
    KILTER_TRY(std::move(copied));
    KILTER_ASSIGN(IndexContent rest, writer.finish());
    return put(std::move(rest), true);
  }

  Status copy_chunks(ChunkWriter& writer) {
    std::uint64_t done = 0, since_put = 0;
    for (const ChunkPlace& place : missing_) {
      KILTER_TRY(request_.context.check());
      KILTER_TRY(writer.add_made([this, &place] { return read(place); },
                                 place.record.stored_bytes + place.record.bytes));
      done += place.record.stored_bytes;
      since_put += place.record.stored_bytes;
      if (request_.context.progress != nullptr) request_.context.progress->update(done);
      if (since_put < kPackBytesTarget) continue;
      // What is across stays across: an interruption loses one pack at most.
      KILTER_TRY(writer.wait());
      KILTER_ASSIGN(IndexContent closed, writer.take_closed());
      KILTER_TRY(put(std::move(closed), false));
      since_put = 0;
    }
    return writer.wait();
  }

  Result<MadeChunk> read(const ChunkPlace& place) {
    MadeChunk made;
    made.record = place.record;
    KILTER_ASSIGN(const bool as_it_is, base_lies_below(place.record));
    if (!as_it_is) return stand_alone(place);
    KILTER_ASSIGN(made.payload, from_.read_payload(place));
    return made;
  }

  /// Whether what the chunk leans on will lie less deep in the target than the chunk itself: its
  /// own copy there may lean on more others than the source's.
  Result<bool> base_lies_below(const ChunkRecord& record) const {
    if (!record.has_base() || copied_.contains(record.base)) return true;
    KILTER_ASSIGN(const auto places, to_.index()->find_all(record.base));
    return std::ranges::any_of(places, [&](const ChunkPlace& base) {
      return !condemned_.contains(base.pack) && base.record.depth < record.depth;
    });
  }

  Result<MadeChunk> stand_alone(const ChunkPlace& place) {
    KILTER_ASSIGN(const PlainChunk plain, from_.read_chunk(place.record.digest));
    EncodedChunk encoded = encode_smallest(place.record.element, *plain, {}, Effort::kFast);
    MadeChunk made{place.record, std::move(encoded.payload)};
    if (encoded.form == Form::kRaw) made.payload = *plain;
    made.record.form = encoded.form;
    made.record.base = {};
    made.record.depth = 0;
    made.record.tried = Tried::kFast;
    return made;
  }

  /// Commits enter the index with the last packs: before, nothing of theirs is complete.
  Status put(IndexContent content, bool last) {
    if (last) {
      const auto index = from_.index();
      KILTER_ASSIGN(const auto texts, index->commits());
      DigestSet wanted;
      for (const std::size_t number : commits_) wanted.insert(source_.commits()[number].digest);
      for (const IndexedCommit& commit : texts)
        if (wanted.contains(commit.digest) && !target_.find(commit.digest))
          content.commits.push_back({commit.digest, commit.time_unix_ns, std::string(commit.text)});
      if (!retired_.empty()) KILTER_TRY(write_retired(to_.place(), retired_));
    }
    if (content.packs.empty() && content.commits.empty()) return ok();
    return put_index(to_.place(), content).map([](const Digest&) {});
  }

  Status move_refs() {
    for (const Ref& ref : request_.refs) {
      KILTER_ASSIGN(const auto now, read_ref(to_.place(), ref.kind, ref.name));
      if (now == ref.commit) continue;
      KILTER_ASSIGN(const bool moved, move_ref(to_.place(), ref.kind, ref.name, ref.commit, now));
      if (!moved)
        return fail(Error(ErrorCode::kIo,
                          fmt::format("\"{}\" was moved by someone else meanwhile", ref.name))
                        .at_path(to_.address())
                        .advise("run it again: everything else is across"));
      outcome_.moved.push_back(ref);
    }
    return ok();
  }

  Store& from_;
  Store& to_;
  const TransferRequest& request_;
  std::unique_ptr<PlaceSession> session_;
  std::set<Digest> condemned_;
  History source_, target_;
  std::vector<std::size_t> commits_;
  std::set<Digest> retired_;
  std::vector<ChunkPlace> missing_;
  DigestSet copied_;  // the digests of missing_
  TransferOutcome outcome_;
};

}  // namespace

Result<std::vector<Ref>> chosen_refs(const History& history,
                                     const std::optional<std::string>& name) {
  if (!name) return history.refs();
  for (const Ref& ref : history.refs())
    if (ref.name == *name) return std::vector<Ref>{ref};
  return fail(Error(ErrorCode::kNotFound, "there is no branch or tag of this name")
                  .at_path(*name)
                  .advise("`kilter branch` and `kilter tag` make one"));
}

Result<TransferOutcome> transfer(Store& from, Store& to, const TransferRequest& request) {
  return Transfer(from, to, request).run();
}

}  // namespace kilter::store

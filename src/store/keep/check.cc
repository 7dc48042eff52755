#include "store/keep/check.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/try.h"
#include "store/history/history.h"
#include "store/keep/decode_all.h"
#include "store/keep/reach.h"

namespace kilter::store {
namespace {

constexpr std::size_t kAffectedMax = 10'000;

class Checker {
 public:
  Checker(Store& store, const CheckRequest& request) : store_(store), request_(request) {}

  Result<CheckOutcome> run() {
    check_index_files();
    auto history = History::load(store_);
    if (!history) {
      add_fault(std::move(history).error());
      return std::move(outcome_);
    }
    history_ = std::move(*history);
    check_refs();
    KILTER_TRY(check_packs());
    if (request_.data) KILTER_TRY(check_data());
    KILTER_TRY(check_commits());
    name_affected();
    return std::move(outcome_);
  }

 private:
  void add_fault(Error error, const Digest& chunk = {}) {
    outcome_.faults.push_back({std::move(error), chunk, {}});
  }

  void check_index_files() {
    for (const auto& file : store_.index()->files()) {
      auto opened = store_.place().open(index_name(file->name()));
      if (!opened) {
        add_fault(std::move(opened).error());
        continue;
      }
      auto whole = IndexFile::open(**opened, file->name(), true);
      if (!whole) add_fault(std::move(whole).error());
    }
  }

  void check_refs() {
    for (const Ref& ref : history_.refs())
      if (!history_.find(ref.commit))
        add_fault(Error(ErrorCode::kCorrupt, "the reference points to a commit that is missing")
                      .at_path(ref.name)
                      .wanted("commit " + to_hex(ref.commit), "none of this name"),
                  ref.commit);
  }

  /// What the packs themselves say must be what the index says.
  Status check_packs() {
    std::map<Digest, std::size_t> indexed;
    const auto index = store_.index();
    for (const IndexedPack& pack : index->packs()) {
      KILTER_TRY(request_.context.check());
      ++outcome_.pack_count;
      outcome_.chunk_count += pack.chunk_count;
      auto directory = read_pack_directory(store_.place(), pack.digest);
      if (!directory) {
        outcome_.bad_packs.insert(pack.digest);
        add_fault(std::move(directory).error());
        continue;
      }
      for (const ChunkRecord& record : *directory) {
        KILTER_ASSIGN(const auto places, index->find_all(record.digest));
        const bool known = std::ranges::any_of(places, [&](const ChunkPlace& place) {
          return place.pack == pack.digest && place.record.offset_bytes == record.offset_bytes &&
                 place.record.stored_bytes == record.stored_bytes &&
                 place.record.form == record.form && place.record.base == record.base;
        });
        if (!known)
          add_fault(Error(ErrorCode::kCorrupt, "the index disagrees with a pack")
                        .at_path(pack_name(pack.digest))
                        .at_offset(record.offset_bytes)
                        .advise("`kilter repair` makes the index anew"),
                    record.digest);
      }
    }
    return ok();
  }

  /// Every chunk in every place, in the order of the packs.
  Status check_data() {
    std::vector<ChunkPlace> places;
    std::uint64_t total = 0;
    const auto index = store_.index();
    for (const auto& file : index->files())
      for (std::size_t i = 0; i < file->chunk_count(); ++i) {
        auto place = file->chunk(i);
        if (!place) {
          add_fault(std::move(place).error().at_path(index_name(file->name())));
          continue;
        }
        if (outcome_.bad_packs.contains(place->pack)) continue;
        total += place->record.stored_bytes;
        places.push_back(*place);
      }
    std::ranges::sort(places, [](const ChunkPlace& a, const ChunkPlace& b) {
      return std::pair(a.pack, a.record.offset_bytes) < std::pair(b.pack, b.record.offset_bytes);
    });
    Progress* progress = request_.context.progress;
    if (progress != nullptr) progress->begin("check", total);
    const Status checked = decode_places(places);
    if (progress != nullptr) progress->end();
    return checked;
  }

  Status decode_places(const std::vector<ChunkPlace>& places) {
    DecodeAllRequest request;
    request.thread_count = request_.thread_count;
    request.max_memory_bytes = request_.max_memory_bytes;
    request.context = request_.context;
    request.advance = [this](std::uint64_t bytes) {
      outcome_.read_bytes += bytes;
      if (request_.context.progress != nullptr)
        request_.context.progress->update(outcome_.read_bytes);
    };
    KILTER_ASSIGN(auto bad_places, decode_all(store_, places, request));
    for (BadPlace& bad : bad_places) {
      const ChunkPlace& place = places[bad.place];
      bad_places_[place.record.digest].push_back(outcome_.faults.size());
      outcome_.bad_places.push_back(place);
      add_fault(std::move(bad.error), place.record.digest);
    }
    return ok();
  }

  /// Trees can be read and each of their chunks has a place.
  Status check_commits() {
    for (const std::size_t number : history_.ancestry(std::nullopt)) {
      KILTER_TRY(request_.context.check());
      const CommitSummary& commit = history_.commits()[number];
      ++outcome_.commit_count;
      for (const Digest& parent : commit.parents)
        if (!history_.find(parent))
          add_fault(Error(ErrorCode::kCorrupt, "a parent of the commit is missing")
                        .at_path("commit " + to_hex(commit.digest))
                        .wanted("commit " + to_hex(parent), "none of this name"));
      if (auto text = store_.read_chunk(commit.digest, false); !text)
        note_loss(std::move(text).error(), commit.digest, commit, "", "");
      if (!commit.retired) check_tree(commit);
    }
    return ok();
  }

  void check_tree(const CommitSummary& commit) {
    auto tree = store_.read_tree(commit.tree);
    if (!tree) return note_loss(std::move(tree).error(), commit.tree, commit, "", "");
    for (const SkeletonPart& part : (*tree)->skeleton)
      check_chunk(part.digest, commit, "(headers and other files)", "");
    for (const TreeTensor& tensor : (*tree)->tensors)
      for (const Digest& digest : tensor.chunks)
        check_chunk(digest, commit, (*tree)->files[tensor.file].path, tensor.name);
  }

  void check_chunk(const Digest& digest, const CommitSummary& commit, const std::string& file,
                   const std::string& tensor) {
    auto known = states_.find(digest);
    if (known == states_.end()) known = states_.emplace(digest, state_of(digest)).first;
    if (known->second) note_loss(*known->second, digest, commit, file, tensor);
  }

  /// nullopt for a chunk that can be had.
  std::optional<Error> state_of(const Digest& digest) {
    auto places = store_.index()->find_all(digest);
    if (!places) return std::move(places).error();
    std::size_t usable = 0;
    for (const ChunkPlace& place : *places)
      if (!outcome_.bad_packs.contains(place.pack)) ++usable;
    const auto bad = bad_places_.find(digest);
    if (bad != bad_places_.end() && bad->second.size() >= usable)
      return outcome_.faults[bad->second.front()].error;
    if (usable > 0) return std::nullopt;
    return Error(ErrorCode::kCorrupt,
                 places->empty() ? "a chunk is missing" : "a chunk lies in a damaged pack alone")
        .at_path("chunk " + to_hex(digest));
  }

  void note_loss(Error error, const Digest& chunk, const CommitSummary& commit, std::string file,
                 std::string tensor) {
    const MetaValue* step = commit.find("step");
    Affected affected{commit.digest, step == nullptr ? "" : meta_text(*step), std::move(file),
                      std::move(tensor)};
    const auto known = losses_.find(chunk);
    std::size_t fault = outcome_.faults.size();
    if (known != losses_.end()) {
      fault = known->second;
    } else if (const auto bad = bad_places_.find(chunk); bad != bad_places_.end()) {
      fault = bad->second.front();
    } else {
      add_fault(std::move(error), chunk);
    }
    losses_[chunk] = fault;
    if (outcome_.faults[fault].affected.size() < kAffectedMax)
      outcome_.faults[fault].affected.push_back(std::move(affected));
  }

  void name_affected() {
    for (StoreFault& fault : outcome_.faults)
      std::ranges::sort(fault.affected, [](const Affected& a, const Affected& b) {
        return std::tie(a.commit, a.file, a.tensor) < std::tie(b.commit, b.file, b.tensor);
      });
  }

  Store& store_;
  const CheckRequest& request_;
  CheckOutcome outcome_;
  History history_;
  std::unordered_map<Digest, std::vector<std::size_t>, DigestHash> bad_places_;  // faults
  std::unordered_map<Digest, std::optional<Error>, DigestHash> states_;
  std::unordered_map<Digest, std::size_t, DigestHash> losses_;
};

}  // namespace

Result<CheckOutcome> check_store(Store& store, const CheckRequest& request) {
  store.place().bypass_cache();  // what lies there is asked for, not what was read of it once
  return Checker(store, request).run();
}

}  // namespace kilter::store

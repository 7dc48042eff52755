#include <algorithm>

#include "kilter/store.h"

#include "base/try.h"
#include "store/address.h"
#include "store/api/translate.h"
#include "store/format/element.h"
#include "store/keep/compact.h"
#include "store/keep/retain.h"
#include "store/save.h"
#include "store/write/layout_writer.h"
#include "train/step_target.h"

namespace kilter::train {
namespace {

class StoreTarget final : public StepTarget {
 public:
  StoreTarget(std::shared_ptr<store::Store> store, kilter::Store reader, SaverOptions options)
      : store_(std::move(store)), reader_(std::move(reader)), options_(std::move(options)) {}

  std::uint64_t piece_bytes() const override { return store::kChunkReadBytes; }

  Result<WrittenStep> write(StepContent content) override {
    store::LaidOutFiles files{std::move(content.layout.files), std::move(content.layout.outputs),
                              std::move(content.read)};
    store::SaveRequest request;
    request.branch = options_.branch;
    request.author = options_.author;
    KILTER_ASSIGN(request.metadata, store::api::to_json(content.metadata));
    request.raw = options_.coding == SaveCoding::kRaw;
    request.fast = options_.coding == SaveCoding::kFast;
    request.thread_count = options_.thread_count;
    request.max_memory_bytes = std::max(2 * options_.write_memory_bytes, kMemoryMin);
    request.context = content.context;
    request.content = [&](store::ChunkWriter& writer, store::Tree& tree) {
      tree.format = "folder";
      return store::add_laid_out(files, writer, tree, content.context);
    };
    const auto saved = store::save_tree(*store_, request);
    if (!saved) return fail(explained(saved.error()));
    return WrittenStep{to_hex(saved->commit), saved->totals.new_plain_bytes,
                       saved->totals.stored_bytes};
  }

  Status retain() override {
    const RetainRequest& keep = options_.keep;
    store::RetainRules rules;
    rules.last = keep.last;
    rules.every = keep.every;
    for (const RetainRequest::Best& best : keep.best)
      rules.best.push_back({best.count, best.key, best.highest});
    rules.tagged = keep.tagged;
    KILTER_ASSIGN(const auto history, store::History::load(*store_));
    KILTER_ASSIGN(const auto decision, store::decide_retention(history, rules));
    if (decision.retired.empty()) return ok();
    std::vector<store::Digest> retired;
    for (const std::size_t commit : decision.retired)
      retired.push_back(history.commits()[commit].digest);
    KILTER_TRY(store::retire_commits(*store_, retired));
    // What stays of a step that goes is its record, in the same pack: it moves, the pack goes.
    store::CompactRequest free;
    free.encode = false;
    free.dead_part_max = kDeadPartMax;
    free.thread_count = 1;
    const auto freed = store::compact(*store_, free);
    // Somebody else is at it: what is dead goes with his, or with our next.
    if (!freed && freed.error().code != ErrorCode::kAlreadyExists) return fail(freed.error());
    return ok();
  }

  Result<std::optional<Found>> find_newest(const std::string& before) override {
    KILTER_ASSIGN(const auto refs, reader_.refs());
    const bool begun = std::ranges::any_of(refs, [&](const StoreRef& ref) {
      return ref.kind == RefKind::kBranch && ref.name == options_.branch;
    });
    if (!begun) return std::nullopt;
    KILTER_ASSIGN(const auto log, reader_.log({.from = options_.branch}));
    bool older = before.empty();
    for (const CommitInfo& commit : log) {
      const auto step = meta_number(commit.metadata, "step");
      if (older && !commit.retired && step) return open_commit(commit, *step);
      older = older || commit.digest == before;
    }
    return std::nullopt;
  }

 private:
  static constexpr std::uint64_t kMemoryMin = 64ULL << 20;
  static constexpr double kDeadPartMax = 0.5;

  /// A store that was removed under a run's feet shows as this or that file missing.
  Error explained(const Error& error) const {
    const auto there = store_->place().read_small(std::string(store::kStoreFile));
    if (!there || *there) return error;
    return Error(ErrorCode::kNotFound,
                 "the store was removed while the run went on: " + error.text())
        .at_path(store_->address())
        .advise("put it back, or start again with another");
  }

  Result<std::optional<Found>> open_commit(const CommitInfo& commit, double step) {
    Found found;
    found.report.step = static_cast<std::int64_t>(step);
    found.report.commit = commit.digest;
    found.report.metadata = commit.metadata;
    auto opened = reader_.open_checkpoint(commit.digest);
    if (opened) {
      found.damage = damage_of(opened->data());
      if (!found.damage) found.checkpoint = std::move(*opened);
    } else if (is_damage(opened.error())) {
      found.damage = std::move(opened).error();
    } else {
      return fail(std::move(opened).error());
    }
    return found;
  }

  std::shared_ptr<store::Store> store_;
  kilter::Store reader_;
  SaverOptions options_;
};

}  // namespace

bool is_damage(const Error& error) {
  switch (error.code) {
    case ErrorCode::kCorrupt:
    case ErrorCode::kMalformed:
    case ErrorCode::kNotFound:
    case ErrorCode::kOutOfRange:
    case ErrorCode::kUnsafe:
    case ErrorCode::kUnsupported:
    case ErrorCode::kLimitExceeded:
      return true;
    default:
      return false;
  }
}

Result<std::unique_ptr<StepTarget>> make_store_target(const std::string& address,
                                                      const SaverOptions& options) {
  KILTER_ASSIGN(auto store, store::open_or_create_store(address));
  KILTER_ASSIGN(auto reader, kilter::Store::open(address));
  return std::make_unique<StoreTarget>(std::move(store), std::move(reader), options);
}

}  // namespace kilter::train

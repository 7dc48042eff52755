#include "store/torture/power_loss.h"

#include <fmt/format.h>

#include <functional>

#include "base/try.h"
#include "store/keep/collect.h"
#include "store/torture/recording_file_system.h"
#include "store/torture/rounds.h"

namespace kilter::store {
namespace {

constexpr const char* kStoreRoot = "store";
constexpr std::uint64_t kGivenUpRound = 500;
constexpr std::uint64_t kFirstLaterRound = 1000;
constexpr std::uint64_t kLaterRounds = 10;  // enough that index files merge

Result<std::shared_ptr<Store>> open_at(io::FileSystem& files) {
  return Store::open(make_folder_place(files, kStoreRoot));
}

/// Something done to a store, and the rounds its main branch may show before and after.
struct LossScenario {
  const char* name;
  std::uint64_t tip_before;
  std::uint64_t tip_after;
  std::function<Status(Store&, std::uint64_t tensor_bytes)> prepare;
  std::function<Status(Store&, std::uint64_t tensor_bytes)> run;
};

Status save_rounds(Store& store, std::uint64_t first, std::uint64_t count, std::uint64_t bytes) {
  for (std::uint64_t i = 0; i < count; ++i) KILTER_TRY(save_round(store, first + i, bytes));
  return ok();
}

/// A branch that is made and given up again: its data waits for a collector.
Status give_up_branch(Store& store, std::uint64_t bytes) {
  KILTER_ASSIGN(const SaveOutcome side, save_round(store, kGivenUpRound, bytes, "side"));
  return move_ref(store.place(), RefKind::kBranch, "side", std::nullopt, side.commit).map([](bool) {
  });
}

Status save_one_more(Store& store, std::uint64_t tip, std::uint64_t bytes) {
  return save_round(store, tip + 1, bytes).map([](const SaveOutcome&) {});
}

Status collect_now(Store& store) {
  return collect(store, {}).map([](const CollectReport&) {});
}

const std::vector<LossScenario>& loss_scenarios() {
  static const std::vector<LossScenario> kAll = {
      {"save", 1, 2, [](Store& s, std::uint64_t b) { return save_rounds(s, 0, 2, b); },
       [](Store& s, std::uint64_t b) { return save_one_more(s, 1, b); }},
      {"save and merge", 6, 7, [](Store& s, std::uint64_t b) { return save_rounds(s, 0, 7, b); },
       [](Store& s, std::uint64_t b) { return save_one_more(s, 6, b); }},
      {"collect", 1, 1,
       [](Store& s, std::uint64_t b) -> Status {
         KILTER_TRY(save_rounds(s, 0, 1, b));
         KILTER_TRY(give_up_branch(s, b));
         return save_rounds(s, 1, 1, b);
       },
       [](Store& s, std::uint64_t) { return collect_now(s); }},
  };
  return kAll;
}

class LossTrial {
 public:
  LossTrial(const LossScenario& scenario, const PowerLossRequest& request,
            PowerLossOutcome& outcome)
      : scenario_(scenario), request_(request), outcome_(outcome) {}

  Status run() {
    KILTER_TRY(record());
    outcome_.write_count += writes_.size() - begin_;
    for (std::size_t end = begin_; end <= writes_.size() && outcome_.fault.empty(); ++end) {
      KILTER_TRY(request_.context.check());
      try_moment(end, false);
      if (end < writes_.size() && writes_[end].kind == WriteKind::kWrite) try_moment(end, true);
    }
    return ok();
  }

 private:
  Status record() {
    const auto memory = io::make_memory_file_system();
    const auto files = make_recording_file_system(*memory);
    KILTER_ASSIGN(const auto store, Store::create(make_folder_place(*files, kStoreRoot)));
    KILTER_TRY(scenario_.prepare(*store, request_.tensor_bytes));
    begin_ = files->writes().size();
    KILTER_TRY(scenario_.run(*store, request_.tensor_bytes));
    writes_ = files->writes();
    return ok();
  }

  /// The writes before `end` were made; with `torn` also half of the next.
  void try_moment(std::size_t end, bool torn) {
    // Mixture 0 loses everything, the last one nothing.
    for (unsigned mixture = 0; mixture < request_.mixtures + 2; ++mixture) {
      const Status tried = try_state(end, torn, mixture);
      ++outcome_.state_count;
      if (tried) continue;
      const std::string next = end < writes_.size() ? writes_[end].text() : "the end";
      outcome_.fault =
          fmt::format("{}: power lost before write {} of {} ({}{}), {}: {}", scenario_.name,
                      end - begin_, writes_.size() - begin_, next, torn ? ", half of it made" : "",
                      mixture_text(mixture), tried.error().text());
      return;
    }
  }

  std::string mixture_text(unsigned mixture) const {
    if (mixture == 0) return "everything unsynced lost";
    if (mixture == request_.mixtures + 1) return "nothing lost";
    return fmt::format("mixture {} of seed {}", mixture, request_.seed);
  }

  Status try_state(std::size_t end, bool torn, unsigned mixture) {
    const auto memory = io::make_memory_file_system();
    WriteReplay replay(*memory);
    for (std::size_t i = 0; i < end; ++i) KILTER_TRY(replay.apply(writes_[i]));
    if (torn) KILTER_TRY(replay.apply_torn(writes_[end]));
    if (mixture == 0) memory->lose_power();
    if (mixture > 0 && mixture <= request_.mixtures)
      memory->lose_power_partly(request_.seed * 1'000'003 + mixture);
    KILTER_TRY(look(*memory, end == writes_.size()));
    if (!request_.go_on || torn || mixture != end % (request_.mixtures + 2)) return ok();
    auto gone_on = go_on(*memory);
    if (!gone_on) gone_on.error().message = "going on: " + gone_on.error().message;
    return gone_on;
  }

  Status look(io::FileSystem& files, bool reported) {
    KILTER_ASSIGN(const auto store, open_at(files));
    KILTER_TRY(check_rounds(*store));
    KILTER_ASSIGN(const std::uint64_t tip, tip_round(*store));
    if (tip != scenario_.tip_before && tip != scenario_.tip_after)
      return fail(ErrorCode::kCorrupt, fmt::format("the tip is round {}", tip));
    if (reported && tip != scenario_.tip_after)
      return fail(ErrorCode::kCorrupt, "success was reported, and lost");
    ++(tip == scenario_.tip_after ? outcome_.new_count : outcome_.old_count);
    return ok();
  }

  /// What a crash leaves must not hurt later either.
  Status go_on(io::FileSystem& files) {
    KILTER_ASSIGN(const auto store, open_at(files));
    KILTER_TRY(collect_now(*store));
    KILTER_TRY(save_rounds(*store, kFirstLaterRound, kLaterRounds, request_.tensor_bytes));
    KILTER_TRY(save_round(*store, kGivenUpRound, request_.tensor_bytes, "side"));
    ++outcome_.continued_count;
    return check_rounds(*store).map([](std::uint64_t) {});
  }

  const LossScenario& scenario_;
  const PowerLossRequest& request_;
  PowerLossOutcome& outcome_;
  std::vector<RecordedWrite> writes_;
  std::size_t begin_ = 0;
};

}  // namespace

Result<PowerLossOutcome> try_power_losses(const PowerLossRequest& request) {
  PowerLossOutcome outcome;
  for (const LossScenario& scenario : loss_scenarios()) {
    KILTER_TRY(LossTrial(scenario, request, outcome).run());
    if (!outcome.fault.empty()) break;
  }
  return outcome;
}

}  // namespace kilter::store

#include "kilter/upkeep.h"

#include "kilter/store.h"

#include "base/try.h"
#include "store/api/store_impl.h"
#include "store/api/translate.h"
#include "store/keep/compact.h"
#include "store/keep/repair.h"
#include "store/keep/retain.h"
#include "store/keep/stats.h"
#include "store/keep/transfer.h"

namespace kilter {
namespace {

store::RetainRules rules_of(const RetainRequest& request) {
  store::RetainRules rules;
  rules.last = request.last;
  rules.every = request.every;
  for (const RetainRequest::Best& best : request.best)
    rules.best.push_back({best.count, best.key, best.highest});
  rules.tagged = request.tagged;
  return rules;
}

Result<TransferReport> copy_between(store::Store& from, store::Store& to,
                                    const TransferRequest& request) {
  KILTER_ASSIGN(const auto history, store::History::load(from));
  store::TransferRequest inner;
  std::optional<std::string> name;
  if (!request.ref.empty()) name = request.ref;
  KILTER_ASSIGN(inner.refs, store::chosen_refs(history, name));
  inner.force = request.force;
  inner.dry_run = request.dry_run;
  inner.max_memory_bytes = request.max_memory_bytes;
  inner.context = request.context;
  KILTER_ASSIGN(const auto done, store::transfer(from, to, inner));
  return TransferReport{done.commit_count, done.chunk_count, done.bytes, done.present_count,
                        store::api::to_refs(done.moved)};
}

}  // namespace

Result<CommitInfo> Store::remove(std::string_view commit) {
  KILTER_ASSIGN(const auto named, store::api::named_commit(*impl_->store, commit));
  KILTER_TRY(store::check_removable(named.history, named.number));
  KILTER_TRY(store::retire_commits(*impl_->store, {named.summary().digest}));
  return store::api::to_info(*impl_->store, named.history, named.number);
}

Result<RetainReport> Store::retain(const RetainRequest& request) {
  KILTER_ASSIGN(const auto history, store::History::load(*impl_->store));
  KILTER_ASSIGN(const auto decision, store::decide_retention(history, rules_of(request)));
  RetainReport report;
  for (std::size_t i = 0; i < decision.kept.size(); ++i) {
    KILTER_ASSIGN(auto info, store::api::to_info(*impl_->store, history, decision.kept[i]));
    report.kept.push_back({std::move(info), decision.reasons[i]});
  }
  std::vector<store::Digest> retired;
  for (const std::size_t commit : decision.retired) {
    KILTER_ASSIGN(auto info, store::api::to_info(*impl_->store, history, commit));
    report.retired.push_back(std::move(info));
    retired.push_back(history.commits()[commit].digest);
  }
  if (!request.dry_run) KILTER_TRY(store::retire_commits(*impl_->store, retired));
  return report;
}

Result<CollectReport> Store::collect(const CollectRequest& request) {
  return store::collect(*impl_->store, request);
}

Result<CompactReport> Store::compact(const CompactRequest& request) {
  store::CompactRequest inner;
  inner.dry_run = request.dry_run;
  inner.chain_max = request.chain_max;
  inner.thread_count = request.thread_count;
  inner.max_memory_bytes = request.max_memory_bytes;
  inner.context = request.context;
  return store::compact(*impl_->store, inner);
}

Result<CheckReport> Store::check(const CheckRequest& request) const {
  store::CheckRequest inner;
  inner.data = request.data;
  inner.thread_count = request.thread_count;
  inner.max_memory_bytes = request.max_memory_bytes;
  inner.context = request.context;
  // Checking reads past what was kept of a store on this machine: through a store of its own.
  KILTER_ASSIGN(const auto fresh, store::open_store(impl_->address));
  KILTER_ASSIGN(auto outcome, store::check_store(*fresh, inner));
  return store::api::to_report(std::move(outcome));
}

Result<RepairReport> Store::repair(const std::string& address, const RepairRequest& request) {
  KILTER_ASSIGN(auto place, store::open_place(address));
  store::RepairOutcome outcome;
  KILTER_ASSIGN(const auto opened,
                store::open_for_repair(std::move(place), request.dry_run, outcome));
  std::shared_ptr<store::Store> copy;
  if (!request.from.empty()) {
    KILTER_ASSIGN(copy, store::open_store(request.from));
  }
  store::RepairRequest inner;
  inner.copy = copy.get();
  inner.dry_run = request.dry_run;
  inner.max_memory_bytes = request.max_memory_bytes;
  inner.context = request.context;
  KILTER_TRY(store::repair(*opened, inner, outcome));
  return RepairReport{std::move(outcome.set_aside), outcome.indexed_packs, outcome.saved_count,
                      outcome.fetched_count, store::api::to_report(std::move(outcome.after))};
}

Result<TransferReport> Store::push(const std::string& to, const TransferRequest& request) const {
  KILTER_ASSIGN(const auto target, request.dry_run ? store::open_or_imagine_store(to)
                                                   : store::open_or_create_store(to));
  return copy_between(*impl_->store, *target, request);
}

Result<TransferReport> Store::pull(const std::string& from, const TransferRequest& request) {
  KILTER_ASSIGN(const auto source, store::open_store(from));
  return copy_between(*source, *impl_->store, request);
}

Result<StoreStats> Store::stats(const RunContext& context) const {
  KILTER_TRY(impl_->store->refresh());
  return store::store_stats(*impl_->store, context);
}

}  // namespace kilter

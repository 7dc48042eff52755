#include "kilter/store.h"

#include "base/try.h"
#include "store/api/store_impl.h"
#include "store/api/translate.h"
#include "store/history/diff.h"
#include "store/history/filter.h"

namespace kilter {
namespace store::api {

Result<NamedCommit> named_commit(Store& store, std::string_view selector) {
  NamedCommit named;
  KILTER_ASSIGN(named.history, History::load(store));
  auto number = named.history.resolve(selector);
  if (!number) return fail(std::move(number).error().at_path(store.address()));
  named.number = *number;
  return named;
}

}  // namespace store::api

Store::Store(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

const std::string& Store::address() const { return impl_->address; }

Result<Store> Store::open(const std::string& address) {
  KILTER_ASSIGN(auto opened, store::open_store(address));
  return Store(std::make_shared<const Impl>(Impl{std::move(opened), address}));
}

Result<Store> Store::create(const std::string& address) {
  KILTER_ASSIGN(auto made, store::create_store(address));
  return Store(std::make_shared<const Impl>(Impl{std::move(made), address}));
}

Result<Store> Store::open_or_create(const std::string& address) {
  KILTER_ASSIGN(auto opened, store::open_or_create_store(address));
  return Store(std::make_shared<const Impl>(Impl{std::move(opened), address}));
}

Result<std::vector<CommitInfo>> Store::log(const LogRequest& request) const {
  KILTER_ASSIGN(const auto history, store::History::load(*impl_->store));
  std::optional<std::size_t> tip;
  if (!request.from.empty()) {
    auto from = history.resolve(request.from);
    if (!from) return fail(std::move(from).error().at_path(impl_->address));
    tip = *from;
  }
  std::optional<store::Filter> filter;
  if (!request.where.empty()) {
    KILTER_ASSIGN(filter, store::Filter::parse(request.where));
  }
  std::vector<CommitInfo> out;
  for (const std::size_t commit : history.ancestry(tip)) {
    if (out.size() >= request.count_max) break;
    if (filter && !filter->matches(history.commits()[commit])) continue;
    KILTER_ASSIGN(CommitInfo info, store::api::to_info(*impl_->store, history, commit));
    out.push_back(std::move(info));
  }
  return out;
}

Result<CommitInfo> Store::find(std::string_view commit) const {
  KILTER_ASSIGN(const auto named, store::api::named_commit(*impl_->store, commit));
  return store::api::to_info(*impl_->store, named.history, named.number);
}

Result<CommitDetails> Store::show(std::string_view commit) const {
  KILTER_ASSIGN(const auto named, store::api::named_commit(*impl_->store, commit));
  KILTER_ASSIGN(const auto whole, impl_->store->read_commit(named.summary().digest));
  CommitDetails out;
  KILTER_ASSIGN(out.info, store::api::to_info(*impl_->store, named.history, named.number));
  out.lineage = store::api::to_lineage(whole.lineage);
  out.kilter_version = whole.kilter_version;
  if (named.summary().retired) return out;
  KILTER_ASSIGN(const auto tree, impl_->store->read_tree(whole.tree));
  out.format = tree->format;
  out.single_file = tree->single_file;
  out.file_count = tree->files.size();
  out.tensor_count = tree->tensors.size();
  out.bytes = tree->file_bytes();
  return out;
}

Result<CommitDiff> Store::diff(std::string_view before, std::string_view after) const {
  return diff(before, *this, after);
}

Result<CommitDiff> Store::diff(std::string_view before, const Store& other,
                               std::string_view after) const {
  KILTER_ASSIGN(const auto a, store::find_commit(impl_->store, std::string(before)));
  KILTER_ASSIGN(const auto b, store::find_commit(other.impl_->store, std::string(after)));
  return store::diff_commits(*a.store, a.digest, *b.store, b.digest);
}

}  // namespace kilter

#include "store/refs.h"

#include "kilter/store.h"

#include "base/try.h"
#include "store/api/store_impl.h"
#include "store/api/translate.h"

namespace kilter {
namespace {

/// Sets a reference to the commit that `selector` names.
Status set_ref(store::Store& store, store::RefKind kind, const std::string& name,
               std::string_view selector, bool force) {
  KILTER_TRY(store::check_ref_name(name));
  KILTER_ASSIGN(const auto named, store::api::named_commit(store, selector));
  return store::change_ref(store.place(), kind, name, named.summary().digest, force)
      .map([](const store::ChangedRef&) {});
}

Status remove_ref(store::Store& store, store::RefKind kind, const std::string& name) {
  return store::change_ref(store.place(), kind, name, std::nullopt, false)
      .map([](const store::ChangedRef&) {});
}

}  // namespace

Result<std::vector<StoreRef>> Store::refs() const {
  return store::list_refs(impl_->store->place()).map(store::api::to_refs);
}

Status Store::set_tag(const std::string& name, std::string_view commit, bool force) {
  return set_ref(*impl_->store, store::RefKind::kTag, name, commit, force);
}

Status Store::set_branch(const std::string& name, std::string_view commit, bool force) {
  return set_ref(*impl_->store, store::RefKind::kBranch, name, commit, force);
}

Status Store::remove_tag(const std::string& name) {
  return remove_ref(*impl_->store, store::RefKind::kTag, name);
}

Status Store::remove_branch(const std::string& name) {
  return remove_ref(*impl_->store, store::RefKind::kBranch, name);
}

}  // namespace kilter

// What stands behind kilter::Store.
#pragma once

#include <memory>

#include "kilter/store.h"

#include "store/address.h"
#include "store/history/history.h"

namespace kilter {

struct Store::Impl {
  std::shared_ptr<store::Store> store;
  std::string address;
};

namespace store::api {

/// A commit of an open store by its selector, also one whose data is gone.
struct NamedCommit {
  History history;
  std::size_t number = 0;

  const CommitSummary& summary() const { return history.commits()[number]; }
};
Result<NamedCommit> named_commit(Store& store, std::string_view selector);

/// A commit whose files are there, and the path behind its selector, if any.
struct OpenedCommit {
  FoundCommit found;
  std::shared_ptr<const Tree> tree;
};
Result<OpenedCommit> opened_commit(const std::shared_ptr<Store>& store, std::string_view selector);

/// "runs.kilter@v1": how a commit is called in messages, and where it is mounted.
std::string mount_name(const FoundCommit& found, std::string_view selector);

}  // namespace store::api
}  // namespace kilter

// What the commands about stores share.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "cli/command.h"
#include "cli/style.h"
#include "store/address.h"
#include "store/history/history.h"

namespace kilter::cli {

/// An address that must name a store, with or without "@…". Errors: kNotFound.
Result<store::StoreAddress> require_store(const std::string& address);

/// A store and its history, opened once.
struct OpenedStore {
  store::StoreAddress address;
  std::shared_ptr<store::Store> store;
  store::History history;
};
Result<OpenedStore> open_with_history(const std::string& address);
/// The commit an opened address names.
Result<std::size_t> named_commit(const OpenedStore& opened);

std::string short_digest(const store::Digest& digest);
/// "2026-11-21T14:05Z": UTC, as the addresses @time:… and --json have it.
std::string minute_text(std::int64_t unix_ns);

Json metadata_json(const store::CommitSummary& commit);
/// digest, parents, time, author, message, metadata, refs, retired.
Json commit_json(const store::History& history, std::size_t commit);
void print_json(const Json& json);

/// "1200" where a step is stated, else "".
std::string step_text(const store::CommitSummary& commit);

}  // namespace kilter::cli

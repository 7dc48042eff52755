#include "cli/store_support.h"

#include <fmt/format.h>

#include "base/try.h"

namespace kilter::cli {

Result<store::StoreAddress> require_store(const std::string& address) {
  if (auto parsed = store::parse_store_address(address)) return *parsed;
  const bool exists = io::real_file_system().stat(address).has_value();
  return fail(Error(ErrorCode::kNotFound, exists ? "is no store" : "no such store")
                  .at_path(address)
                  .advise("`kilter save SRC STORE` makes one"));
}

Result<OpenedStore> open_with_history(const std::string& address) {
  OpenedStore opened;
  KILTER_ASSIGN(opened.address, require_store(address));
  KILTER_ASSIGN(opened.store, store::open_store(opened.address.store));
  KILTER_ASSIGN(opened.history, store::History::load(*opened.store));
  return opened;
}

Result<std::size_t> named_commit(const OpenedStore& opened) {
  auto found = opened.history.resolve(opened.address.selector);
  if (!found) return fail(std::move(found).error().at_path(opened.address.store));
  return found;
}

std::string short_digest(const store::Digest& digest) { return to_hex(digest).substr(0, 12); }

std::string minute_text(std::int64_t unix_ns) {
  constexpr std::size_t kToMinute = std::string_view("2026-11-21T14:05").size();
  return store::time_text(unix_ns).substr(0, kToMinute) + "Z";
}

Json metadata_json(const store::CommitSummary& commit) {
  Json out = Json::object();
  for (const auto& [key, value] : commit.metadata) {
    std::visit([&, &name = key](const auto& v) { out[name] = v; }, value);
  }
  return out;
}

Json commit_json(const store::History& history, std::size_t commit) {
  const store::CommitSummary& summary = history.commits()[commit];
  Json out;
  out["commit"] = to_hex(summary.digest);
  out["parents"] = Json::array();
  for (const store::Digest& parent : summary.parents) out["parents"].push_back(to_hex(parent));
  out["tree"] = to_hex(summary.tree);
  out["time"] = store::time_text(summary.time_unix_ns);
  out["author"] = summary.author;
  out["message"] = summary.message;
  out["metadata"] = metadata_json(summary);
  out["refs"] = history.names_at(commit);
  out["retired"] = summary.retired;
  return out;
}

void print_json(const Json& json) { std::printf("%s\n", dump_json(json).c_str()); }

std::string step_text(const store::CommitSummary& commit) {
  const store::MetaValue* step = commit.find("step");
  return step == nullptr ? "" : store::meta_text(*step);
}

}  // namespace kilter::cli

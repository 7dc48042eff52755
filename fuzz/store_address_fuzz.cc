// What people write to name commits: conditions of --where and --best, and what stands behind an
// '@'. A small history answers; conditions obey logic, and whatever names a commit names one that
// is there.
#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "io/memory_file_system.h"
#include "store/address.h"
#include "store/history/filter.h"
#include "store/keep/retain.h"
#include "store/save.h"

namespace kilter::store {
namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

void save_step(Store& store, io::MemoryFileSystem& files, int step, const std::string& branch) {
  SaveRequest request;
  request.source = {&files, "x.bin", {}};
  request.branch = branch;
  request.author = "Ada";
  request.message = "a step";
  request.metadata = {
      {"step", step}, {"loss", 3.0 / step}, {"note", "x y"}, {"final", step == 300}};
  request.time_unix_ns = step * 1'000'000'000'000'000;
  request.thread_count = 1;
  if (step == 200) request.tags = {"v1"};
  if (!save_tree(store, request)) std::abort();
}

History make_history() {
  const auto files = io::make_memory_file_system();
  files->put("x.bin", "abc");
  const auto store = Store::create(make_folder_place(*files, "s"));
  check(store.has_value());
  for (const int step : {100, 200, 300}) save_step(**store, *files, step, "main");
  save_step(**store, *files, 150, "lr/sweep");
  auto history = History::load(**store);
  check(history.has_value());
  return std::move(*history);
}

bool agree(const std::string& text, const CommitSummary& commit, bool expected) {
  const auto filter = Filter::parse(text);
  return filter && filter->matches(commit) == expected;
}

void try_filter(const std::string& text, const History& history) {
  const auto filter = Filter::parse(text);
  if (!filter) {
    check(filter.error().code == ErrorCode::kInvalidArgument);
    return;
  }
  if (text.size() > 2000) return;  // below, a condition is repeated: there is a limit
  for (const CommitSummary& commit : history.commits()) {
    const bool matched = filter->matches(commit);
    const std::string negated = fmt::format("not ({})", text);
    const std::string doubled = fmt::format("({0}) and ({0}) or ({0})", text);
    // At the limits of depth and number these are refused.
    if (!Filter::parse(negated) || !Filter::parse(doubled)) return;
    check(agree(negated, commit, !matched) && agree(doubled, commit, matched));
    check(agree(fmt::format("step<0 or ({})", text), commit, matched));
    check(agree(fmt::format("step>=0 and ({})", text), commit, matched));
  }
}

void try_selector(const std::string& text, const History& history) {
  const auto found = history.resolve(text);
  if (!found) return;
  check(*found < history.commits().size());
  const std::string name = to_hex(history.commits()[*found].digest);
  check(history.resolve(name) == *found);
  if (text.find('~') != std::string::npos) return;
  check(history.resolve(text + "~0") == *found);
  const auto back = history.resolve(text + "~");
  check(!back || history.commits()[*back].time_unix_ns < history.commits()[*found].time_unix_ns);
}

/// Only addresses that ask no disk.
void try_address(const std::string& text) {
  if (text.find("://") == std::string::npos) return;
  const auto address = parse_store_address(text);
  check(address.has_value());
  check((address->stated ? address->store + "@" + address->selector : address->store) == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const History kHistory = make_history();
  const std::string text(reinterpret_cast<const char*>(data), size);
  try_filter(text, kHistory);
  try_selector(text, kHistory);
  try_address(text);
  if (const auto best = parse_best(text)) check(best->count > 0 && !best->key.empty());
  return 0;
}

}  // namespace kilter::store

#include "kilter/store_steps.h"

#include <cmath>
#include <map>

#include "base/try.h"
#include "store/address.h"
#include "store/history/history.h"

namespace kilter {

Result<std::vector<std::string>> store_steps(const std::string& address,
                                             const StepSelection& selection) {
  const auto parsed = store::parse_store_address(address);
  if (!parsed) return fail(Error(ErrorCode::kInvalidArgument, "this is no store").at_path(address));
  KILTER_ASSIGN(const auto opened, store::open_store(parsed->store));
  KILTER_ASSIGN(const store::History history, store::History::load(*opened));
  auto tip = history.resolve(parsed->selector);
  if (!tip) return fail(std::move(tip).error().at_path(parsed->store));
  std::map<std::int64_t, std::string> by_step;
  for (const std::size_t number : history.ancestry(*tip)) {  // newest first: the later one stays
    const store::CommitSummary& commit = history.commits()[number];
    const auto stated = commit.number("step");
    if (!stated || commit.retired || std::fabs(*stated) > 0x1p53) continue;
    const auto step = static_cast<std::int64_t>(*stated);
    if (selection.first && step < *selection.first) continue;
    if (selection.last && step > *selection.last) continue;
    if (selection.every > 1 && step % selection.every != 0) continue;
    by_step.emplace(step, parsed->store + "@" + to_hex(commit.digest));
  }
  std::vector<std::string> out;
  for (auto& [step, found] : by_step) out.push_back(std::move(found));
  if (!out.empty()) return out;
  return fail(Error(ErrorCode::kNotFound, "no step of the store is selected")
                  .at_path(address)
                  .advise("`kilter log` shows the steps that there are"));
}

bool is_store_address(const std::string& address) {
  return store::parse_store_address(address).has_value();
}

}  // namespace kilter

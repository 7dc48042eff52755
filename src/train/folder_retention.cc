#include "train/folder_retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "base/try.h"
#include "train/step_manifest.h"

namespace kilter::train {
namespace {

constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kGoing = ".going-";

std::optional<std::int64_t> step_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  if (error != std::errc() || end != name.data() + name.size() || step < 0) return std::nullopt;
  return step;
}

/// The steps with the best values of a key; those without one are not among them.
void keep_best(io::FileSystem& files, const std::string& folder,
               const std::vector<StepFolder>& steps, const RetainRequest::Best& best,
               std::set<std::string>& kept) {
  std::vector<std::pair<double, const StepFolder*>> ranked;
  for (const StepFolder& step : steps) {
    const auto text = io::read_text(
        files, io::join_path(io::join_path(folder, step.name), kManifestName), 256ULL << 20);
    const auto manifest = text ? parse_manifest(*text) : fail(text.error());
    const auto value = manifest ? meta_number(manifest->metadata, best.key) : std::nullopt;
    if (value) ranked.emplace_back(best.highest ? -*value : *value, &step);
  }
  std::ranges::stable_sort(ranked, {}, [](const auto& pair) { return pair.first; });
  for (std::size_t i = 0; i < std::min<std::size_t>(best.count, ranked.size()); ++i)
    kept.insert(ranked[i].second->name);
}

}  // namespace

std::string step_folder_name(std::int64_t step) { return fmt::format("{}{:08}", kPrefix, step); }

Result<std::vector<StepFolder>> list_steps(io::FileSystem& files, const std::string& folder) {
  const auto entries = files.list(folder);
  if (!entries && entries.error().code == ErrorCode::kNotFound) return std::vector<StepFolder>();
  if (!entries) return fail(entries.error());
  std::vector<StepFolder> steps;
  for (const io::FolderEntry& entry : *entries)
    if (const auto step = step_of(entry.name); step && entry.stat.kind == io::FileKind::kFolder)
      steps.push_back({entry.name, *step});
  std::ranges::sort(steps, {}, &StepFolder::step);
  return steps;
}

Status retain_folders(io::FileSystem& files, const std::string& folder, const RetainRequest& keep) {
  KILTER_ASSIGN(const auto steps, list_steps(files, folder));
  if (steps.empty()) return ok();
  std::set<std::string> kept{steps.back().name};
  for (std::size_t i = 0; keep.last && i < std::min<std::uint64_t>(*keep.last, steps.size()); ++i)
    kept.insert(steps[steps.size() - 1 - i].name);
  for (const StepFolder& step : steps)
    if (keep.every && *keep.every != 0 && static_cast<std::uint64_t>(step.step) % *keep.every == 0)
      kept.insert(step.name);
  for (const auto& best : keep.best) keep_best(files, folder, steps, best, kept);
  for (const StepFolder& step : steps) {
    if (kept.contains(step.name)) continue;
    const std::string going = io::join_path(folder, std::string(kGoing) + step.name);
    KILTER_TRY(files.rename(io::join_path(folder, step.name), going, io::Replace::kRefuse));
    KILTER_TRY(io::remove_tree(files, going));
  }
  return ok();
}

Status sweep_folders(io::FileSystem& files, const std::string& folder) {
  KILTER_ASSIGN(const auto entries, files.list(folder));
  for (const io::FolderEntry& entry : entries)
    if (entry.name.starts_with(kGoing))
      KILTER_TRY(io::remove_tree(files, io::join_path(folder, entry.name)));
  return ok();
}

}  // namespace kilter::train

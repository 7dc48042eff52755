// Makes an output again from the recipe it carries.
#include "base/text.h"
#include "base/try.h"
#include "io/file_system.h"
#include "ops/weights/recipe_verbs.h"
#include "ops/weights/weights_output.h"

namespace kilter {
namespace ops {
namespace {

constexpr std::uint64_t kRecipeBytesMax = 16 << 20;

io::FileSystem& files_of(const OpenOptions& options) {
  return options.files != nullptr ? *options.files : io::real_file_system();
}

Status check_inputs(const Recipe& recipe, const WeightsOptions& options) {
  for (const RecipeInput& input : recipe.inputs) {
    KILTER_ASSIGN(const Checkpoint checkpoint, open_checkpoint(input.address, options.open));
    KILTER_ASSIGN(std::string digest,
                  content_digest(checkpoint, options.thread_count, options.context));
    if (digest == input.digest) continue;
    Error error(ErrorCode::kCorrupt, "an input is not what it was when the recipe was written");
    error.path = input.address;
    error.expected = input.digest;
    error.found = std::move(digest);
    return fail(std::move(error));
  }
  return ok();
}

}  // namespace

Result<std::string> find_recipe(const Checkpoint& checkpoint, const OpenOptions& options) {
  const CheckpointData& data = checkpoint.data();
  for (const auto& [key, value] : data.metadata)
    if (key == kRecipeKey) return value;
  if (data.root_is_folder) {
    for (const FileEntry& file : data.index.files)
      if (file.path.ends_with(kRecipeSuffix))
        return io::read_text(files_of(options), io::join_path(data.root, file.path),
                             kRecipeBytesMax);
  } else {
    const auto dot = data.root.find_last_of('.');
    const auto slash = data.root.find_last_of('/');
    const bool has_dot = dot != std::string::npos && (slash == std::string::npos || dot > slash);
    const std::string path =
        data.root.substr(0, has_dot ? dot : data.root.size()) + std::string(kRecipeSuffix);
    auto text = io::read_text(files_of(options), path, kRecipeBytesMax);
    if (text) return text;
  }
  Error error(ErrorCode::kNotFound, "it carries no recipe");
  error.path = data.path;
  error.hint = "recipes are written by cast, average, merge and their like";
  return fail(std::move(error));
}

Result<ReproduceReport> reproduce_with(const std::string& address, const std::string& target,
                                       const WeightsOptions& options,
                                       std::span<const RecipeVerb> further) {
  KILTER_ASSIGN(const Checkpoint checkpoint, open_checkpoint(address, options.open));
  ReproduceReport report;
  KILTER_ASSIGN(report.recipe, find_recipe(checkpoint, options.open));
  auto recipe = parse_recipe(report.recipe);
  if (!recipe) return fail(std::move(recipe).error().at_path(address));
  KILTER_ASSIGN(const Follow follow, find_follow(*recipe, further));
  KILTER_TRY(check_inputs(*recipe, options));
  WeightsOptions as_recorded = options;
  as_recorded.allow = recipe->allow;
  KILTER_ASSIGN(report.made, follow(*recipe, target, as_recorded));
  KILTER_ASSIGN(report.expected, content_digest(checkpoint, options.thread_count, options.context));
  KILTER_ASSIGN(const Checkpoint again, open_checkpoint(target, options.open));
  KILTER_ASSIGN(report.found, content_digest(again, options.thread_count, options.context));
  report.same = report.expected == report.found;
  return report;
}

}  // namespace ops

Result<std::vector<std::string>> recipe_sources(const std::string& address,
                                                const OpenOptions& options) {
  KILTER_ASSIGN(const Checkpoint checkpoint, open_checkpoint(address, options));
  KILTER_ASSIGN(const std::string text, ops::find_recipe(checkpoint, options));
  auto recipe = ops::parse_recipe(text);
  if (!recipe) return fail(std::move(recipe).error().at_path(address));
  return ops::recipe_addresses(*recipe);
}

Result<ReproduceReport> reproduce(const std::string& address, const std::string& target,
                                  const WeightsOptions& options) {
  return ops::reproduce_with(address, target, options, {});
}

}  // namespace kilter

// Weights alone, without what only training needed.
#include <algorithm>
#include <map>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "kilter/identity.h"
#include "kilter/slim.h"

#include "base/json.h"
#include "base/text.h"
#include "base/try.h"
#include "flow/blocks.h"
#include "ops/convert_plan.h"
#include "ops/slim/copied_weights.h"
#include "ops/slim/linear_names.h"
#include "ops/slim/strip_rules.h"
#include "ops/view_key.h"
#include "ops/weights/recipe_verbs.h"

namespace kilter {
namespace ops {
namespace {

std::string why_no_weight(const std::string& part) {
  if (part == "optimizer") return "optimizer state";
  return part == "ema" ? "EMA" : "state of the run";
}

std::string without_dots(std::string_view name) {
  std::string out;
  std::ranges::copy_if(name, std::back_inserter(out), [](char c) { return c != '.'; });
  return out;
}

bool ties_embeddings(const CheckpointData& data) {
  for (const Document& document : data.documents) {
    if (document.path != "config.json") continue;
    const auto config = parse_json(document.text);
    if (config && config->is_object())
      return config->value("tie_word_embeddings", Json()) == Json(true);
  }
  return false;
}

class Strip {
 public:
  Strip(const WeightsInput& input, const StripOptions& options)
      : input_(input), options_(options), parts_(tensor_parts(data())) {
    keep_used_.assign(options.keep.size(), false);
    drop_used_.assign(options.drop.size(), false);
  }

  Result<WeightsReport> run(const std::string& target) {
    KILTER_ASSIGN(const Target kind, choose_target(options_.to, target));
    for (std::size_t i = 0; i < parts_.size(); ++i) tensors_.push_back({i, input_.names[i], ""});
    if (options_.part == Part::kEma) KILTER_TRY(put_ema_in_place());
    for (CopiedTensor& one : tensors_) judge(one);
    // torch has two names for one tensor at no cost.
    if (kind != Target::kTorch) KILTER_TRY(drop_tied());
    KILTER_TRY(check_rules());
    CopyJob job{make_strip_recipe(), options_.keep_metadata, left_files()};
    KILTER_ASSIGN(WeightsReport report,
                  copy_weights(input_, tensors_, std::move(job), target, options_));
    count_saved(report);
    return report;
  }

 private:
  const CheckpointData& data() const { return input_.checkpoint.data(); }

  static bool fits(const std::vector<std::string>& globs, std::vector<bool>& used,
                   const std::string& name) {
    bool any = false;
    for (std::size_t g = 0; g < globs.size(); ++g) {
      if (!glob_match(globs[g], name)) continue;
      used[g] = any = true;
    }
    return any;
  }

  /// EMA numbers under the weights' names. latent-diffusion writes those without dots.
  Status put_ema_in_place() {
    const std::vector<std::string> inner = unwrapped_names(data());
    std::unordered_map<std::string, std::size_t> ema;
    for (std::size_t i = 0; i < parts_.size(); ++i)
      if (parts_[i] == "ema") ema.emplace(inner[i], i);
    std::size_t placed = 0;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (tensors_[i].name.empty()) continue;
      const std::string& name = input_.names[i];
      auto twin = ema.find(name);
      if (twin == ema.end() && name.starts_with("model."))
        twin = ema.find(without_dots(std::string_view(name).substr(6)));
      if (twin == ema.end() || input_.info(twin->second).shape != input_.info(i).shape) continue;
      tensors_[twin->second].name = name;
      tensors_[twin->second].reason = "EMA, in the place of the weight";
      tensors_[i].name.clear();
      tensors_[i].reason = "its EMA takes its place";
      ++placed;
    }
    if (placed > 0) return ok();
    return fail(Error(ErrorCode::kInvalidArgument, "it has no EMA whose names fit the weights'")
                    .at_path(input_.address)
                    .advise("see `kilter inspect --tensors`"));
  }

  void judge(CopiedTensor& one) {
    const std::string& stated = input_.info(one.tensor).name;
    const std::string name = one.name.empty() ? outer_name(one.tensor) : one.name;
    const bool kept =
        fits(options_.keep, keep_used_, name) || fits(options_.keep, keep_used_, stated);
    if (one.name.empty()) {
      if (!one.reason.empty()) return;
      const bool ema = parts_[one.tensor] == "ema" && options_.keep_ema;
      if (kept || ema) {
        one.name = name;
        one.reason = kept ? "--keep" : "EMA";
      } else {
        one.reason = why_no_weight(parts_[one.tensor]);
      }
      return;
    }
    if (kept) return;
    if (fits(options_.drop, drop_used_, name)) return drop(one, "--drop");
    for (const StripTensorRow& row : strip_tensor_table()) {
      const bool shaped =
          row.dimensions == 0 || row.dimensions == input_.info(one.tensor).shape.size();
      if (shaped && glob_match(row.glob, name)) return drop(one, std::string(row.why));
    }
  }

  static void drop(CopiedTensor& one, std::string why) {
    one.name.clear();
    one.reason = std::move(why);
  }

  /// The name beside the weights: without the container that was taken off theirs.
  std::string outer_name(std::size_t tensor) const {
    const std::string& stated = input_.info(tensor).name;
    for (std::size_t i = 0; i < input_.names.size(); ++i) {
      if (input_.names[i].empty() || !input_.info(i).name.ends_with(input_.names[i])) continue;
      const std::string prefix =
          input_.info(i).name.substr(0, input_.info(i).name.size() - input_.names[i].size());
      return stated.starts_with(prefix) ? stated.substr(prefix.size()) : stated;
    }
    return stated;
  }

  /// Of names for one tensor the one that loaders tie the others to.
  int tie_rank(const CopiedTensor& one) const {
    if (one.name == "shared.weight") return 0;
    const std::string_view what = why_not_linear(one.name, input_.info(one.tensor).shape);
    if (what == "an embedding") return 1;
    return what == "the output head" ? 3 : 2;
  }

  Status drop_tied() {
    std::map<ViewKey, std::vector<std::size_t>> views;
    for (std::size_t i = 0; i < tensors_.size(); ++i)
      if (!tensors_[i].name.empty() && input_.info(i).element_count() > 0)
        views[view_key(input_.info(i))].push_back(i);
    for (auto& [key, group] : views) drop_seconds(group);
    if (!ties_embeddings(data())) return ok();
    for (std::size_t i = 0; i < tensors_.size(); ++i)
      if (!tensors_[i].name.empty() && tie_rank(tensors_[i]) == 3) KILTER_TRY(drop_tied_head(i));
    return ok();
  }

  void drop_seconds(std::vector<std::size_t>& group) {
    std::ranges::stable_sort(group, {}, [&](std::size_t i) { return tie_rank(tensors_[i]); });
    for (std::size_t k = 1; k < group.size(); ++k) {
      CopiedTensor& one = tensors_[group[k]];
      if (!fits(options_.keep, keep_used_, one.name))
        drop(one, "the same tensor as " + tensors_[group.front()].name);
    }
  }

  /// A head stored a second time, where config.json ties it to the embedding.
  Status drop_tied_head(std::size_t head) {
    const TensorInfo& info = input_.info(head);
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const bool candidate = !tensors_[i].name.empty() && tie_rank(tensors_[i]) < 2 &&
                             input_.info(i).dtype == info.dtype &&
                             input_.info(i).shape == info.shape;
      if (!candidate || fits(options_.keep, keep_used_, tensors_[head].name)) continue;
      KILTER_ASSIGN(const bool equal,
                    equal_tensors(*input_.checkpoint.source(), head, i, options_.context));
      if (!equal) continue;
      drop(tensors_[head],
           "a second copy of " + tensors_[i].name + ", to which config.json ties it");
      return ok();
    }
    return ok();
  }

  Status check_rules() const {
    const auto check = [&](const auto& globs, const auto& used, std::string_view option) -> Status {
      for (std::size_t g = 0; g < globs.size(); ++g)
        if (!used[g])
          return fail(Error(ErrorCode::kInvalidArgument,
                            std::string(option) + " " + globs[g] + " fits no tensor")
                          .advise("see `kilter inspect --tensors`"));
      return ok();
    };
    KILTER_TRY(check(options_.keep, keep_used_, "--keep"));
    return check(options_.drop, drop_used_, "--drop");
  }

  std::map<std::string, std::string> left_files() const {
    std::map<std::string, std::string> out;
    for (const FileEntry& file : data().index.files)
      for (const StripFileRow& row : strip_file_table())
        if (glob_match(row.glob, file.path)) out.emplace(file.path, row.why);
    return out;
  }

  Recipe make_strip_recipe() const {
    Recipe recipe;
    recipe.verb = "strip";
    if (options_.part == Part::kEma) recipe.own["part"] = "ema";
    if (options_.keep_ema) recipe.own["keep_ema"] = true;
    if (!options_.keep_metadata) recipe.own["metadata"] = "drop";
    if (!options_.keep.empty()) recipe.own["keep"] = options_.keep;
    if (!options_.drop.empty()) recipe.own["drop"] = options_.drop;
    return recipe;
  }

  void count_saved(WeightsReport& report) const {
    std::uint64_t before = 0, after = 0;
    for (const FileEntry& file : data().index.files) before += file.bytes;
    for (const auto& [name, bytes] : report.files) after += bytes;
    report.saved_bytes = before > after ? before - after : 0;
  }

  const WeightsInput& input_;
  const StripOptions& options_;
  const std::vector<std::string> parts_;
  std::vector<bool> keep_used_, drop_used_;
  std::vector<CopiedTensor> tensors_;
};

}  // namespace

Result<WeightsReport> follow_strip(const Recipe& recipe, const std::string& target,
                                   const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(recipe, {"part", "keep_ema", "metadata", "keep", "drop"}));
  auto options = options_for<StripOptions>(how);
  KILTER_ASSIGN(const std::string part, own_text(recipe, "part", "weights"));
  KILTER_ASSIGN(options.keep_ema, own_flag(recipe, "keep_ema"));
  KILTER_ASSIGN(const std::string metadata, own_text(recipe, "metadata", "keep"));
  KILTER_ASSIGN(options.keep, own_texts(recipe, "keep"));
  KILTER_ASSIGN(options.drop, own_texts(recipe, "drop"));
  if (part == "ema") options.part = Part::kEma;
  options.keep_metadata = metadata != "drop";
  return strip(recipe.inputs.front().address, target, options);
}

}  // namespace ops

Result<WeightsReport> strip(const std::string& source, const std::string& target,
                            const StripOptions& options) {
  KILTER_ASSIGN(const ops::WeightsInput input, ops::open_weights(source, options.open));
  return ops::Strip(input, options).run(target);
}

}  // namespace kilter

// Gives a delta's result back. Source: spec/delta.md.
#include <fmt/format.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "kilter/delta.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/raw_bytes.h"
#include "base/run_jobs.h"
#include "base/text.h"
#include "base/try.h"
#include "ops/weights/content_digest.h"
#include "ops/weights/recipe_verbs.h"
#include "ops/weights/weights_output.h"
#include "store/delta/delta_source.h"

namespace kilter {
namespace store {
namespace {

constexpr std::string_view kApplyVerb = "delta-apply";

class DeltaApplier {
 public:
  DeltaApplier(ops::WeightsInput base, DeltaFile delta, const WeightsOptions& options)
      : base_(std::move(base)), delta_(std::move(delta)), options_(options) {}

  Result<DeltaReport> run(const std::string& target) {
    KILTER_TRY(check_base());
    KILTER_ASSIGN(source_, DeltaSource::open(delta_, base_));
    if (!options_.dry_run) KILTER_TRY(check_result());
    report_.verb = kApplyVerb;
    report_.sources = {base_.address, delta_.address};
    report_.base_digest = delta_.base_digest;
    report_.result_digest = delta_.result_digest;
    ops::WeightsJob job;
    job.base = &base_;
    job.belongings.emplace();
    add_outputs(job);
    KILTER_ASSIGN(job.recipe, make_recipe());
    KILTER_TRY(ops::write_weights(std::move(job), target, options_, report_));
    return std::move(report_);
  }

 private:
  std::size_t tensor_count() const { return delta_.manifest.tensors.size(); }

  Status check_base() {
    KILTER_ASSIGN(base_digests_,
                  ops::tensor_digests(base_.checkpoint, options_.thread_count, options_.context));
    const std::string found = ops::digest_of_contents(base_.checkpoint, base_digests_);
    if (found == delta_.base_digest) return {};
    return fail(Error(ErrorCode::kCorrupt, "the delta was made from another base")
                    .at_path(base_.address)
                    .wanted("content " + delta_.base_digest, found)
                    .advise("it was made from " + escape_text(delta_.manifest.base, 300)));
  }

  /// Everything is decoded once to see that it is the result, and again as it is written.
  Status check_result() {
    std::vector<Digest256> digests(tensor_count());
    Jobs jobs{"check",
              tensor_count(),
              [this](std::size_t i) { return source_->index().tensors[i].bytes(); },
              {}};
    jobs.run = [&](std::size_t i) -> Status {
      KILTER_ASSIGN(digests[i], digest_of(i));
      return {};
    };
    KILTER_TRY(run_jobs(jobs, options_.thread_count, options_.context));
    std::vector<ops::NamedContent> contents;
    for (std::size_t i = 0; i < tensor_count(); ++i) {
      const DeltaManifest::Tensor& tensor = delta_.manifest.tensors[i];
      contents.push_back({tensor.name, tensor.dtype, &tensor.shape, digests[i]});
    }
    const std::string found = ops::digest_of_contents(std::move(contents));
    if (found == delta_.result_digest) return {};
    return fail(Error(ErrorCode::kCorrupt, "the delta is damaged: what it makes is not its result")
                    .at_path(delta_.address)
                    .wanted("content " + delta_.result_digest, found));
  }

  Result<Digest256> digest_of(std::size_t tensor) const {
    constexpr std::uint64_t kAtOnce = 1 << 20;  // whole blocks
    if (const auto same = source_->same_as_base(tensor)) return base_digests_[*same];
    const std::uint64_t total = source_->index().tensors[tensor].bytes();
    RawBytes block;
    Blake3 hasher;
    for (std::uint64_t at = 0; at < total; at += block.size()) {
      KILTER_TRY(options_.context.check());
      block.resize(static_cast<std::size_t>(std::min(kAtOnce, total - at)));
      KILTER_TRY(source_->read_tensor(tensor, at, block));
      hasher.update(block);
    }
    return hasher.finish();
  }

  void add_outputs(ops::WeightsJob& job) {
    job.plan.verb = kApplyVerb;
    job.belongings->metadata = delta_.manifest.metadata;
    const auto& infos = source_->index().tensors;
    for (std::size_t i = 0; i < infos.size(); ++i) {
      PlanOutput output;
      output.name = infos[i].name;
      output.dtype = infos[i].dtype;
      output.shape = infos[i].shape;
      output.bytes = infos[i].bytes();
      output.inputs = {{source_, InputKind::kTensor, i, 0}};
      if (i >= tensor_count()) {
        job.belongings->files.push_back(std::move(output));
        continue;
      }
      add_row(i, infos[i]);
      if (const auto same = source_->same_as_base(i))
        output.inputs = {{base_.checkpoint.source(), InputKind::kTensor, *same, 0}};
      job.plan.accounts.push_back({infos[i].name, Fate::kUsed, infos[i].name, ""});
      job.plan.outputs.push_back(std::move(output));
    }
  }

  void add_row(std::size_t tensor, const TensorInfo& info) {
    WeightsReport::Tensor row;
    row.name = info.name;
    row.fate = source_->same_as_base(tensor) ? "same" : "restored";
    row.from = row.to = info.dtype;
    row.bytes = info.bytes();
    report_.plain_bytes += row.bytes;
    if (const auto payload =
            delta_.checkpoint.data().index.find(std::string(kDeltaTensorPrefix) + info.name))
      report_.payload_bytes += delta_.checkpoint.tensors()[*payload].bytes();
    report_.tensors.push_back(std::move(row));
  }

  /// None where the result carries its own: that is how its weights were made.
  Result<std::string> make_recipe() const {
    for (const auto& [key, value] : delta_.manifest.metadata)
      if (key == ops::kRecipeKey) return std::string();
    ops::Recipe recipe;
    recipe.verb = kApplyVerb;
    recipe.allow = options_.allow;
    std::string digest(64, '0');
    if (!options_.dry_run) {
      KILTER_ASSIGN(digest,
                    content_digest(delta_.checkpoint, options_.thread_count, options_.context));
    }
    recipe.inputs = {{ops::lasting_address(base_.address, options_.open), delta_.base_digest},
                     {ops::lasting_address(delta_.address, options_.open), std::move(digest)}};
    return ops::write_recipe(recipe);
  }

  ops::WeightsInput base_;
  DeltaFile delta_;
  const WeightsOptions& options_;
  std::vector<Digest256> base_digests_;
  std::shared_ptr<const DeltaSource> source_;
  DeltaReport report_;
};

Result<WeightsReport> follow_delta_apply(const ops::Recipe& recipe, const std::string& target,
                                         const WeightsOptions& how) {
  KILTER_TRY(ops::check_own_keys(recipe, {}));
  if (recipe.inputs.size() != 2)
    return fail(ErrorCode::kMalformed, "the recipe's inputs do not fit its verb");
  KILTER_ASSIGN(DeltaReport report,
                delta_apply(recipe.inputs[0].address, recipe.inputs[1].address, target, how));
  return static_cast<WeightsReport&&>(report);
}

constexpr ops::RecipeVerb kStoreVerbs[] = {{kApplyVerb, follow_delta_apply}};

}  // namespace
}  // namespace store

Result<DeltaReport> delta_apply(const std::string& base, const std::string& delta,
                                const std::string& target, const WeightsOptions& options) {
  KILTER_ASSIGN(store::DeltaFile file, store::open_delta(delta, options.open));
  KILTER_ASSIGN(ops::WeightsInput input, ops::open_weights(base, options.open, Part::kAll));
  return store::DeltaApplier(std::move(input), std::move(file), options).run(target);
}

Result<ReproduceReport> reproduce_any(const std::string& address, const std::string& target,
                                      const WeightsOptions& options) {
  return ops::reproduce_with(address, target, options, store::kStoreVerbs);
}

std::string delta_json(const DeltaReport& report) {
  auto out = parse_json(weights_json(report));
  KILTER_CHECK(out.has_value());
  (*out)["base_digest"] = report.base_digest;
  (*out)["result_digest"] = report.result_digest;
  (*out)["plain_bytes"] = report.plain_bytes;
  (*out)["payload_bytes"] = report.payload_bytes;
  return dump_json(*out);
}

}  // namespace kilter

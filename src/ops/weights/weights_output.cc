#include "ops/weights/weights_output.h"

#include <algorithm>
#include <map>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/try.h"
#include "flow/estimate.h"
#include "formats/format.h"
#include "formats/state_json/state_json.h"
#include "ops/companion_sink.h"
#include "ops/companions.h"
#include "ops/convert_plan.h"
#include "ops/output_place.h"
#include "ops/state_values.h"
#include "ops/weights/tied_outputs.h"

namespace kilter::ops {
namespace {

constexpr std::string_view kConfig = "config.json";

/// config.json with the dtype and the quantization that its loaders are to use; empty where that
/// changes nothing.
std::string changed_config(const CheckpointData& data, const WeightsJob& job) {
  for (const Document& document : data.documents) {
    if (document.path != kConfig) continue;
    auto config = parse_json(document.text);
    if (!config || !config->is_object()) return "";
    bool changed = false;
    for (const char* key : {"torch_dtype", "dtype"}) {
      if (!job.config_dtype || !config->contains(key) || !(*config)[key].is_string()) continue;
      (*config)[key] = dtype_row(*job.config_dtype).torch;
      changed = true;
    }
    if (job.quantization) {
      for (const char* key : {"quantization_config", "compression_config"})
        changed = config->erase(key) > 0 || changed;
      if (auto stated = parse_json(*job.quantization); stated && !job.quantization->empty()) {
        (*config)["quantization_config"] = *std::move(stated);
        changed = true;
      }
    }
    return changed ? dump_json(*config) + "\n" : "";
  }
  return "";
}

class Writer {
 public:
  Writer(WeightsJob job, const WeightsOptions& options, WeightsReport& report)
      : job_(std::move(job)), options_(options), report_(report) {}

  Status run(const std::string& target_path) {
    KILTER_ASSIGN(target_, choose_target(options_.to, target_path));
    if (options_.shard_bytes_max > 0 && target_ != Target::kSafetensors)
      return fail(ErrorCode::kInvalidArgument, "only safetensors output can be sharded");
    place_ = place_of(target_path, options_.shard_bytes_max > 0 || target_ == Target::kDcp);
    KILTER_TRY(make_sink());
    add_companions();
    report_values();
    KILTER_TRY(lay_out());
    return options_.dry_run ? estimate() : write();
  }

 private:
  const CheckpointData& data() const { return job_.base->checkpoint.data(); }

  Status make_sink() {
    std::vector<std::string> names;
    for (const PlanOutput& output : job_.plan.outputs) names.push_back(output.name);
    recode();
    if (target_ == Target::kTorch) KILTER_TRY(join_ties());
    formats::WriteOptions write;
    write.stem = place_.stem;
    write.extension = place_.extension;
    write.shard_bytes_max = options_.shard_bytes_max;
    write.metadata = metadata();
    write.tensor_names = std::move(names);
    if (target_ == Target::kTorch || target_ == Target::kDcp) {
      state_ = plain_dict(write.tensor_names);
      write.state = &state_;
    }
    const formats::Format* const format = formats::find_format(target_format(target_));
    auto inner = format == nullptr ? nullptr : format->make_sink(write);
    if (inner == nullptr) return fail(ErrorCode::kInternal, "the target format has no writer");
    sink_ = std::make_unique<CompanionSink>(std::move(inner), job_.plan.outputs.size());
    if (!records_.empty()) {
      KILTER_ASSIGN(std::string text, state_json::write_state_json(plain_dict(write.tensor_names),
                                                                   write.tensor_names, records_));
      sink_->add_text(place_.stem + std::string(state_json::kSuffix), std::move(text));
    }
    if (target_ != Target::kSafetensors && !job_.recipe.empty())
      sink_->add_text(place_.stem + std::string(kRecipeSuffix), job_.recipe + "\n");
    return ok();
  }

  /// Dtypes that the target has no name for are the same bytes under another; the state file
  /// beside says what they are.
  void recode() {
    for (PlanOutput& output : job_.plan.outputs) {
      TensorInfo info;
      info.name = output.name;
      info.dtype = output.dtype;
      info.shape = output.shape;
      const Storable storable = storable_as(target_, info);
      if (storable.reason.empty()) continue;
      state_json::TensorRecord record;
      record.name = output.name;
      record.dtype = output.dtype;
      record.shape = output.shape;
      records_.push_back(std::move(record));
      output.dtype = storable.dtype;
      output.shape = storable.shape;
    }
  }

  /// Only torch can say that two names are one tensor.
  Status join_ties() {
    KILTER_ASSIGN(const auto joined,
                  join_tied_outputs(job_.plan, job_.base->checkpoint, options_.context));
    const std::map<std::string, std::string> firsts(joined.begin(), joined.end());
    for (WeightsReport::Tensor& row : report_.tensors) {
      const auto first = firsts.find(row.name);
      if (first == firsts.end() || row.fate == "dropped") continue;
      row.reason += (row.reason.empty() ? "" : "; ") + ("one with " + first->second);
      row.bytes = 0;
    }
    return ok();
  }

  /// Nested state has no place in weights; metadata only in safetensors.
  void report_values() {
    if (!job_.companions) return;
    for (const StateValue& value : state_values(data().state))
      report_.values.push_back({value.path, "dropped", "operations on weights keep tensors alone"});
    if (data().format.find("safetensors") == std::string::npos) return;
    const bool has_place = target_ == Target::kSafetensors, kept = has_place && job_.keep_metadata;
    for (const auto& [key, value] : data().metadata) {
      if (key == "format" && !kept) continue;  // says "pt", which the target is
      const std::string name = "__metadata__." + key;
      if (key == kRecipeKey)
        report_.values.push_back({name, "changed", "the recipe of this output"});
      else if (kept)
        report_.values.push_back({name, "kept", ""});
      else
        report_.values.push_back(
            {name, "dropped",
             has_place ? "metadata were not to be kept"
                       : std::string(target_name(target_)) + " has no place for metadata"});
    }
  }

  std::vector<std::pair<std::string, std::string>> metadata() const {
    std::vector<std::pair<std::string, std::string>> out;
    const bool has_metadata = data().format.find("safetensors") != std::string::npos;
    if (job_.belongings)
      out = job_.belongings->metadata;
    else if (has_metadata && job_.companions && job_.keep_metadata)
      out = data().metadata;
    if (job_.recipe.empty() && job_.belongings) return out;
    std::erase_if(out, [](const auto& row) { return row.first == kRecipeKey; });
    const bool has_format =
        std::any_of(out.begin(), out.end(), [](const auto& row) { return row.first == "format"; });
    if (!has_format) out.emplace_back("format", "pt");
    if (!job_.recipe.empty()) out.emplace_back(kRecipeKey, job_.recipe);
    return out;
  }

  /// config, tokenizer, card and licence of the base go along into a folder.
  void add_companions() {
    if (place_.is_folder)
      for (const auto& [name, text] : job_.texts)
        if (!text.empty()) sink_->add_text(name, text);
    if (job_.belongings) {
      if (place_.is_folder)
        for (PlanOutput& file : job_.belongings->files)
          job_.plan.outputs.push_back(std::move(file));
      return;
    }
    if (!data().root_is_folder || !job_.companions) return;
    const std::string config = changed_config(data(), job_);
    for (const std::uint32_t file : companion_files(data())) {
      const std::string& path = data().index.files[file].path;
      if (path.ends_with(kRecipeSuffix)) continue;
      if (const auto left = job_.left_files.find(path); left != job_.left_files.end()) {
        report_.values.push_back({path, "dropped", left->second});
      } else if (!place_.is_folder) {
        report_.values.push_back(
            {path, "dropped", "a single file holds no companions: give a folder as DST"});
      } else if (job_.texts.contains(path)) {
        const bool gone = job_.texts.at(path).empty();
        report_.values.push_back({path, gone ? "dropped" : "changed", "made anew"});
      } else if (path == kConfig && !config.empty()) {
        sink_->add_text(path, config);
        report_.values.push_back({path, "changed", "it states what the weights are now"});
      } else {
        job_.plan.outputs.push_back(companion_output(job_.base->checkpoint, file));
        report_.values.push_back({path, "kept", "copied"});
      }
    }
  }

  Status lay_out() {
    report_.target_path = place_.path;
    report_.target_format = target_name(target_);
    report_.dry_run = options_.dry_run;
    report_.recipe = job_.recipe;
    KILTER_ASSIGN(const std::vector<FileLayout> files, sink_->layout(job_.plan));
    for (const FileLayout& file : files) {
      std::uint64_t bytes = 0;
      for (const Segment& segment : file.segments) bytes += segment.bytes;
      report_.files.emplace_back(file.name, bytes);
    }
    return ok();
  }

  Status estimate() {
    KILTER_ASSIGN(const PlanEstimate run,
                  estimate_plan(job_.plan, *sink_, engine_options(options_), options_.context));
    report_.estimate = {run.memory_bytes, run.seconds * (1 + job_.passes_before)};
    return ok();
  }

  Status write() {
    KILTER_ASSIGN(const RunReport run, write_to(place_, job_.plan, *sink_, options_));
    report_.read_bytes = run.read_bytes;
    report_.written_bytes = run.written_bytes;
    report_.resumed_bytes = run.resumed_bytes;
    report_.seconds = run.seconds;
    return ok();
  }

  WeightsJob job_;
  const WeightsOptions& options_;
  WeightsReport& report_;
  Target target_ = Target::kSafetensors;
  Place place_;
  StateTree state_;
  std::vector<state_json::TensorRecord> records_;
  std::unique_ptr<CompanionSink> sink_;
};

}  // namespace

Status write_weights(WeightsJob job, const std::string& target, const WeightsOptions& options,
                     WeightsReport& report) {
  return Writer(std::move(job), options, report).run(target);
}

}  // namespace kilter::ops

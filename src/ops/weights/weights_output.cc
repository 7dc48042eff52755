#include "ops/weights/weights_output.h"

#include <algorithm>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/try.h"
#include "flow/engine.h"
#include "formats/format.h"
#include "formats/state_json/state_json.h"
#include "ops/companion_sink.h"
#include "ops/companions.h"
#include "ops/convert_plan.h"
#include "ops/output_place.h"
#include "ops/state_values.h"

namespace kilter::ops {
namespace {

constexpr std::string_view kConfig = "config.json";

/// config.json with the dtype its loaders are to use; empty where it states none.
std::string config_with_dtype(const CheckpointData& data, DType dtype) {
  for (const Document& document : data.documents) {
    if (document.path != kConfig) continue;
    auto config = parse_json(document.text);
    if (!config || !config->is_object()) return "";
    bool states = false;
    for (const char* key : {"torch_dtype", "dtype"}) {
      if (!config->contains(key) || !(*config)[key].is_string()) continue;
      (*config)[key] = dtype_row(dtype).torch;
      states = true;
    }
    return states ? dump_json(*config) + "\n" : "";
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
    KILTER_TRY(lay_out());
    return options_.dry_run ? ok() : write();
  }

 private:
  const CheckpointData& data() const { return job_.base->checkpoint.data(); }

  Status make_sink() {
    recode();
    formats::WriteOptions write;
    write.stem = place_.stem;
    write.extension = place_.extension;
    write.shard_bytes_max = options_.shard_bytes_max;
    write.metadata = metadata();
    for (const PlanOutput& output : job_.plan.outputs) write.tensor_names.push_back(output.name);
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

  std::vector<std::pair<std::string, std::string>> metadata() const {
    std::vector<std::pair<std::string, std::string>> out;
    if (job_.belongings)
      out = job_.belongings->metadata;
    else if (data().format.find("safetensors") != std::string::npos)
      out = data().metadata;
    if (job_.recipe.empty()) return out;
    std::erase_if(out, [](const auto& row) { return row.first == kRecipeKey; });
    const bool has_format =
        std::any_of(out.begin(), out.end(), [](const auto& row) { return row.first == "format"; });
    if (!has_format) out.emplace_back("format", "pt");
    out.emplace_back(kRecipeKey, job_.recipe);
    return out;
  }

  /// config, tokenizer, card and licence of the base go along into a folder.
  void add_companions() {
    if (!place_.is_folder) return;
    if (job_.belongings) {
      for (PlanOutput& file : job_.belongings->files) job_.plan.outputs.push_back(std::move(file));
      return;
    }
    if (!data().root_is_folder) return;
    std::string config;
    if (job_.config_dtype) config = config_with_dtype(data(), *job_.config_dtype);
    for (const std::uint32_t file : companion_files(data())) {
      const std::string& path = data().index.files[file].path;
      if (path.ends_with(kRecipeSuffix)) continue;
      if (path == kConfig && !config.empty())
        sink_->add_text(path, config);
      else
        job_.plan.outputs.push_back(companion_output(job_.base->checkpoint, file));
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

  Status write() {
    KILTER_ASSIGN(const RunReport run, write_to(place_, job_.plan, *sink_, options_));
    report_.read_bytes = run.read_bytes;
    report_.written_bytes = run.written_bytes;
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

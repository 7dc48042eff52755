#include "kilter/convert.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <unordered_map>

#include "base/try.h"
#include "flow/blocks.h"
#include "flow/engine.h"
#include "formats/format.h"
#include "formats/state_json/state_json.h"
#include "formats/torch/substitutes.h"
#include "ops/companion_sink.h"
#include "ops/companions.h"
#include "ops/convert_plan.h"
#include "ops/convert_run.h"
#include "ops/output_place.h"
#include "ops/selection.h"
#include "ops/state_values.h"

namespace kilter::ops {

namespace {

std::vector<std::string> names_by_tensor(const Selection& selection) {
  std::vector<std::string> names(selection.tensors.size());
  for (const Selected& one : selection.tensors) names[one.tensor] = one.name;
  return names;
}

/// One conversion, step by step; members are what the steps hand to each other.
class Conversion {
 public:
  Conversion(const Checkpoint& source, const std::string& target, const ConvertOptions& options,
             const std::vector<std::string>* only_names)
      : source_(source), options_(options), only_names_(only_names), target_path_(target) {}

  Result<ConvertReport> run() {
    KILTER_ASSIGN(target_, choose_target(options_.to, target_path_));
    if (options_.shard_bytes_max > 0 && target_ != Target::kSafetensors) {
      return fail(ErrorCode::kInvalidArgument, "only safetensors output can be sharded");
    }
    place_ = place_of(target_path_, options_.shard_bytes_max > 0 || target_ == Target::kDcp);
    KILTER_ASSIGN(selection_, select_tensors(data(), options_));
    keep_only_intact();
    names_ = names_by_tensor(selection_);
    KILTER_ASSIGN(const std::vector<std::size_t> same_as, resolve_ties());
    conversion_ = plan_conversion(source_, selection_, target_, same_as);
    choose_state();
    KILTER_TRY(make_sink());
    add_companions();
    KILTER_TRY(fill_report());
    if (!options_.dry_run) KILTER_TRY(write());
    return std::move(report_);
  }

 private:
  const CheckpointData& data() const { return source_.data(); }

  void keep_only_intact() {
    if (only_names_ == nullptr) return;
    const std::set<std::string> intact(only_names_->begin(), only_names_->end());
    for (Selected& one : selection_.tensors) {
      if (intact.contains(data().index.tensors[one.tensor].name)) continue;
      one.name.clear();
      one.reason = "damaged";
      selection_.whole = false;
    }
  }

  /// Ties that a state file states between tensors stored twice hold only if the bytes agree.
  Result<std::vector<std::size_t>> resolve_ties() const {
    const auto& tensors = data().index.tensors;
    std::vector<std::size_t> same_as(tensors.size());
    std::iota(same_as.begin(), same_as.end(), std::size_t{0});
    if (target_ != Target::kTorch || data().ties.empty()) return same_as;
    std::unordered_map<std::string_view, std::size_t> by_name;
    for (std::size_t i = 0; i < tensors.size(); ++i) by_name.emplace(tensors[i].name, i);
    for (const auto& [later, earlier] : data().ties) {
      const auto a = by_name.find(later), b = by_name.find(earlier);
      if (a == by_name.end() || b == by_name.end() || names_[b->second].empty()) continue;
      const TensorInfo &copy = tensors[a->second], &first = tensors[b->second];
      if (copy.storage == first.storage || copy.dtype != first.dtype || copy.shape != first.shape)
        continue;
      KILTER_ASSIGN(const bool equal,
                    equal_tensors(*source_.source(), a->second, b->second, options_.context));
      if (equal) same_as[a->second] = same_as[b->second];
    }
    return same_as;
  }

  /// Decides whether the source's own structure goes along or a plain dict of the tensors does.
  void choose_state() {
    values_ = state_values(data().state);
    const bool nothing_to_keep = values_.empty() && data().root_is_folder;
    keeps_state_ = selection_.whole && !data().state.empty() && !nothing_to_keep;
    plain_ = plain_dict(names_);
  }

  /// True if the target's own files hold state that is not tensors.
  bool holds_state() const { return target_ == Target::kTorch || target_ == Target::kDcp; }

  /// True if safetensors or npz need a state file to say what they cannot.
  bool needs_state_file() const {
    if (keeps_state_ && (!values_.empty() || !is_plain_dict(data().state, names_))) return true;
    if (!data().ties.empty() && selection_.whole) return true;
    const auto& tensors = data().index.tensors;
    return std::any_of(
        selection_.tensors.begin(), selection_.tensors.end(), [&](const Selected& s) {
          const TensorInfo& t = tensors[s.tensor];
          return !s.name.empty() && (t.requires_grad || t.parameter || !t.contiguous() ||
                                     !storable_as(target_, t).reason.empty());
        });
  }

  Status make_sink() {
    formats::WriteOptions write;
    write.stem = place_.stem;
    write.extension = place_.extension;
    write.shard_bytes_max = options_.shard_bytes_max;
    write.metadata = metadata();
    if (holds_state()) {  // the others get a state file of ours beside them
      write.state = keeps_state_ ? &data().state : &plain_;
      write.tensor_names = names_;
    }
    const formats::Format* format = formats::find_format(target_format(target_));
    if (format == nullptr) return fail(ErrorCode::kInternal, "the target format has no row");
    auto inner = format->make_sink(write);
    if (inner == nullptr) return fail(ErrorCode::kInternal, "the target format has no writer");
    sink_ = std::make_unique<CompanionSink>(std::move(inner), conversion_.plan.outputs.size());
    if (!holds_state() && needs_state_file()) {
      state_file_ = place_.stem + ".state.json";
      KILTER_ASSIGN(std::string text, state_json::write_state_json(
                                          keeps_state_ ? data().state : plain_, names_, records()));
      sink_->add_text(state_file_, std::move(text));
    }
    return ok();
  }

  /// What the target's own header cannot say about each tensor.
  std::vector<state_json::TensorRecord> records() const {
    std::vector<state_json::TensorRecord> out;
    std::map<std::string, std::string> tied(data().ties.begin(), data().ties.end());
    std::map<std::string, std::string> names;
    for (const Selected& one : selection_.tensors)
      names.emplace(data().index.tensors[one.tensor].name, one.name);
    for (const Selected& one : selection_.tensors) {
      if (one.name.empty()) continue;
      const TensorInfo& tensor = data().index.tensors[one.tensor];
      state_json::TensorRecord record;
      record.name = one.name;
      record.requires_grad = tensor.requires_grad;
      record.parameter = tensor.parameter;
      if (!tensor.contiguous()) record.source_strides = tensor.strides;
      if (!storable_as(target_, tensor).reason.empty()) {
        record.dtype = tensor.dtype;
        record.shape = tensor.shape;
      }
      const auto tie = tied.find(tensor.name);
      if (tie != tied.end()) record.tied_to = names[tie->second];
      if (!record.empty()) out.push_back(std::move(record));
    }
    return out;
  }

  std::vector<std::pair<std::string, std::string>> metadata() const {
    auto out = data().metadata;
    if (data().format != "safetensors" && data().format.find("safetensors") == std::string::npos)
      out.clear();
    const bool has_format =
        std::any_of(out.begin(), out.end(), [](const auto& row) { return row.first == "format"; });
    if (!has_format) out.emplace_back("format", "pt");
    return out;
  }

  void add_companions() {
    if (!data().root_is_folder) return;
    for (const std::uint32_t file : companion_files(data())) {
      const FileEntry& entry = data().index.files[file];
      if (!place_.is_folder) {
        report_.values.push_back(
            {entry.path, "dropped", "a single file holds no companions: give a folder as DST"});
        continue;
      }
      conversion_.plan.outputs.push_back(companion_output(source_, file));
      report_.values.push_back({entry.path, "kept", "copied"});
    }
  }

  Status fill_report() {
    report_.source_path = data().path;
    report_.source_format = data().format;
    report_.target_path = place_.path;
    report_.target_format = target_name(target_);
    report_.dry_run = options_.dry_run;
    report_.tensors = conversion_.fates;
    report_values();
    report_metadata();
    KILTER_ASSIGN(const std::vector<FileLayout> files, sink_->layout(conversion_.plan));
    for (const FileLayout& file : files) {
      std::uint64_t bytes = 0;
      for (const Segment& segment : file.segments) bytes += segment.bytes;
      report_.files.emplace_back(file.name, bytes);
    }
    return ok();
  }

  void report_values() {
    std::map<StateId, std::string> substituted;
    if (holds_state() && keeps_state_) {
      for (const auto& one : formats::torch_substitutes(data().state))
        substituted.emplace(one.node, one.reason);
    }
    for (const StateValue& value : values_) {
      const auto substitute = substituted.find(value.node);
      if (!keeps_state_) {
        report_.values.push_back({value.path, "dropped", "only tensors were asked for"});
      } else if (substitute != substituted.end()) {
        report_.values.push_back({value.path, "substituted", substitute->second});
        substituted.erase(substitute);
      } else {
        report_.values.push_back(
            {value.path, "kept", state_file_.empty() ? "" : "in " + state_file_});
      }
    }
    for (const auto& [node, reason] : substituted)
      report_.values.push_back({"(" + data().state[node].text + ")", "substituted", reason});
  }

  void report_metadata() {
    const bool kept = target_ == Target::kSafetensors;
    const bool stated = data().format.find("safetensors") != std::string::npos;
    if (!stated) return;
    for (const auto& [key, value] : data().metadata) {
      if (key == "format" && !kept) continue;  // says "pt", which the target is
      report_.values.push_back(
          {"__metadata__." + key, kept ? "kept" : "dropped",
           kept ? "" : std::string(target_name(target_)) + " has no place for metadata"});
    }
  }

  Status write() {
    KILTER_ASSIGN(const RunReport run, write_to(place_, conversion_.plan, *sink_, options_));
    report_.read_bytes = run.read_bytes;
    report_.written_bytes = run.written_bytes;
    report_.seconds = run.seconds;
    return ok();
  }

  const Checkpoint& source_;
  const ConvertOptions& options_;
  const std::vector<std::string>* only_names_;
  std::string target_path_;
  Target target_ = Target::kSafetensors;
  Place place_;
  Selection selection_;
  std::vector<std::string> names_;
  ConversionPlan conversion_;
  std::vector<StateValue> values_;
  bool keeps_state_ = false;
  StateTree plain_;
  std::string state_file_;
  std::unique_ptr<CompanionSink> sink_;
  ConvertReport report_;
};

}  // namespace

Result<ConvertReport> convert_checkpoint(const Checkpoint& source, const std::string& target,
                                         const ConvertOptions& options,
                                         const std::vector<std::string>* only_names) {
  return Conversion(source, target, options, only_names).run();
}

}  // namespace kilter::ops

namespace kilter {

Result<ConvertReport> convert(const std::string& source, const std::string& target,
                              const ConvertOptions& options) {
  KILTER_ASSIGN(const Checkpoint checkpoint, open_checkpoint(source, options.open));
  return ops::convert_checkpoint(checkpoint, target, options);
}

}  // namespace kilter

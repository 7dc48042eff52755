#include "ops/factors/adapter_draft.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/try.h"
#include "flow/memory_source.h"
#include "formats/format.h"
#include "ops/companion_sink.h"
#include "ops/convert_plan.h"
#include "ops/output_place.h"
#include "ops/weights/weights_output.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

constexpr std::string_view kAdapterStem = "adapter_model", kAdapterConfig = "adapter_config.json";

std::uint64_t element_bytes(DType dtype, const std::vector<std::int64_t>& shape) {
  std::uint64_t out = dtype_row(dtype).bits / 8;
  for (const std::int64_t extent : shape) out *= static_cast<std::uint64_t>(extent);
  return out;
}

/// Tensors in memory, gathered into one source.
class DraftSource {
 public:
  std::size_t add(const std::string& name, DType dtype, const std::vector<std::int64_t>& shape,
                  Bytes bytes) {
    TensorInfo info;
    info.name = name;
    info.dtype = dtype;
    info.shape = shape;
    info.strides = contiguous_strides(shape);
    info.storage = static_cast<std::uint32_t>(index_.storages.size());
    index_.storages.emplace_back();
    index_.tensors.push_back(std::move(info));
    bytes_.push_back(bytes);
    return index_.tensors.size() - 1;
  }

  Result<std::shared_ptr<const Source>> finish() {
    return make_memory_source(std::move(index_), std::move(bytes_), "the computed adapter");
  }

 private:
  TensorIndex index_;
  std::vector<Bytes> bytes_;
};

std::vector<std::pair<std::string, std::string>> with_recipe(
    std::vector<std::pair<std::string, std::string>> metadata, const std::string& recipe) {
  std::erase_if(metadata, [](const auto& row) { return row.first == kRecipeKey; });
  const bool has_format =
      std::ranges::any_of(metadata, [](const auto& row) { return row.first == "format"; });
  if (!has_format) metadata.emplace_back("format", "pt");
  metadata.emplace_back(kRecipeKey, recipe);
  return metadata;
}

Result<Place> adapter_place(const std::string& target, bool has_config,
                            const WeightsOptions& options) {
  KILTER_ASSIGN(const Target format, choose_target(options.to, target));
  if (format != Target::kSafetensors || options.shard_bytes_max > 0)
    return fail(ErrorCode::kInvalidArgument, "adapters are written as one safetensors file");
  Place place = place_of(target, false);
  if (place.is_folder) {
    place.stem = kAdapterStem;
    place.extension = ".safetensors";
  } else if (has_config) {
    Error error(ErrorCode::kInvalidArgument,
                "this naming keeps its scale in adapter_config.json beside the factors");
    error.path = target;
    error.hint = "name a folder as DST, or choose --naming kohya, which is one file";
    return fail(std::move(error));
  }
  return place;
}

/// `config` with what an earlier one said that no factor changes.
std::string with_kept_words(const std::string& config, const std::string& before) {
  auto json = parse_json(config), old = parse_json(before);
  if (!json || !old || !old->is_object()) return config;
  for (const char* key : {"task_type", "auto_mapping", "base_model_name_or_path", "revision",
                          "lora_dropout", "inference_mode"})
    if (old->contains(key)) (*json)[key] = (*old)[key];
  return dump_json(*json) + "\n";
}

Status state_files(Sink& sink, const Plan& plan, WeightsReport& report) {
  KILTER_ASSIGN(const std::vector<FileLayout> files, sink.layout(plan));
  for (const FileLayout& file : files) {
    std::uint64_t bytes = 0;
    for (const Segment& segment : file.segments) bytes += segment.bytes;
    report.files.emplace_back(file.name, bytes);
  }
  return ok();
}

}  // namespace

Result<model::AdapterNaming> read_naming(const std::string& name) {
  if (const auto naming = model::adapter_naming_from_name(name)) return *naming;
  return fail(Error(ErrorCode::kInvalidArgument, "no naming is called '" + name + "'")
                  .advise("one of peft, kohya, diffusers, comfyui"));
}

std::size_t AdapterDraft::add(RawBytes bytes) {
  tensors_.push_back({std::move(bytes), {}});
  return tensors_.size() - 1;
}

std::size_t AdapterDraft::add(PlanInput input) {
  tensors_.push_back({{}, std::move(input)});
  return tensors_.size() - 1;
}

Result<Plan> AdapterDraft::plan(const model::NamedAdapter& named, bool dry_run,
                                std::vector<RawBytes>& held) {
  Plan plan;
  DraftSource memory;
  std::vector<std::pair<std::size_t, std::size_t>> own;  // output, tensor of the memory source
  const auto add_own = [&](const std::string& name, DType dtype,
                           const std::vector<std::int64_t>& shape, Bytes bytes) {
    plan.outputs.push_back({name, dtype, shape, element_bytes(dtype, shape), {}, nullptr, {}});
    if (!dry_run) own.emplace_back(plan.outputs.size() - 1, memory.add(name, dtype, shape, bytes));
  };
  for (const auto& one : named.tensors) {
    const model::AdapterFactor& factor = description.modules[one.module].factors[one.factor];
    const Tensor& tensor = tensors_[factor.tensor];
    if (!tensor.input) {
      add_own(one.name, factor.dtype, factor.shape, tensor.bytes);
      continue;
    }
    const std::uint64_t bytes = element_bytes(factor.dtype, factor.shape);
    plan.outputs.push_back(
        {one.name, factor.dtype, factor.shape, bytes, {*tensor.input}, nullptr, {}});
  }
  held.reserve(named.scalars.size());  // their bytes must stay where they are
  for (const auto& scalar : named.scalars) {
    held.emplace_back(element_bytes(scalar.dtype, {}));
    narrow_floats(scalar.dtype, &scalar.value, 1, held.back().data());
    add_own(scalar.name, scalar.dtype, {}, held.back());
  }
  KILTER_ASSIGN(const auto source, memory.finish());
  for (const auto& [output, tensor] : own)
    plan.outputs[output].inputs = {{source, InputKind::kTensor, tensor, 0}};
  return plan;
}

Status AdapterDraft::write(model::AdapterNaming naming, const std::string& target,
                           const std::string& recipe, const WeightsOptions& options,
                           WeightsReport& report) {
  KILTER_ASSIGN(const model::NamedAdapter named, model::name_adapter(description, naming));
  KILTER_ASSIGN(const Place place, adapter_place(target, !named.config.empty(), options));
  std::vector<RawBytes> held;
  KILTER_ASSIGN(Plan plan, this->plan(named, options.dry_run, held));
  plan.verb = report.verb;
  formats::WriteOptions write;
  write.stem = place.stem;
  write.extension = place.extension;
  write.metadata = with_recipe(named.metadata, recipe);
  for (const PlanOutput& output : plan.outputs) write.tensor_names.push_back(output.name);
  auto inner = formats::find_format("safetensors")->make_sink(write);
  CompanionSink sink(std::move(inner), plan.outputs.size());
  if (!named.config.empty())
    sink.add_text(std::string(kAdapterConfig), with_kept_words(named.config, config_before));
  report.target_path = place.path;
  report.target_format = "safetensors";
  report.dry_run = options.dry_run;
  report.recipe = recipe;
  KILTER_TRY(state_files(sink, plan, report));
  if (options.dry_run) return ok();
  KILTER_ASSIGN(const RunReport run, write_to(place, plan, sink, options));
  report.written_bytes = run.written_bytes;
  return ok();
}

}  // namespace kilter::ops

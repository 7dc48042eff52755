#include "model/adapters/read_adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "base/try.h"
#include "flow/source.h"
#include "io/file_system.h"
#include "model/adapters/adapter_config.h"
#include "model/adapters/check_modules.h"
#include "model/adapters/spell_config.h"
#include "model/adapters/tensor_names.h"
#include "tensor/kernels/float_values.h"

namespace kilter::model {
namespace {

constexpr std::string_view kConfigName = "adapter_config.json";
constexpr std::uint64_t kConfigBytesMax = 16ULL << 20;

class AdapterReader {
 public:
  AdapterReader(const Checkpoint& checkpoint, const OpenOptions& options)
      : checkpoint_(checkpoint), options_(options) {}

  Result<AdapterDescription> run() {
    for (std::size_t i = 0; i < checkpoint_.tensors().size(); ++i) KILTER_TRY(take(i));
    drop_unfinished();
    if (out_.modules.empty())
      return fail(Error(ErrorCode::kInvalidArgument, "no tensor of it belongs to an adapter")
                      .at_path(data().path)
                      .advise(first_ignored()));
    choose_naming();
    out_.metadata = data().metadata;
    KILTER_TRY(read_config());
    KILTER_TRY(read_diffusers());
    for (const AdapterModule& module : out_.modules) KILTER_TRY(check(module));
    find_base();
    return std::move(out_);
  }

 private:
  const CheckpointData& data() const { return checkpoint_.data(); }

  std::string first_ignored() const {
    if (out_.ignored.empty()) return "";
    return fmt::format("{} is {}", out_.ignored.front().first, out_.ignored.front().second);
  }

  Status take(std::size_t tensor) {
    const TensorInfo& info = checkpoint_.tensors()[tensor];
    const auto parsed = parse_adapter_name(info.name);
    if (!parsed) {
      const std::string_view kind = unsupported_adapter_kind(info.name);
      ignore(info.name, kind.empty() ? "no name of an adapter's tensor"
                                     : fmt::format("of {}, which is not supported", kind));
      return ok();
    }
    AdapterModule& module = module_of(*parsed);
    if (parsed->alpha) return read_alpha(tensor, &module);
    if (module.find(parsed->role) != nullptr)
      return fail(Error(ErrorCode::kMalformed, "another tensor has the same place in the adapter")
                      .at_path(data().path)
                      .at_tensor(info.name));
    ++namings_[parsed->naming];
    if (info.name.starts_with("lora_te1_")) out_.kohya_first_text_encoder = true;
    if (!parsed->dialect.empty()) ++dialects_[std::string(parsed->dialect)];
    if (module.factors.empty() || parsed->role != FactorRole::kDiffBias) module.kind = parsed->kind;
    module.embedding = module.embedding || parsed->embedding;
    module.factors.push_back({parsed->role, tensor, info.dtype, info.shape, info.name});
    return ok();
  }

  /// Replaced tensors stand apart: the weight and the bias of a layer are two.
  AdapterModule& module_of(const AdapterTensorName& parsed) {
    const std::string key = fmt::format("{}\n{}\n{}", parsed.part, parsed.flattened, parsed.path);
    const auto [found, added] = by_key_.try_emplace(key, out_.modules.size());
    if (added) {
      AdapterModule& module = out_.modules.emplace_back();
      module.part = parsed.part;
      module.path = parsed.path;
      module.flattened = parsed.flattened;
    }
    return out_.modules[found->second];
  }

  Status read_alpha(std::size_t tensor, AdapterModule* module) {
    const TensorInfo& info = checkpoint_.tensors()[tensor];
    const auto malformed = [&](std::string what) {
      return fail(
          Error(ErrorCode::kMalformed, std::move(what)).at_path(data().path).at_tensor(info.name));
    };
    if (info.element_count() != 1) return malformed("an alpha is one number");
    std::array<std::byte, 8> raw{};
    if (info.bytes() > raw.size()) return malformed("an alpha is a real number");
    KILTER_TRY(checkpoint_.read_tensor(tensor, 0, std::span(raw).first(info.bytes())));
    double value = 0;
    if (has_float_values(info.dtype)) {
      widen_floats(info.dtype, raw.data(), 1, &value);
    } else if (info.dtype == DType::kI64 || info.dtype == DType::kI32) {
      std::int64_t whole = 0;
      for (std::size_t i = info.bytes(); i-- > 0;)
        whole = whole * 256 + static_cast<std::int64_t>(raw[i]);
      value =
          info.dtype == DType::kI32 ? static_cast<std::int32_t>(whole) : static_cast<double>(whole);
    } else {
      return malformed("an alpha is a real number");
    }
    if (!std::isfinite(value)) return malformed("an alpha is NaN or infinite");
    module->alpha = value;
    module->alpha_dtype = info.dtype;
    return ok();
  }

  void ignore(std::string name, std::string why) {
    out_.ignored.emplace_back(std::move(name), std::move(why));
  }

  /// An alpha (or a magnitude) without factors says nothing.
  void drop_unfinished() {
    std::erase_if(out_.modules, [&](const AdapterModule& module) {
      const bool only_magnitude =
          module.factors.size() == 1 && module.factors[0].role == FactorRole::kMagnitude;
      if (!module.factors.empty() && !only_magnitude) return false;
      const std::string name =
          module.factors.empty() ? module.path + ".alpha" : module.factors[0].name;
      ignore(name, "of a layer without factors");
      return true;
    });
  }

  void choose_naming() {
    std::size_t most = 0;
    for (const auto& [naming, count] : namings_) {
      if (count <= most) continue;
      most = count;
      out_.naming = naming;
    }
    most = 0;
    for (const auto& [dialect, count] : dialects_) {
      if (count <= most) continue;
      most = count;
      out_.dialect = dialect;
    }
  }

  /// In the folder, or beside the file.
  Result<std::string> config_text() const {
    for (const Document& document : data().documents)
      if (document.path == kConfigName) return document.text;
    if (data().root_is_folder || data().root.empty()) return std::string();
    io::FileSystem& files = options_.files != nullptr ? *options_.files : io::real_file_system();
    const std::string path = io::join_path(io::parent_path(data().root), kConfigName);
    auto text = io::read_text(files, path, kConfigBytesMax);
    if (text || text.error().code != ErrorCode::kNotFound) return text;
    return std::string();
  }

  Status read_config() {
    if (out_.naming != AdapterNaming::kPeft) return ok();
    KILTER_ASSIGN(out_.config, config_text());
    const bool scaled =
        std::any_of(out_.modules.begin(), out_.modules.end(),
                    [](const auto& module) { return module.rank() > 0 && !module.alpha; });
    if (out_.config.empty()) {
      out_.scale_unknown = scaled;
      return ok();
    }
    auto config = parse_adapter_config(out_.config);
    if (!config)
      return fail(std::move(config.error()).at_path(data().path + ": " + std::string(kConfigName)));
    for (AdapterModule& module : out_.modules) config->apply_to(&module);
    out_.base_name = config->base_name;
    if (!out_.base_name.empty()) out_.base_name_source = "base_model_name_or_path";
    out_.unsupported = std::move(config->unsupported);
    return ok();
  }

  Status read_diffusers() {
    for (const auto& [key, text] : out_.metadata) {
      if (key != kDiffusersMetadataKey || out_.naming != AdapterNaming::kDiffusers) continue;
      auto configs = parse_diffusers_metadata(text);
      if (!configs) return fail(std::move(configs.error()).at_path(data().path + ": " + key));
      for (const auto& [part, config] : *configs) {
        for (AdapterModule& module : out_.modules)
          if (module.part == part) config.apply_to(&module);
        out_.unsupported.insert(out_.unsupported.end(), config.unsupported.begin(),
                                config.unsupported.end());
      }
    }
    return ok();
  }

  Status check(const AdapterModule& module) const {
    auto checked = check_module(module);
    if (checked) return ok();
    return fail(std::move(checked.error()).at_path(data().path));
  }

  void find_base() {
    constexpr std::string_view kNames[] = {"modelspec.architecture", "ss_base_model_version",
                                           "ss_sd_model_name"};
    for (const auto& [key, value] : out_.metadata) {
      const bool names = std::find(std::begin(kNames), std::end(kNames), key) != std::end(kNames);
      if (out_.base_name.empty() && names && value != "None") {
        out_.base_name = value;
        out_.base_name_source = key;
      }
      if (key == "ss_new_sd_model_hash" || (key == "ss_sd_model_hash" && out_.base_hash.empty()))
        if (value != "None") out_.base_hash = value;
    }
  }

  const Checkpoint& checkpoint_;
  const OpenOptions& options_;
  AdapterDescription out_;
  std::map<std::string, std::size_t> by_key_;
  std::map<AdapterNaming, std::size_t> namings_;
  std::map<std::string, std::size_t> dialects_;
};

}  // namespace

Result<AdapterDescription> read_adapter(const Checkpoint& checkpoint, const OpenOptions& options) {
  return AdapterReader(checkpoint, options).run();
}

}  // namespace kilter::model

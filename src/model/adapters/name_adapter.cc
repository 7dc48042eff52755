#include "model/adapters/name_adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/try.h"
#include "model/adapters/adapter_note.h"
#include "model/adapters/module_paths.h"
#include "model/adapters/spell_config.h"

namespace kilter::model {
namespace {

struct RoleWord {
  FactorRole role;
  std::string_view dotted, kohya, embedding;  ///< what stands behind the path; empty: no word
};

constexpr RoleWord kRoleWords[] = {
    {FactorRole::kDown, ".lora_A.weight", ".lora_down.weight", ".lora_embedding_A"},
    {FactorRole::kUp, ".lora_B.weight", ".lora_up.weight", ".lora_embedding_B"},
    {FactorRole::kMid, "", ".lora_mid.weight", ""},
    {FactorRole::kUpBias, ".lora_B.bias", "", ""},
    {FactorRole::kMagnitude, ".lora_magnitude_vector", ".dora_scale", ".lora_magnitude_vector"},
    {FactorRole::kDiff, "", ".diff", ""},
    {FactorRole::kDiffBias, "", ".diff_b", ""},
    {FactorRole::kVector, ".ia3_l", "", ""},
};

constexpr std::pair<FactorRole, std::string_view> kHadaWords[] = {
    {FactorRole::kW1A, ".hada_w1_a"}, {FactorRole::kW1B, ".hada_w1_b"},
    {FactorRole::kT1, ".hada_t1"},    {FactorRole::kW2A, ".hada_w2_a"},
    {FactorRole::kW2B, ".hada_w2_b"}, {FactorRole::kT2, ".hada_t2"},
};
constexpr std::pair<FactorRole, std::string_view> kLokrWords[] = {
    {FactorRole::kW1, ".lokr_w1"},    {FactorRole::kW1A, ".lokr_w1_a"},
    {FactorRole::kW1B, ".lokr_w1_b"}, {FactorRole::kW2, ".lokr_w2"},
    {FactorRole::kW2A, ".lokr_w2_a"}, {FactorRole::kW2B, ".lokr_w2_b"},
    {FactorRole::kT2, ".lokr_t2"},
};

constexpr std::string_view kComfyParts[][2] = {
    {"unet", "diffusion_model."},
    {"transformer", "diffusion_model."},
    {"text_encoder", "text_encoders.clip_l.transformer."},
    {"text_encoder_2", "text_encoders.clip_g.transformer."},
    {"text_encoder_3", "text_encoders.t5xxl.transformer."},
};
constexpr std::string_view kKohyaParts[][2] = {
    {"unet", "lora_unet_"},
    {"transformer", "lora_unet_"},
    {"text_encoder", "lora_te_"},
    {"text_encoder_2", "lora_te2_"},
    {"text_encoder_3", "lora_te3_"},
    {"prior", "lora_prior_unet_"},
    {"", "lycoris_"},
};

template <std::size_t N>
std::optional<std::string> prefix_of(const std::string_view (&table)[N][2], std::string_view part) {
  for (const auto& row : table)
    if (row[0] == part) return std::string(row[1]);
  return std::nullopt;
}

class AdapterSpeller {
 public:
  AdapterSpeller(const AdapterDescription& adapter, AdapterNaming naming)
      : adapter_(adapter), naming_(naming), note_(read_note(adapter.metadata)) {}

  Result<NamedAdapter> run() {
    look_at_parts();
    KILTER_TRY(check_parts());
    for (std::size_t i = 0; i < adapter_.modules.size(); ++i) KILTER_TRY(spell(i));
    KILTER_TRY(check_unique());
    for (const auto& [key, value] : adapter_.metadata)
      if (key != kAdapterNoteKey && key != kDiffusersMetadataKey)
        out_.metadata.emplace_back(key, value);
    if (naming_ == AdapterNaming::kPeft) {
      KILTER_ASSIGN(out_.config, spell_config(adapter_, paths_, note_));
    }
    if (naming_ == AdapterNaming::kDiffusers) {
      KILTER_ASSIGN(const std::string text, spell_diffusers_metadata(adapter_, paths_));
      if (!text.empty()) out_.metadata.emplace_back(kDiffusersMetadataKey, text);
    }
    write_note();
    return std::move(out_);
  }

 private:
  Error cannot(const AdapterModule& module, std::string what) const {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("{} naming has no place for {}", adapter_naming_name(naming_), what))
        .at_tensor(module.factors.empty() || module.factors[0].name.empty()
                       ? module.path
                       : module.factors[0].name);
  }

  void look_at_parts() {
    for (const AdapterModule& module : adapter_.modules) {
      parts_.insert(module.part);
      const bool original = module.path.find("input_blocks") != std::string::npos;
      xl_ = xl_ || module.part == "text_encoder_2" || original;
    }
    // In SDXL only the second and third level of the way down have attentions, in SD 1 the first.
    for (const AdapterModule& module : adapter_.modules)
      if (join_levels(module.path).starts_with("down_blocks_0_attentions")) xl_ = false;
  }

  Status check_parts() const {
    const AdapterModule& first = adapter_.modules.front();
    if (naming_ == AdapterNaming::kPeft && parts_.size() > 1)
      return fail(cannot(first, "several models: text encoder and UNet are two adapters there"));
    const bool needs_part =
        naming_ == AdapterNaming::kDiffusers || naming_ == AdapterNaming::kComfyui;
    if (needs_part && parts_.contains("") && note_.part.empty())
      return fail(cannot(first, "an adapter that is not for a part of a diffusion model"));
    return ok();
  }

  std::string part_of(const AdapterModule& module) const {
    return module.part.empty() ? note_.part : module.part;
  }

  Status spell(std::size_t index) {
    const AdapterModule& module = adapter_.modules[index];
    KILTER_TRY(check_kind(module));
    KILTER_ASSIGN(const std::string stem, stem_of(module));
    for (std::size_t f = 0; f < module.factors.size(); ++f) {
      const AdapterFactor& factor = module.factors[f];
      KILTER_ASSIGN(const std::string word, word_of(module, factor));
      KILTER_ASSIGN(auto shape, shape_of(module, factor));
      out_.tensors.push_back({stem + word, index, f, std::move(shape)});
    }
    return spell_alpha(module, stem);
  }

  Status check_kind(const AdapterModule& module) const {
    const bool peft = naming_ == AdapterNaming::kPeft;
    if (module.transposed && !peft)
      return fail(cannot(module, "layers whose weight is [in, out] (fan_in_fan_out)"));
    if (module.embedding && !peft) return fail(cannot(module, "factors of an embedding"));
    if (naming_ == AdapterNaming::kDiffusers && module.kind != ModuleKind::kLora)
      return fail(cannot(module, std::string(module_kind_name(module.kind))));
    if (module.kind == ModuleKind::kReplace && !peft)
      return fail(cannot(module, "a tensor that takes the base's place"));
    return ok();
  }

  /// The path as this naming wants it, remembered for the configuration, behind its prefix.
  Result<std::string> stem_of(const AdapterModule& module) {
    KILTER_ASSIGN(const std::string path, path_of(module));
    paths_.push_back(path);
    const std::string part = part_of(module);
    std::optional<std::string> prefix;
    switch (naming_) {
      case AdapterNaming::kPeft:
        prefix = "base_model.model.";
        break;
      case AdapterNaming::kDiffusers:
        prefix = part + ".";
        break;
      case AdapterNaming::kComfyui:
        prefix = prefix_of(kComfyParts, part);
        break;
      case AdapterNaming::kKohya:
        prefix = kohya_prefix(part);
        break;
    }
    if (!prefix) return fail(cannot(module, "the part '" + part + "'"));
    return *prefix + path;
  }

  std::optional<std::string> kohya_prefix(const std::string& part) const {
    if (part == "text_encoder" && !note_.kohya_text_prefix.empty()) return note_.kohya_text_prefix;
    if (part == "text_encoder" && parts_.contains("text_encoder_2")) return "lora_te1_";
    return prefix_of(kKohyaParts, part);
  }

  Result<std::string> path_of(const AdapterModule& module) const {
    if (naming_ == AdapterNaming::kKohya) return join_levels(module.path);
    std::string path = module.flattened ? part_levels(module.path) : module.path;
    if (part_of(module) != "unet") return path;
    if (naming_ == AdapterNaming::kComfyui) {
      if (const auto original = original_unet_path(path, xl_)) return *original;
    } else if (naming_ == AdapterNaming::kDiffusers) {
      if (const auto diffusers = diffusers_unet_path(path)) return *diffusers;
    }
    return path;
  }

  Result<std::string> word_of(const AdapterModule& module, const AdapterFactor& factor) const {
    if (factor.role == FactorRole::kTensor) return std::string();
    for (const auto& [role, word] : kHadaWords)
      if (module.kind == ModuleKind::kLoha && role == factor.role) return std::string(word);
    for (const auto& [role, word] : kLokrWords)
      if (module.kind == ModuleKind::kLokr && role == factor.role) return std::string(word);
    for (const RoleWord& row : kRoleWords) {
      if (row.role != factor.role) continue;
      const std::string_view word = module.embedding ? row.embedding : dialect_word(row);
      if (word.empty()) break;
      return std::string(word);
    }
    return fail(cannot(module, "the factor " + factor.name));
  }

  /// ComfyUI reads dotted factors, and kohya's words for everything else.
  std::string_view dialect_word(const RoleWord& row) const {
    if (naming_ == AdapterNaming::kKohya) return row.kohya;
    if (naming_ != AdapterNaming::kComfyui) return row.dotted;
    const bool factor = row.role == FactorRole::kDown || row.role == FactorRole::kUp;
    return factor && !note_.kohya_words ? row.dotted : row.kohya;
  }

  /// DoRA's magnitudes are a vector in PEFT ([1, out, 1, 1] for convolutions), [out, 1, …] in
  /// kohya's naming, where [1, in, …] is another thing: norms of columns.
  Result<std::vector<std::int64_t>> shape_of(const AdapterModule& module,
                                             const AdapterFactor& factor) const {
    std::vector<std::int64_t> shape = factor.shape;
    if (factor.role != FactorRole::kMagnitude || module.embedding) return shape;
    const bool dotted = naming_ == AdapterNaming::kPeft || naming_ == AdapterNaming::kDiffusers;
    const std::int64_t rows = module.find(FactorRole::kUp)->shape[0];
    std::int64_t count = 1;
    for (const std::int64_t dimension : shape) count *= dimension;
    const std::size_t dimensions = module.find(FactorRole::kDown)->shape.size();
    const bool of_columns = shape.size() > 1 && shape[0] == 1 && shape[1] != 1 &&
                            adapter_.naming != AdapterNaming::kPeft &&
                            adapter_.naming != AdapterNaming::kDiffusers;
    if (count != rows || (of_columns && dotted)) {
      if (dotted) return fail(cannot(module, "magnitudes of columns"));
      return shape;
    }
    if (of_columns) return shape;
    if (dotted && dimensions == 2) return std::vector<std::int64_t>{rows};
    shape.assign(dimensions, 1);
    shape[dotted ? 1 : 0] = rows;
    return shape;
  }

  Status spell_alpha(const AdapterModule& module, const std::string& stem) {
    const bool states = naming_ == AdapterNaming::kKohya || naming_ == AdapterNaming::kComfyui;
    const auto rank = static_cast<double>(module.rank());
    if (!states || !module.alpha || (rank == 0 && module.kind != ModuleKind::kLokr)) return ok();
    const double alpha = module.rank_stabilized ? module.scale() * rank : *module.alpha;
    if (note_.no_alpha && alpha == rank) return ok();
    const DType dtype = module.alpha_dtype.value_or(note_.alpha_dtype.value_or(DType::kF32));
    if (!holds_exactly(dtype, alpha) || (rank > 0 && alpha / rank != module.scale()))
      return fail(cannot(module, fmt::format("a scale of {} (alpha {} would have to be rounded)",
                                             module.scale(), alpha)));
    out_.scalars.push_back({stem + ".alpha", dtype, alpha});
    return ok();
  }

  Status check_unique() const {
    std::set<std::string_view> names;
    for (const auto& tensor : out_.tensors)
      if (!names.insert(tensor.name).second)
        return fail(Error(ErrorCode::kInvalidArgument, "two tensors would have one name")
                        .at_tensor(tensor.name));
    return ok();
  }

  void write_note() {
    const std::string text = make_note(adapter_, naming_, note_, parts_);
    if (!text.empty()) out_.metadata.emplace_back(kAdapterNoteKey, text);
  }

  const AdapterDescription& adapter_;
  AdapterNaming naming_;
  AdapterNote note_;
  std::set<std::string> parts_;
  bool xl_ = false;
  std::vector<std::string> paths_;  // by module
  NamedAdapter out_;
};

}  // namespace

Result<NamedAdapter> name_adapter(const AdapterDescription& adapter, AdapterNaming naming) {
  if (adapter.modules.empty())
    return fail(ErrorCode::kInvalidArgument, "the adapter has no modules");
  if (adapter.scale_unknown && naming != AdapterNaming::kPeft)
    return fail(Error(ErrorCode::kInvalidArgument, "no alpha is stated")
                    .advise("put adapter_config.json beside the adapter"));
  return AdapterSpeller(adapter, naming).run();
}

}  // namespace kilter::model

// What an adapter holds, apart from how its naming spells it: read by read_adapter.h, built by
// operations that make adapters, spelled again by name_adapter.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kilter/dtype.h"

namespace kilter::model {

/// How an adapter names its tensors and where it states alpha.
enum class AdapterNaming : std::uint8_t {
  kPeft,       ///< base_model.model.PATH.lora_A.weight; adapter_config.json beside
  kDiffusers,  ///< unet.PATH.lora_A.weight; alpha in the metadata `lora_adapter_metadata`
  kKohya,      ///< lora_unet_PATH_WITH_UNDERSCORES.lora_down.weight; tensors .alpha
  kComfyui,    ///< diffusion_model.PATH.lora_A.weight; tensors .alpha
};
/// "peft", "diffusers", "kohya", "comfyui".
std::string_view adapter_naming_name(AdapterNaming naming);
std::optional<AdapterNaming> adapter_naming_from_name(std::string_view name);

/// What a module does to its weight. Formulas: docs/guide/adapters.md.
enum class ModuleKind : std::uint8_t {
  kLora,     ///< up · down (· mid)
  kLoha,     ///< (w1_a · w1_b) ⊙ (w2_a · w2_b)
  kLokr,     ///< kron(w1, w2)
  kIa3,      ///< rows or columns times a vector
  kDiff,     ///< the whole difference is stored
  kReplace,  ///< the tensor itself is stored: modules_to_save, trained biases
};
std::string_view module_kind_name(ModuleKind kind);  ///< "lora", "loha", …

/// What one tensor is to its module.
enum class FactorRole : std::uint8_t {
  kDown,       ///< [rank, in, …]: lora_A, lora_down
  kUp,         ///< [out, rank, …]: lora_B, lora_up
  kMid,        ///< [rank, rank, …]: lora_mid, the core of a Tucker form
  kUpBias,     ///< [out], added to the bias with the same scale: lora_B.bias
  kMagnitude,  ///< DoRA's m
  kW1,
  kW1A,
  kW1B,
  kT1,
  kW2,
  kW2A,
  kW2B,
  kT2,        ///< of LoHa and LoKr
  kVector,    ///< IA3's
  kDiff,      ///< added to the weight as it is
  kDiffBias,  ///< added to the bias as it is
  kTensor,    ///< takes the base tensor's place: the module's path is that tensor's whole name
};

struct AdapterFactor {
  FactorRole role = FactorRole::kDown;
  std::size_t tensor = 0;  ///< in the checkpoint (or whatever source) the description belongs to
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::string name = {};  ///< as the file has it; empty in descriptions made in memory
};

struct AdapterModule {
  /// "unet", "transformer", "prior", "text_encoder", "text_encoder_2", "text_encoder_3"; empty
  /// where the adapter is for one model.
  std::string part;
  /// "model.layers.0.self_attn.q_proj"; of kReplace with the tensor's own last level (".weight").
  std::string path;
  /// The path's levels are joined with '_' (kohya), and only a base can tell where they part.
  bool flattened = false;
  ModuleKind kind = ModuleKind::kLora;
  std::vector<AdapterFactor> factors;
  std::optional<double> alpha;       ///< stated; absent: the scale is 1
  std::optional<DType> alpha_dtype;  ///< of its tensor, where it has one
  /// LoKr without decomposed factors: what alpha is divided by where a configuration says so.
  std::int64_t stated_rank = 0;
  bool rank_stabilized = false;  ///< alpha / sqrt(rank), not alpha / rank
  bool embedding = false;        ///< the factors are transposed: lora_embedding_A [rank, rows]
  bool transposed = false;       ///< fan_in_fan_out is stated: the weight is [in, out] (Conv1D)
  std::optional<bool> on_input;  ///< IA3: the vector belongs to the columns; absent: see its shape

  const AdapterFactor* find(FactorRole role) const;
  /// The inner dimension of the product; of LoKr that of its decomposed factor; 0 if there is none.
  std::int64_t rank() const;
  /// alpha / rank, alpha / sqrt(rank), or 1.
  double scale() const;
  /// The same for the same module in any naming: "unet_down_blocks_0_…", part and path flattened.
  std::string flat_key() const;
};

struct AdapterDescription {
  AdapterNaming naming = AdapterNaming::kPeft;
  /// What the naming is called more closely where it has had several forms; for people.
  std::string dialect;
  std::vector<AdapterModule> modules;  ///< in the order of their first tensors
  /// Tensors that no rule knows, with why they are left alone.
  std::vector<std::pair<std::string, std::string>> ignored;
  std::string config;  ///< adapter_config.json's text; empty if there is none
  std::vector<std::pair<std::string, std::string>> metadata;  ///< of the file, as stated
  std::string base_name;         ///< base_model_name_or_path, ss_base_model_version, …
  std::string base_name_source;  ///< which of those
  std::string base_hash;         ///< ss_new_sd_model_hash or ss_sd_model_hash: hexadecimal
  /// kohya's prefix of the text encoder is lora_te1_, as where there are two.
  bool kohya_first_text_encoder = false;
  /// PEFT's naming without adapter_config.json: no scale is stated anywhere.
  bool scale_unknown = false;
  /// What the config asks for and no rule here follows ("layer_replication"); nothing may be
  /// computed from such an adapter.
  std::vector<std::string> unsupported;

  /// "lora", "dora", "loha", "lokr", "ia3", "full-diff"; the most frequent, DoRA before LoRA.
  std::string kind() const;
};

}  // namespace kilter::model

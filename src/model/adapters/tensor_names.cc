#include "model/adapters/tensor_names.h"

#include <array>

namespace kilter::model {
namespace {

/// What may follow the word that says what a tensor is.
enum class Tail : std::uint8_t {
  kNone,     ///< ".alpha"
  kWeight,   ///< ".lora_down.weight", ".lora_A.default.weight"
  kMaybe,    ///< ".lora_magnitude_vector", ".lora_magnitude_vector.default.weight"
  kAdapter,  ///< ".ia3_l", ".ia3_l.default"
};

struct WordRow {
  std::string_view word;  ///< one level of the name, or two
  Tail tail;
  ModuleKind kind;
  FactorRole role;
  std::string_view dialect = {};
};

// Sources: kohya-ss/sd-scripts networks/lora.py; KohakuBlueleaf/LyCORIS lycoris/modules;
// huggingface/peft utils/save_and_load.py; huggingface/diffusers loaders; Comfy-Org/ComfyUI
// comfy/weight_adapter.
constexpr WordRow kWords[] = {
    {"lora_down", Tail::kWeight, ModuleKind::kLora, FactorRole::kDown, "lora_down"},
    {"lora_up", Tail::kWeight, ModuleKind::kLora, FactorRole::kUp, "lora_down"},
    {"lora_mid", Tail::kWeight, ModuleKind::kLora, FactorRole::kMid, "lora_down"},
    {"lora_A", Tail::kWeight, ModuleKind::kLora, FactorRole::kDown},
    {"lora_B", Tail::kWeight, ModuleKind::kLora, FactorRole::kUp},
    {"lora_embedding_A", Tail::kAdapter, ModuleKind::kLora, FactorRole::kDown},
    {"lora_embedding_B", Tail::kAdapter, ModuleKind::kLora, FactorRole::kUp},
    {"lora_magnitude_vector", Tail::kMaybe, ModuleKind::kLora, FactorRole::kMagnitude},
    {"dora_scale", Tail::kNone, ModuleKind::kLora, FactorRole::kMagnitude},
    {"lora.down", Tail::kWeight, ModuleKind::kLora, FactorRole::kDown, "lora.down"},
    {"lora.up", Tail::kWeight, ModuleKind::kLora, FactorRole::kUp, "lora.down"},
    {"lora_linear_layer.down", Tail::kWeight, ModuleKind::kLora, FactorRole::kDown,
     "lora_linear_layer"},
    {"lora_linear_layer.up", Tail::kWeight, ModuleKind::kLora, FactorRole::kUp,
     "lora_linear_layer"},
    {"hada_w1_a", Tail::kAdapter, ModuleKind::kLoha, FactorRole::kW1A},
    {"hada_w1_b", Tail::kAdapter, ModuleKind::kLoha, FactorRole::kW1B},
    {"hada_t1", Tail::kAdapter, ModuleKind::kLoha, FactorRole::kT1},
    {"hada_w2_a", Tail::kAdapter, ModuleKind::kLoha, FactorRole::kW2A},
    {"hada_w2_b", Tail::kAdapter, ModuleKind::kLoha, FactorRole::kW2B},
    {"hada_t2", Tail::kAdapter, ModuleKind::kLoha, FactorRole::kT2},
    {"lokr_w1", Tail::kAdapter, ModuleKind::kLokr, FactorRole::kW1},
    {"lokr_w1_a", Tail::kAdapter, ModuleKind::kLokr, FactorRole::kW1A},
    {"lokr_w1_b", Tail::kAdapter, ModuleKind::kLokr, FactorRole::kW1B},
    {"lokr_w2", Tail::kAdapter, ModuleKind::kLokr, FactorRole::kW2},
    {"lokr_w2_a", Tail::kAdapter, ModuleKind::kLokr, FactorRole::kW2A},
    {"lokr_w2_b", Tail::kAdapter, ModuleKind::kLokr, FactorRole::kW2B},
    {"lokr_t2", Tail::kAdapter, ModuleKind::kLokr, FactorRole::kT2},
    {"ia3_l", Tail::kAdapter, ModuleKind::kIa3, FactorRole::kVector},
    {"diff", Tail::kNone, ModuleKind::kDiff, FactorRole::kDiff},
    {"diff_b", Tail::kNone, ModuleKind::kDiff, FactorRole::kDiffBias},
    {"w_norm", Tail::kNone, ModuleKind::kDiff, FactorRole::kDiff},
    {"b_norm", Tail::kNone, ModuleKind::kDiff, FactorRole::kDiffBias},
};

struct PrefixRow {
  std::string_view prefix;
  AdapterNaming naming;
  std::string_view part;
};

constexpr PrefixRow kAdapterPrefixes[] = {
    {"lora_unet_", AdapterNaming::kKohya, "unet"},
    {"lora_te_", AdapterNaming::kKohya, "text_encoder"},
    {"lora_te1_", AdapterNaming::kKohya, "text_encoder"},
    {"lora_te2_", AdapterNaming::kKohya, "text_encoder_2"},
    {"lora_te3_", AdapterNaming::kKohya, "text_encoder_3"},
    {"lora_transformer_", AdapterNaming::kKohya, "transformer"},
    {"lora_prior_unet_", AdapterNaming::kKohya, "prior"},
    {"lycoris_", AdapterNaming::kKohya, ""},
    {"base_model.model.", AdapterNaming::kPeft, ""},
    {"unet.", AdapterNaming::kDiffusers, "unet"},
    {"transformer.", AdapterNaming::kDiffusers, "transformer"},
    {"prior.", AdapterNaming::kDiffusers, "prior"},
    {"text_encoder.", AdapterNaming::kDiffusers, "text_encoder"},
    {"text_encoder_2.", AdapterNaming::kDiffusers, "text_encoder_2"},
    {"text_encoder_3.", AdapterNaming::kDiffusers, "text_encoder_3"},
    {"diffusion_model.", AdapterNaming::kComfyui, "unet"},
    {"text_encoders.clip_l.transformer.", AdapterNaming::kComfyui, "text_encoder"},
    {"text_encoders.clip_g.transformer.", AdapterNaming::kComfyui, "text_encoder_2"},
    {"text_encoders.t5xxl.transformer.", AdapterNaming::kComfyui, "text_encoder_3"},
};

struct UnsupportedRow {
  std::string_view holds, kind;
};

constexpr UnsupportedRow kUnsupported[] = {
    {".oft_", "OFT"},
    {".boft_", "BOFT"},
    {".vera_lambda", "VeRA"},
    {".a1.weight", "GLoRA"},
    {".lora_E", "AdaLoRA"},
    {"prompt_embeddings", "a soft prompt"},
    {".set_weight", "a tensor of another shape"},
    {".reshape_weight", "another shape"},
    {".fourierft_", "FourierFT"},
    {".hra_u", "HRA"},
    {".on_input", "IA3 (LyCORIS)"},
    {"trainable_tokens_", "trained tokens"},
};

/// "a.b.c" -> "a.b" and "c".
std::pair<std::string_view, std::string_view> cut_last(std::string_view name) {
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos) return {"", name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

const WordRow* word_row(std::string_view word) {
  for (const WordRow& row : kWords)
    if (row.word == word) return &row;
  return nullptr;
}

struct Found {
  const WordRow* row = nullptr;
  std::string_view stem;
  bool bias = false;  ///< the tail is "bias"
};

/// The word as the last level of `rest`, or as its last two.
Found word_at_end(std::string_view rest) {
  const auto [one, last] = cut_last(rest);
  if (const WordRow* row = word_row(last); row != nullptr && !one.empty()) return {row, one};
  const auto [two, before] = cut_last(one);
  if (two.empty()) return {};
  const std::string pair = std::string(before) + "." + std::string(last);
  return {word_row(pair), two};
}

/// Tails are tried from the longest: ".NAME.weight", ".weight", ".NAME", "".
Found find_word(std::string_view name) {
  const auto [without, last] = cut_last(name);
  const bool ends = last == "weight" || last == "bias";
  if (ends) {
    const Found named = word_at_end(cut_last(without).first);
    if (named.row != nullptr &&
        (named.row->tail == Tail::kWeight || named.row->tail == Tail::kMaybe))
      return {named.row, named.stem, last == "bias"};
    const Found plain = word_at_end(without);
    if (plain.row != nullptr && plain.row->tail != Tail::kNone)
      return {plain.row, plain.stem, last == "bias"};
    return {};
  }
  const Found bare = word_at_end(name);
  if (bare.row != nullptr && bare.row->tail != Tail::kWeight) return bare;
  const Found named = word_at_end(without);
  if (named.row != nullptr &&
      (named.row->tail == Tail::kAdapter || named.row->tail == Tail::kMaybe))
    return named;
  return {};
}

/// The first form of diffusers' names: "….attn1.processor.to_out_lora.down.weight".
bool parse_processor(std::string_view name, std::string* stem, FactorRole* role) {
  constexpr std::string_view kDown = "_lora.down.weight", kUp = "_lora.up.weight";
  const bool down = name.ends_with(kDown);
  if (!down && !name.ends_with(kUp)) return false;
  *role = down ? FactorRole::kDown : FactorRole::kUp;
  *stem = std::string(name.substr(0, name.size() - (down ? kDown : kUp).size()));
  constexpr std::string_view kProcessor = ".processor.";
  const auto at = stem->find(kProcessor);
  if (at != std::string::npos) stem->replace(at, kProcessor.size(), ".");
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kText = {{
      {".self_attn.to_q", ".self_attn.q_proj"},
      {".self_attn.to_k", ".self_attn.k_proj"},
      {".self_attn.to_v", ".self_attn.v_proj"},
      {".self_attn.to_out", ".self_attn.out_proj"},
  }};
  for (const auto& [from, to] : kText)
    if (stem->ends_with(from)) stem->replace(stem->size() - from.size(), from.size(), to);
  if (stem->ends_with(".to_out")) *stem += ".0";
  return true;
}

/// XLabs' blocks are named like the processors above and mean other tensors.
bool is_xlabs(std::string_view name) {
  return name.find("qkv_lora") != std::string_view::npos ||
         name.find(".processor.proj_lora") != std::string_view::npos;
}

void place(std::string_view stem, AdapterNaming otherwise, AdapterTensorName* out) {
  for (const PrefixRow& row : kAdapterPrefixes) {
    if (!stem.starts_with(row.prefix)) continue;
    out->naming = row.naming;
    out->part = row.part;
    out->path = stem.substr(row.prefix.size());
    out->flattened = row.naming == AdapterNaming::kKohya;
    return;
  }
  out->naming = otherwise;
  out->path = stem;
}

/// PEFT's trained copies: a whole tensor under its own name.
std::optional<AdapterTensorName> parse_replaced(std::string_view name) {
  constexpr std::string_view kPrefix = "base_model.model.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  AdapterTensorName out;
  out.kind = ModuleKind::kReplace;
  out.role = FactorRole::kTensor;
  std::string path(name.substr(kPrefix.size()));
  constexpr std::string_view kSaved = ".modules_to_save.", kLayer = ".base_layer.";
  if (const auto at = path.find(kSaved); at != std::string::npos) {
    const auto end = path.find('.', at + kSaved.size());  // ".modules_to_save.default.weight"
    const bool named = end != std::string::npos;
    path.replace(at, (named ? end + 1 : at + kSaved.size()) - at, ".");
  }
  if (const auto at = path.find(kLayer); at != std::string::npos)
    path.replace(at, kLayer.size(), ".");
  out.path = std::move(path);
  return out;
}

}  // namespace

std::optional<AdapterTensorName> parse_adapter_name(std::string_view name) {
  AdapterTensorName out;
  std::string stem;
  if (is_xlabs(name) || !unsupported_adapter_kind(name).empty()) return std::nullopt;
  if (parse_processor(name, &stem, &out.role)) {
    out.dialect = "attention processors";
    place(stem, AdapterNaming::kDiffusers, &out);
    if (out.part.empty()) out.part = "unet";
    return out;
  }
  const auto [before, last] = cut_last(name);
  if (last == "alpha" && !before.empty()) {
    out.alpha = true;
    place(before, AdapterNaming::kComfyui, &out);
    return out;
  }
  const Found found = find_word(name);
  if (found.row == nullptr) return parse_replaced(name);
  if (found.bias && found.row->role != FactorRole::kUp) return std::nullopt;
  out.kind = found.row->kind;
  out.role = found.bias ? FactorRole::kUpBias : found.row->role;
  out.embedding = found.row->word.starts_with("lora_embedding");
  const bool kohya_word = found.row->dialect == "lora_down";
  place(found.stem, kohya_word ? AdapterNaming::kComfyui : AdapterNaming::kPeft, &out);
  if (!(kohya_word && out.naming == AdapterNaming::kKohya)) out.dialect = found.row->dialect;
  return out;
}

std::string_view unsupported_adapter_kind(std::string_view name) {
  if (is_xlabs(name)) return "XLabs' blocks";
  for (const UnsupportedRow& row : kUnsupported)
    if (name.find(row.holds) != std::string_view::npos) return row.kind;
  return "";
}

}  // namespace kilter::model

#include "model/adapters/module_paths.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <unordered_set>
#include <utility>
#include <vector>

namespace kilter::model {
namespace {

// Levels that hold a '_'. Sources: the modules of huggingface/diffusers and transformers,
// CompVis/stable-diffusion, black-forest-labs/flux, Stability-AI/sd3.5.
constexpr std::string_view kJoinedWords[] = {"down_blocks",
                                             "up_blocks",
                                             "mid_block",
                                             "transformer_blocks",
                                             "single_transformer_blocks",
                                             "to_q",
                                             "to_k",
                                             "to_v",
                                             "to_out",
                                             "to_add_out",
                                             "to_qkv",
                                             "add_q_proj",
                                             "add_k_proj",
                                             "add_v_proj",
                                             "proj_in",
                                             "proj_out",
                                             "proj_mlp",
                                             "conv_in",
                                             "conv_out",
                                             "conv_norm_out",
                                             "conv_shortcut",
                                             "time_emb_proj",
                                             "time_embedding",
                                             "add_embedding",
                                             "linear_1",
                                             "linear_2",
                                             "group_norm",
                                             "ff_context",
                                             "norm1_context",
                                             "norm_out",
                                             "context_embedder",
                                             "x_embedder",
                                             "time_text_embed",
                                             "timestep_embedder",
                                             "text_embedder",
                                             "guidance_embedder",
                                             "pos_embed",
                                             "input_blocks",
                                             "output_blocks",
                                             "middle_block",
                                             "in_layers",
                                             "out_layers",
                                             "emb_layers",
                                             "skip_connection",
                                             "time_embed",
                                             "label_emb",
                                             "text_model",
                                             "self_attn",
                                             "q_proj",
                                             "k_proj",
                                             "v_proj",
                                             "o_proj",
                                             "out_proj",
                                             "qkv_proj",
                                             "layer_norm1",
                                             "layer_norm2",
                                             "final_layer_norm",
                                             "token_embedding",
                                             "position_embedding",
                                             "text_projection",
                                             "gate_proj",
                                             "up_proj",
                                             "down_proj",
                                             "gate_up_proj",
                                             "embed_tokens",
                                             "lm_head",
                                             "input_layernorm",
                                             "post_attention_layernorm",
                                             "double_blocks",
                                             "single_blocks",
                                             "img_attn",
                                             "txt_attn",
                                             "img_mlp",
                                             "txt_mlp",
                                             "img_mod",
                                             "txt_mod",
                                             "img_in",
                                             "txt_in",
                                             "time_in",
                                             "vector_in",
                                             "guidance_in",
                                             "in_layer",
                                             "out_layer",
                                             "final_layer",
                                             "adaLN_modulation",
                                             "joint_blocks",
                                             "context_block",
                                             "x_block",
                                             "wi_0",
                                             "wi_1",
                                             "c_attn",
                                             "c_proj",
                                             "c_fc",
                                             "cross_attn",
                                             "k_img",
                                             "v_img",
                                             "encoder_attn",
                                             "query_key_value",
                                             "dense_h_to_4h",
                                             "dense_4h_to_h",
                                             "fc_in",
                                             "fc_out",
                                             "in_proj",
                                             "attn_norm",
                                             "ffn_norm",
                                             "word_embeddings",
                                             "query_proj",
                                             "key_proj",
                                             "value_proj"};
constexpr std::size_t kWordPartsMax = 5;

std::vector<std::string_view> cut(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  while (true) {
    const auto at = text.find(separator);
    out.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + 1);
  }
}

std::string joined(const std::vector<std::string_view>& parts, std::size_t from, std::size_t to,
                   char separator) {
  std::string out;
  for (std::size_t i = from; i < to; ++i) {
    if (i > from) out += separator;
    out += parts[i];
  }
  return out;
}

/// A path taken level by level.
class PathLevels {
 public:
  explicit PathLevels(std::string_view path) : levels_(cut(path, '.')) {}

  bool is(std::size_t at, std::string_view word) const {
    return at < levels_.size() && levels_[at] == word;
  }
  /// Layer numbers are small; anything else is no number.
  std::optional<int> number(std::size_t at) const {
    if (at >= levels_.size() || levels_[at].empty() || levels_[at].size() > 3) return std::nullopt;
    int value = 0;
    const char* const end = levels_[at].data() + levels_[at].size();
    const auto [stopped, error] = std::from_chars(levels_[at].data(), end, value);
    if (error != std::errc() || stopped != end || value < 0) return std::nullopt;
    return value;
  }
  std::string rest(std::size_t from) const {
    return from < levels_.size() ? joined(levels_, from, levels_.size(), '.') : std::string();
  }
  std::size_t size() const { return levels_.size(); }

 private:
  std::vector<std::string_view> levels_;
};

using WordPair = std::pair<std::string_view, std::string_view>;

// diffusers, original.
constexpr std::array<WordPair, 6> kResnetWords = {{
    {"norm1", "in_layers.0"},
    {"conv1", "in_layers.2"},
    {"time_emb_proj", "emb_layers.1"},
    {"norm2", "out_layers.0"},
    {"conv2", "out_layers.3"},
    {"conv_shortcut", "skip_connection"},
}};
constexpr std::array<WordPair, 7> kUnetEnds = {{
    {"conv_in", "input_blocks.0.0"},
    {"time_embedding.linear_1", "time_embed.0"},
    {"time_embedding.linear_2", "time_embed.2"},
    {"add_embedding.linear_1", "label_emb.0.0"},
    {"add_embedding.linear_2", "label_emb.0.2"},
    {"conv_norm_out", "out.0"},
    {"conv_out", "out.2"},
}};
// transformers, OpenCLIP.
constexpr std::array<WordPair, 6> kClipWords = {{
    {"layer_norm1", "ln_1"},
    {"layer_norm2", "ln_2"},
    {"mlp.fc1", "mlp.c_fc"},
    {"mlp.fc2", "mlp.c_proj"},
    {"self_attn.out_proj", "attn.out_proj"},
    {"self_attn.q_proj", "attn.in_proj"},
}};

template <std::size_t N>
std::optional<std::string> second_of(const std::array<WordPair, N>& table, std::string_view word) {
  for (const auto& [first, second] : table)
    if (first == word) return std::string(second);
  return std::nullopt;
}

template <std::size_t N>
std::optional<std::string> first_of(const std::array<WordPair, N>& table, std::string_view word) {
  for (const auto& [first, second] : table)
    if (second == word) return std::string(first);
  return std::nullopt;
}

// SD 1, 2 and XL have two residual blocks on each level: with the sampler three numbers.
constexpr int kBlocksOfLevel = 3;

std::optional<std::string> behind(const std::string& prefix, std::optional<std::string> word) {
  if (!word) return std::nullopt;
  return prefix + *word;
}

/// The way down and the way up: a level's residual blocks, attentions and sampler.
std::optional<std::string> original_of_level(const PathLevels& path, bool up, bool xl) {
  const auto level = path.number(1), block = path.number(3);
  if (!level || !block || path.size() < 5) return std::nullopt;
  const int number = *level * kBlocksOfLevel + *block + (up ? 0 : 1);
  const std::string place = fmt::format("{}_blocks.{}.", up ? "output" : "input", number);
  if (path.is(2, "resnets")) return behind(place + "0.", second_of(kResnetWords, path.rest(4)));
  if (path.is(2, "attentions")) return place + "1." + path.rest(4);
  const int last = *level * kBlocksOfLevel + (up ? 2 : kBlocksOfLevel);
  if (!up && path.is(2, "downsamplers") && path.is(4, "conv") && path.size() == 5)
    return fmt::format("input_blocks.{}.0.op", last);
  if (up && path.is(2, "upsamplers") && path.is(4, "conv") && path.size() == 5)
    return fmt::format("output_blocks.{}.{}.conv", last, *level == 0 && !xl ? 1 : 2);
  return std::nullopt;
}

std::optional<std::string> diffusers_of_input(const PathLevels& path) {
  const auto number = path.number(1), place = path.number(2);
  if (!number || !place || *number == 0) return std::nullopt;
  const int level = (*number - 1) / kBlocksOfLevel, block = (*number - 1) % kBlocksOfLevel;
  if (block == 2 && path.rest(3) == "op")
    return fmt::format("down_blocks.{}.downsamplers.0.conv", level);
  if (*place == 0)
    return behind(fmt::format("down_blocks.{}.resnets.{}.", level, block),
                  first_of(kResnetWords, path.rest(3)));
  if (*place != 1 || path.size() < 4) return std::nullopt;
  return fmt::format("down_blocks.{}.attentions.{}.{}", level, block, path.rest(3));
}

std::optional<std::string> diffusers_of_output(const PathLevels& path) {
  const auto number = path.number(1), place = path.number(2);
  if (!number || !place || path.size() < 4) return std::nullopt;
  const int level = *number / kBlocksOfLevel, block = *number % kBlocksOfLevel;
  if (path.rest(3) == "conv") return fmt::format("up_blocks.{}.upsamplers.0.conv", level);
  if (*place == 0)
    return behind(fmt::format("up_blocks.{}.resnets.{}.", level, block),
                  first_of(kResnetWords, path.rest(3)));
  if (*place != 1) return std::nullopt;
  return fmt::format("up_blocks.{}.attentions.{}.{}", level, block, path.rest(3));
}

}  // namespace

std::string part_levels(std::string_view flat) {
  static const std::unordered_set<std::string_view> words(std::begin(kJoinedWords),
                                                          std::end(kJoinedWords));
  const std::vector<std::string_view> parts = cut(flat, '_');
  std::string out;
  for (std::size_t i = 0; i < parts.size();) {
    std::size_t end = std::min(i + kWordPartsMax, parts.size());
    while (end > i + 1 && !words.contains(joined(parts, i, end, '_'))) --end;
    if (!out.empty()) out += '.';
    out += joined(parts, i, end, '_');
    i = end;
  }
  return out;
}

std::string join_levels(std::string_view path) {
  std::string out(path);
  std::replace(out.begin(), out.end(), '.', '_');
  return out;
}

std::optional<std::string> original_unet_path(std::string_view diffusers_path, bool xl) {
  if (auto end = second_of(kUnetEnds, diffusers_path)) return end;
  const PathLevels path(diffusers_path);
  if (path.is(0, "down_blocks")) return original_of_level(path, false, xl);
  if (path.is(0, "up_blocks")) return original_of_level(path, true, xl);
  const auto block = path.number(2);
  if (!path.is(0, "mid_block") || !block || path.size() < 4) return std::nullopt;
  if (path.is(1, "resnets"))
    return behind(fmt::format("middle_block.{}.", *block * 2),
                  second_of(kResnetWords, path.rest(3)));
  if (path.is(1, "attentions")) return "middle_block.1." + path.rest(3);
  return std::nullopt;
}

std::optional<std::string> diffusers_unet_path(std::string_view original_path) {
  if (auto end = first_of(kUnetEnds, original_path)) return end;
  const PathLevels path(original_path);
  if (path.is(0, "input_blocks")) return diffusers_of_input(path);
  if (path.is(0, "output_blocks")) return diffusers_of_output(path);
  const auto place = path.number(1);
  if (!path.is(0, "middle_block") || !place || *place > 2 || path.size() < 3) return std::nullopt;
  if (*place == 1) return "mid_block.attentions.0." + path.rest(2);
  return behind(fmt::format("mid_block.resnets.{}.", *place / 2),
                first_of(kResnetWords, path.rest(2)));
}

std::optional<std::string> clip_text_path(std::string_view openclip_path, int third) {
  if (openclip_path == "token_embedding") return "embeddings.token_embedding";
  if (openclip_path == "ln_final") return "final_layer_norm";
  const PathLevels path(openclip_path);
  const auto layer = path.number(2);
  if (!path.is(0, "transformer") || !path.is(1, "resblocks") || !layer) return std::nullopt;
  constexpr std::array<std::string_view, 3> kThirds = {"q_proj", "k_proj", "v_proj"};
  auto word = first_of(kClipWords, path.rest(3));
  if (!word) return std::nullopt;
  if (path.rest(3) == "attn.in_proj")
    word = "self_attn." + std::string(kThirds[static_cast<std::size_t>(third)]);
  return fmt::format("encoder.layers.{}.{}", *layer, *word);
}

}  // namespace kilter::model

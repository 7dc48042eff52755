#include "ops/merge/recipe/layer_stack.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

namespace kilter::ops {
namespace {

// Names as transformers gives them, of 60 families. Source: the models' own checkpoints on
// huggingface.co; what is in none of these lists is a weight behind the layers.
constexpr std::string_view kHeads[] = {"lm_head.weight",
                                       "lm_head.bias",
                                       "embed_out.weight",
                                       "output.weight",
                                       "lm_head.linear.weight",
                                       "cls.predictions.decoder.weight",
                                       "cls.predictions.decoder.bias",
                                       "cls.predictions.bias"};
constexpr std::string_view kTokenEmbeddings[] = {
    "embed_tokens.weight",   "wte.weight",    "word_embeddings.weight", "embed_in.weight",
    "tok_embeddings.weight", "shared.weight", "token_embedding.weight", "embedding.weight"};
constexpr std::string_view kBefore[] = {"embed", "wte.", "wpe.", "shared.weight"};
constexpr std::string_view kBuffers[] = {
    "rotary_emb.inv_freq",    ".attn.bias",   ".attn.masked_bias",     ".attention.bias",
    ".attention.masked_bias", "position_ids", "rotary_emb.cos_cached", "rotary_emb.sin_cached"};

bool ends_as(std::string_view name, std::span<const std::string_view> rows) {
  return std::ranges::any_of(rows, [name](std::string_view row) {
    return name.ends_with(row) && (name.size() == row.size() || row.front() == '.' ||
                                   name[name.size() - row.size() - 1] == '.');
  });
}

}  // namespace

std::optional<LayerName> split_layer_name(std::string_view name) {
  std::size_t begin = 0;
  while (begin < name.size()) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    std::int64_t number = 0;
    const auto [stopped, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    const bool whole = error == std::errc() && stopped == part.data() + part.size();
    if (whole && begin > 0 && part.front() != '-' && (part.size() == 1 || part.front() != '0'))
      return LayerName{name.substr(0, begin), number, name.substr(end)};
    begin = end + 1;
  }
  return std::nullopt;
}

std::string layer_name(std::string_view prefix, std::int64_t layer, std::string_view rest) {
  return fmt::format("{}{}{}", prefix, layer, rest);
}

std::vector<LayerStack> find_layer_stacks(std::span<const std::string> names) {
  struct Found {
    std::set<std::int64_t> layers;
    std::size_t tensors = 0;
  };
  std::map<std::string_view, Found> found;
  for (const std::string& name : names) {
    const auto split = split_layer_name(name);
    if (!split) continue;
    Found& one = found[split->prefix];
    one.layers.insert(split->layer);
    ++one.tensors;
  }
  std::vector<LayerStack> out;
  for (const auto& [prefix, one] : found) {
    const auto count = static_cast<std::int64_t>(one.layers.size());
    if (*one.layers.begin() == 0 && *one.layers.rbegin() == count - 1)
      out.push_back({std::string(prefix), count, one.tensors});
  }
  return out;
}

Result<LayerStack> main_layer_stack(std::span<const LayerStack> stacks, std::size_t tensor_count,
                                    std::optional<std::int64_t> stated_layers) {
  const LayerStack* stated = nullptr;
  std::size_t stated_count = 0;
  for (const LayerStack& one : stacks)
    if (stated_layers && one.layers == *stated_layers) stated = &one, ++stated_count;
  if (stated_count == 1) return *stated;
  if (stated_count == 0)  // several: an encoder and a decoder, say
    for (const LayerStack& one : stacks)
      if (2 * one.tensors > tensor_count) return one;
  std::string rows;
  for (const LayerStack& one : stacks)
    rows += fmt::format("{}{}N ({} layers)", rows.empty() ? "" : ", ", one.prefix, one.layers);
  return fail(Error(ErrorCode::kInvalidArgument, "no stack of layers stands out")
                  .wanted("tensors NAME.N.… with N from 0",
                          rows.empty() ? "no such names" : std::move(rows))
                  .advise("take whole models instead of slices, or name the part under modules"));
}

TensorRole outer_role(std::string_view name) {
  if (is_head_name(name)) return TensorRole::kAfter;
  const bool before = std::ranges::any_of(
      kBefore, [name](std::string_view row) { return name.find(row) != std::string_view::npos; });
  return before ? TensorRole::kBefore : TensorRole::kAfter;
}

bool is_head_name(std::string_view name) { return ends_as(name, kHeads); }
bool is_token_embedding_name(std::string_view name) { return ends_as(name, kTokenEmbeddings); }
bool is_buffer_name(std::string_view name) { return ends_as(name, kBuffers); }

}  // namespace kilter::ops

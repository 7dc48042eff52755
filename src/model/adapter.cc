#include "model/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/text.h"

namespace kilter::model {
namespace {

constexpr std::size_t kRanksListedMax = 8;

bool begins_with_any(std::string_view text, std::string_view alternatives) {
  if (alternatives.empty()) return true;
  for (const std::string_view one : split(alternatives, '|'))
    if (text.starts_with(one)) return true;
  return false;
}

bool ends_with_any(std::string_view text, std::string_view alternatives) {
  if (alternatives.empty()) return true;
  for (const std::string_view one : split(alternatives, '|'))
    if (text.ends_with(one)) return true;
  return false;
}

const AdapterRow* row_of(std::string_view form) {
  for (const AdapterRow& row : adapter_table())
    if (begins_with_any(form, row.begins) && ends_with_any(form, row.ends) &&
        (row.holds.empty() || form.find(row.holds) != std::string_view::npos))
      return &row;
  return nullptr;
}

bool has_rank(const AdapterRow& row, std::string_view form) {
  return !row.rank.empty() && ends_with_any(form, row.rank);
}

struct Votes {
  std::map<std::string_view, std::uint64_t> by_value;
  std::map<std::string_view, const AdapterRow*> first_row;
  std::map<std::string_view, std::uint32_t> example;
  std::map<std::int64_t, std::uint64_t> ranks;
  std::uint64_t tensors = 0;
};

Votes count_votes(const NameTable& names) {
  Votes votes;
  std::uint64_t attributes = 0;
  for (const NameGroup& group : names.groups()) {
    const AdapterRow* row = row_of(group.form);
    if (row == nullptr) continue;
    if (row->value.empty()) {
      attributes += group.count;
      continue;
    }
    votes.tensors += group.count;
    votes.by_value[row->value] += group.count;
    votes.first_row.emplace(row->value, row);
    votes.example.emplace(row->value, group.first);
    if (!has_rank(*row, group.form)) continue;
    for (std::uint32_t at = group.first; at != kNone; at = names.next(at)) {
      const auto& shape = names.tensor(at).shape;
      if (!shape.empty()) ++votes.ranks[shape[0]];
    }
  }
  // Alphas and replaced norms belong to an adapter only where there is one.
  if (votes.tensors > 0) votes.tensors += attributes;
  return votes;
}

void report_ranks(const Votes& votes, Identity* identity) {
  if (votes.ranks.empty()) return;
  if (votes.ranks.size() == 1) {
    identity->sizes.emplace_back("rank", std::to_string(votes.ranks.begin()->first));
    return;
  }
  std::vector<std::pair<std::uint64_t, std::int64_t>> order;
  for (const auto& [rank, count] : votes.ranks) order.emplace_back(count, rank);
  std::sort(order.rbegin(), order.rend());
  std::string text;
  for (std::size_t i = 0; i < order.size() && i < kRanksListedMax; ++i)
    text += fmt::format("{}{} ({} layers)", i > 0 ? ", " : "", order[i].second, order[i].first);
  if (order.size() > kRanksListedMax) text += ", …";
  identity->sizes.emplace_back("rank", text);
}

void report_alpha(const CheckpointData& data, const Papers& papers, Identity* identity) {
  if (const auto alpha = metadata(data, "ss_network_alpha"))
    identity->sizes.emplace_back("alpha", std::string(*alpha));
  else if (const FlatJson* config = papers.config("adapter_config.json"))
    if (const auto value = config->find("lora_alpha"))
      identity->sizes.emplace_back("alpha", std::string(*value));
}

// The width the adapted layer reads: the last dimension of a down matrix (the second of a conv).
std::int64_t input_width(const TensorInfo& tensor) {
  return tensor.shape.size() >= 2 ? tensor.shape[1] : 0;
}

bool holds_all(std::string_view form, std::string_view parts) {
  for (const std::string_view part : split(parts, ' '))
    if (form.find(part) == std::string_view::npos) return false;
  return true;
}

bool is_down(std::string_view form) {
  return form.find("down") != std::string_view::npos ||
         form.find("lora_A") != std::string_view::npos;
}

const AdapterBaseRow* find_base(const NameTable& names, std::uint32_t* example) {
  for (const AdapterBaseRow& row : adapter_base_table()) {
    for (const NameGroup& group : names.groups()) {
      if (!holds_all(group.form, row.holds)) continue;
      const bool fits = row.input == 0 || (is_down(group.form) &&
                                           input_width(names.tensor(group.first)) == row.input);
      if (!fits) continue;
      *example = group.first;
      return &row;
    }
  }
  return nullptr;
}

struct NameHint {
  std::string_view holds, family, title;
};

// What base_model_name_or_path says. Only a name: weak evidence, but it parts Llama from Mistral.
constexpr std::array<NameHint, 14> kHints = {{
    {"mixtral", "mixtral", "Mixtral"},
    {"mistral", "mistral", "Mistral"},
    {"qwen3", "qwen3", "Qwen3"},
    {"qwen2", "qwen2", "Qwen2"},
    {"qwen", "qwen2", "Qwen2"},
    {"gemma-3", "gemma3", "Gemma 3"},
    {"gemma-2-", "gemma2", "Gemma 2"},
    {"gemma", "gemma", "Gemma"},
    {"phi-3", "phi3", "Phi-3 and Phi-4"},
    {"phi-2", "phi", "Phi-1 and Phi-2"},
    {"llama", "llama", "Llama family"},
    {"roberta", "roberta", "RoBERTa"},
    {"bert", "bert", "BERT"},
    {"gpt2", "gpt2", "GPT-2"},
}};

std::string stated_base(const CheckpointData& data, const Papers& papers) {
  if (const FlatJson* config = papers.config("adapter_config.json"))
    if (const auto name = config->find("base_model_name_or_path")) return std::string(*name);
  for (const std::string_view key : {"ss_base_model_version", "ss_sd_model_name"})
    if (const auto name = metadata(data, key)) return std::string(*name);
  return std::string(papers.card.first("base_model"));
}

void answer_base(const CheckpointData& data, const NameTable& names, const Papers& papers,
                 Identity* identity) {
  Answer& answer = identity->architecture;
  std::uint32_t example = kNone;
  const AdapterBaseRow* row = find_base(names, &example);
  const std::string base = stated_base(data, papers);
  if (row != nullptr) {
    answer.value = row->family;
    answer.title = fmt::format("for {}", row->title);
    answer.confidence = row->confidence;
    answer.evidence.push_back(describe_tensor(names, example));
  }
  if (base.empty()) return;
  answer.evidence.push_back(fmt::format("states its base model: {}", escape_text(base, 200)));
  if (row != nullptr && row->confidence >= 0.85) return;
  for (const NameHint& hint : kHints) {
    if (!contains_no_case(base, hint.holds)) continue;
    answer.value = hint.family;
    answer.title = fmt::format("for {}", hint.title);
    answer.confidence = row != nullptr ? 0.7 : 0.5;
    return;
  }
}

// textual_inversion's other forms: one vector for each encoder, or one under the token's name.
bool is_bare_embedding(const CheckpointData& data, const NameTable& names) {
  if (names.size() == 0 || names.size() > 2) return false;
  if (names.size() == 2) return names.find("clip_l") != kNone && names.find("clip_g") != kNone;
  const std::string_view name = names.name(0);
  const auto& shape = names.tensor(0).shape;
  const std::int64_t width = shape.empty() ? 0 : shape.back();
  const bool known = width == 768 || width == 1024 || width == 1280;
  return known && shape.size() <= 2 && name.size() > 2 && name.front() == '<' &&
         name.back() == '>' && !data.root_is_folder;
}

std::string_view strongest(const Votes& votes) {
  // DoRA's magnitudes come with LoRA's factors; the magnitudes are what matters.
  std::string_view best;
  std::uint64_t most = 0;
  for (const auto& [value, count] : votes.by_value) {
    if (value == "dora" || count <= most) continue;
    best = value;
    most = count;
  }
  return best.empty() && !votes.by_value.empty() ? votes.by_value.begin()->first : best;
}

}  // namespace

AdapterReport answer_adapter(const CheckpointData& data, const NameTable& names,
                             const Papers& papers, Identity* identity) {
  AdapterReport report;
  Answer& answer = identity->adapter;
  if (is_bare_embedding(data, names)) {
    answer = {"textual-inversion", "Textual inversion", 0.8, {describe_tensor(names, 0)}};
    report = {true, names.size()};
    return report;
  }
  const Votes votes = count_votes(names);
  if (votes.tensors == 0) return report;
  report.adapter_tensors = votes.tensors;
  report.is_adapter = votes.tensors * 2 >= names.size();

  const std::string_view value = strongest(votes);
  const AdapterRow& row = *votes.first_row.at(value);
  answer.value = value;
  answer.title = row.title;
  if (votes.by_value.contains("dora") && value.starts_with("lora-")) {
    answer.value = fmt::format("dora-{}", value.substr(5));
    answer.title = "Do" + answer.title.substr(2);
    answer.evidence.push_back(describe_tensor(names, votes.example.at("dora")));
  }
  const double share = static_cast<double>(votes.tensors) / static_cast<double>(names.size());
  answer.confidence = std::min(0.98, 0.5 + share / 2);
  answer.evidence.push_back(fmt::format("{} of {} tensors, as in {}", votes.tensors, names.size(),
                                        describe_tensor(names, votes.example.at(value))));
  if (const FlatJson* config = papers.config("adapter_config.json"))
    if (const auto type = config->find("peft_type"))
      answer.evidence.push_back(
          fmt::format("adapter_config.json: peft_type {}", escape_text(*type, 100)));
  if (const auto module = metadata(data, "ss_network_module"))
    answer.evidence.push_back(
        fmt::format("metadata: ss_network_module {}", escape_text(*module, 100)));
  report_ranks(votes, identity);
  report_alpha(data, papers, identity);
  if (report.is_adapter) answer_base(data, names, papers, identity);
  return report;
}

}  // namespace kilter::model

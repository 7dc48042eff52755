#include "model/kind.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"

namespace kilter::model {
namespace {

constexpr std::array<std::string_view, 9> kTokenizerFiles = {"tokenizer.json",
                                                             "tokenizer.model",
                                                             "vocab.json",
                                                             "merges.txt",
                                                             "vocab.txt",
                                                             "spiece.model",
                                                             "tokenizer_config.json",
                                                             "sentencepiece.bpe.model",
                                                             "tekken.json"};

// A tensor that ends so is a layer's parameter: what holds one is a model.
constexpr std::array<std::string_view, 12> kParameterEnds = {
    "weight", "bias", "running_mean", "weight_ih", "weight_hh",      "kernel",
    "gamma",  "beta", "weight_g",     "weight_v",  "in_proj_weight", "embedding"};

bool is_tokenizer_file(std::string_view path) {
  return std::find(kTokenizerFiles.begin(), kTokenizerFiles.end(), base_name(path)) !=
         kTokenizerFiles.end();
}

// Calls `use(path)` for each file and document, until it returns true.
template <typename Use>
std::optional<std::string> find_path(const CheckpointData& data, Use use) {
  for (const FileEntry& file : data.index.files)
    if (use(base_name(file.path))) return file.path;
  for (const Document& document : data.documents)
    if (use(base_name(document.path))) return document.path;
  return std::nullopt;
}

void without_tensors(const CheckpointData& data, Answer* answer) {
  const auto config = find_path(data, [](std::string_view name) {
    return name == "config.json" || name == "model_index.json" || name == "adapter_config.json";
  });
  const auto tokenizer = find_path(data, is_tokenizer_file);
  const auto card = find_path(data, [](std::string_view name) { return name == "README.md"; });
  if (config)
    *answer = {"config-only", "configuration without parameters", 0.95, {escape_text(*config)}};
  else if (tokenizer)
    *answer = {"tokenizer-only", "tokenizer without a model", 0.95, {escape_text(*tokenizer)}};
  else if (card)
    *answer = {"card-only", "model card without weights", 0.9, {escape_text(*card)}};
  else if (!data.state.empty())
    *answer = {
        "state", "state without tensors", 0.9, {fmt::format("{} values", data.state.size())}};
  answer->evidence.push_back("no tensors");
}

bool looks_like_model(const NameTable& names) {
  for (const NameGroup& group : names.groups())
    for (const std::string_view end : kParameterEnds)
      if (group.form.ends_with(end)) return true;
  return false;
}

// Optimizers without slots (plain SGD) leave no tensors, only param_groups.
bool states_optimizer(const CheckpointData& data) {
  for (const std::string_view key : {"optimizer", "optimizer_states", "optimizer_state_dict"})
    if (data.state.find_path({key}) != kNoState) return true;
  return false;
}

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} tensor{} of {}", count, count == 1 ? "" : "s", what);
}

// ---- type -------------------------------------------------------------------------------------

struct TypeFinding {
  std::string_view value;
  double confidence;
  std::string evidence;
};

class TypeJudge {
 public:
  TypeJudge(const CheckpointData& data, const Papers& papers) : data_(data), papers_(papers) {}

  void add(std::string_view value, double confidence, std::string evidence) {
    findings_.push_back({value, confidence, std::move(evidence)});
  }

  void merged() {
    for (const std::string& recipe : papers_.recipes)
      add("merged", 0.97, fmt::format("holds the merge recipe {}", escape_text(recipe, 200)));
    for (const std::string_view key :
         {"sd_merge_recipe", "sd_merge_models", "modelspec.merged_from", "mergekit_config"})
      if (const auto value = metadata(data_, key))
        add("merged", 0.95, fmt::format("metadata: {} {}", key, escape_text(*value, 120)));
    if (papers_.card.first("base_model_relation") == "merge")
      add("merged", 0.9, papers_.card_path + ": base_model_relation merge");
    for (const std::string_view tag : {"merge", "mergekit"})
      if (papers_.card.has("tags", tag))
        add("merged", 0.8, fmt::format("{}: tag {}", papers_.card_path, tag));
  }

  void tuned() {
    const auto* bases = papers_.card.find("base_model");
    const std::string_view relation = papers_.card.first("base_model_relation");
    if (relation == "finetune")
      add("fine-tuned", 0.85, papers_.card_path + ": base_model_relation finetune");
    if (bases != nullptr && !bases->empty() && relation != "quantized")
      add(bases->size() > 1 ? "merged" : "fine-tuned", 0.65,
          fmt::format("{}: base_model {}", papers_.card_path, escape_text(bases->front(), 150)));
    if (const auto value = metadata(data_, "ss_sd_model_name"))
      add("fine-tuned", 0.7, fmt::format("metadata: trained from {}", escape_text(*value, 120)));
    if (const auto name = papers_.find_at_root("_name_or_path"))
      if (name->text.find('/') != std::string_view::npos)
        add("fine-tuned", 0.4,
            fmt::format("config.json: loaded from {}", escape_text(name->text, 150)));
    for (const std::string_view tag : {"pretrained", "foundation-model", "base"})
      if (papers_.card.has("tags", tag))
        add("base", 0.5, fmt::format("{}: tag {}", papers_.card_path, tag));
  }

  // "model-00001-of-00003.safetensors" opened by itself.
  void shard() {
    if (data_.root_is_folder) {
      for (const Finding& finding : data_.findings)
        if (finding.rule.find("missing") != std::string::npos &&
            finding.rule.find("shard") != std::string::npos)
          add("partial", 0.95, finding.message);
      return;
    }
    const std::string_view name = base_name(data_.path);
    const std::size_t of = name.find("-of-");
    if (of == std::string_view::npos || of < 5) return;
    unsigned number = 0, count = 0;
    const char* end = name.data() + name.size();
    const bool first =
        std::from_chars(name.data() + of - 5, name.data() + of, number).ec == std::errc();
    const bool second = std::from_chars(name.data() + of + 4, end, count).ec == std::errc();
    if (first && second && count > 1)
      add("partial", 0.9, fmt::format("named as shard {} of {}", number, count));
  }

  void gaps(const Components& components, const Identity& identity) {
    if (components.accepted.empty()) return;
    const Candidate& primary = components.accepted.front();
    if (primary.missing_layer_count > 0) {
      std::string list;
      for (const std::uint32_t layer : primary.missing_layers) {
        list += list.empty() ? "" : ", ";
        list += std::to_string(layer);
      }
      if (primary.missing_layer_count > primary.missing_layers.size()) list += ", …";
      add("partial", 0.9,
          fmt::format("{} layers are missing: {}", primary.missing_layer_count, list));
    }
    const auto stated = papers_.find_at_root("num_hidden_layers");
    for (const auto& [name, value] : identity.sizes) {
      if (name != "layers" || !stated) continue;
      if (value.size() < stated->text.size() ||
          (value.size() == stated->text.size() && value < stated->text))
        add("partial", 0.85,
            fmt::format("{} of {} layers that config.json states", value,
                        escape_text(stated->text, 20)));
    }
  }

  void finish(Answer* answer) {
    std::stable_sort(
        findings_.begin(), findings_.end(),
        [](const TypeFinding& a, const TypeFinding& b) { return a.confidence > b.confidence; });
    if (findings_.empty()) return;
    answer->value = findings_.front().value;
    answer->confidence = findings_.front().confidence;
    for (const TypeFinding& one : findings_) {
      if (answer->evidence.size() >= 8) return;
      const bool same = one.value == answer->value;
      answer->evidence.push_back(same ? one.evidence
                                      : fmt::format("also {}: {}", one.value, one.evidence));
    }
  }

 private:
  const CheckpointData& data_;
  const Papers& papers_;
  std::vector<TypeFinding> findings_;
};

// Runs of blanks as one: licences are wrapped at any column.
std::string flowing(std::string_view text) {
  std::string out;
  for (const char c : ascii_lower(text)) {
    const bool blank = c == ' ' || c == '\n' || c == '\r' || c == '\t';
    if (!blank) out.push_back(c);
    if (blank && !out.empty() && out.back() != ' ') out.push_back(' ');
  }
  return out;
}

const LicenceRow* recognize_licence(std::string_view text) {
  constexpr std::size_t kHeadBytes = 4000;
  const std::string head = flowing(text.substr(0, kHeadBytes));
  for (const LicenceRow& row : licence_table()) {
    bool all = true;
    for (const std::string_view phrase : split(row.holds, '|'))
      all = all && head.find(phrase) != std::string::npos;
    if (all) return &row;
  }
  return nullptr;
}

std::string title_of_licence(std::string_view value) {
  for (const LicenceRow& row : licence_table())
    if (row.value == value) return std::string(row.title);
  return std::string(value);
}

}  // namespace

void answer_instance(const CheckpointData& data, const Placement& placement, const NameTable& names,
                     const AdapterReport& adapter, Identity* identity) {
  Answer& answer = identity->instance;
  if (data.index.tensors.empty()) return without_tensors(data, &answer);
  if (const auto version = metadata(data, "kilter.delta")) {  // spec/delta.md
    answer = {"delta", "difference to a base checkpoint (kilter delta apply)", 1.0, {}};
    answer.evidence.push_back("metadata: kilter.delta " + escape_text(*version, 20));
    if (const auto base = metadata(data, "kilter.delta.base"))
      answer.evidence.push_back("base: content " + escape_text(*base, 64));
    return;
  }
  const std::size_t weights = placement.count(Part::kWeights);
  const std::size_t ema = placement.count(Part::kEma);
  const std::size_t optimizer = placement.count(Part::kOptimizer);
  if (weights + ema == 0) {
    if (optimizer > 0)
      answer = {"optimizer", "optimizer state only", 0.95, {counted(optimizer, "optimizer state")}};
    else
      answer = {"state",
                "training state without weights",
                0.7,
                {counted(placement.count(Part::kOther), "other state")}};
    return;
  }
  if (optimizer > 0 || states_optimizer(data)) {
    answer = {
        "full-training", "full training checkpoint", 0.95, {counted(weights + ema, "weights")}};
    answer.evidence.push_back(optimizer > 0 ? counted(optimizer, "optimizer state")
                                            : std::string("an optimizer without slots"));
    if (const std::size_t other = placement.count(Part::kOther))
      answer.evidence.push_back(counted(other, "scheduler, random and other state"));
    return;
  }
  if (adapter.is_adapter) {
    answer = {"adapter", identity->adapter.title, identity->adapter.confidence,
              identity->adapter.evidence};
    return;
  }
  if (identity->architecture.value != "unknown" && identity->architecture.confidence >= 0.5) {
    answer = {
        "weights", "weights only", 0.95, {counted(weights + ema, "weights"), "no optimizer state"}};
  } else if (looks_like_model(names)) {
    answer = {
        "weights", "weights only", 0.8, {counted(weights + ema, "weights"), "no optimizer state"}};
  } else {
    answer = {"tensors",
              "a collection of tensors",
              0.6,
              {fmt::format("{} tensors, none named like a layer's parameter", names.size())}};
  }
}

void answer_type(const CheckpointData& data, const Placement& placement,
                 const Components& components, const Papers& papers, const AdapterReport& adapter,
                 Identity* identity) {
  TypeJudge judge(data, papers);
  const std::size_t ema = placement.count(Part::kEma);
  if (ema > 0 && placement.count(Part::kWeights) == 0)
    judge.add("ema", 0.9, counted(ema, "averaged weights") + ", none of plain weights");
  else if (ema > 0)
    judge.add("carries-ema", 0.9, counted(ema, "averaged weights") + " beside the plain ones");
  if (adapter.is_adapter)
    judge.add("delta", 0.9, "an adapter holds a difference to its base model");
  judge.merged();
  judge.shard();
  if (!adapter.is_adapter) {
    judge.gaps(components, *identity);
    judge.tuned();
  }
  judge.finish(&identity->type);
}

void answer_licence(const CheckpointData& data, const Papers& papers, Identity* identity) {
  Answer& answer = identity->licence;
  const auto offer = [&](std::string_view value, double confidence, std::string evidence) {
    if (value.empty()) return;
    answer.evidence.push_back(std::move(evidence));
    if (confidence <= answer.confidence) return;
    answer.value = ascii_lower(escape_text(value, 100));
    answer.title = title_of_licence(answer.value);
    answer.confidence = confidence;
  };
  std::string_view stated = papers.card.first("license");
  const bool other = stated == "other" && !papers.card.first("license_name").empty();
  offer(other ? papers.card.first("license_name") : stated, 0.9,
        fmt::format("{}: license {}", papers.card_path, escape_text(stated, 100)));
  if (const LicenceRow* row = recognize_licence(papers.licence_text))
    offer(row->value, 0.85,
          fmt::format("{} is the text of {}", escape_text(papers.licence_path, 100), row->title));
  for (const std::string_view key : {"modelspec.license", "license", "general.license"})
    if (const auto value = metadata(data, key))
      offer(*value, 0.8, fmt::format("metadata: {} {}", key, escape_text(*value, 100)));
  if (const auto value = papers.find_at_root("license"))
    offer(value->text, 0.7, fmt::format("{}: license", value->path));
}

}  // namespace kilter::model

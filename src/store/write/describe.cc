#include "store/write/describe.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "kilter/checkpoint.h"
#include "kilter/identity.h"

#include "base/json.h"
#include "base/text.h"

namespace kilter::store {
namespace {

struct KeyAlias {
  std::string_view stated;
  std::string_view key;
};

// How trainers call what spec/metadata.md names; earlier rows win.
constexpr std::array<KeyAlias, 30> kAliases = {{
    {"step", "step"},
    {"global_step", "step"},
    {"global_steps", "step"},
    {"iteration", "step"},
    {"iter", "step"},
    {"num_updates", "step"},
    {"log_history.last.step", "step"},
    {"epoch", "epoch"},
    {"loss", "loss"},
    {"train_loss", "loss"},
    {"training_loss", "loss"},
    {"log_history.last.loss", "loss"},
    {"eval_loss", "eval_loss"},
    {"val_loss", "eval_loss"},
    {"log_history.last.eval_loss", "eval_loss"},
    {"best_metric", "best_metric"},
    {"learning_rate", "learning_rate"},
    {"lr", "learning_rate"},
    {"log_history.last.learning_rate", "learning_rate"},
    {"grad_norm", "gradient_norm"},
    {"log_history.last.grad_norm", "gradient_norm"},
    {"tokens_seen", "tokens_seen"},
    {"num_tokens", "tokens_seen"},
    {"num_input_tokens_seen", "tokens_seen"},
    {"samples_seen", "samples_seen"},
    {"consumed_samples", "samples_seen"},
    {"global_samples", "samples_seen"},
    {"total_flos", "flops"},
    {"base_model", "model.base"},
    {"base_model_relation", "model.relation"},
}};

// Keys of spec/metadata.md that are numbers; the first three count and are whole.
constexpr std::array<std::string_view, 11> kNumberKeys = {
    "step",        "tokens_seen",   "samples_seen",  "epoch", "loss",        "eval_loss",
    "best_metric", "learning_rate", "gradient_norm", "flops", "wall_seconds"};
constexpr std::size_t kCountKeys = 3;

bool is_key_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_.-/:").find(c) != std::string_view::npos;
}

/// What trainers print where a number has ceased to be one.
bool is_no_number(const SortedJson& value) {
  if (!value.is_string()) return false;
  std::string text = ascii_lower(value.get<std::string>());
  if (text.starts_with('-') || text.starts_with('+')) text.erase(0, 1);
  return text == "nan" || text == "inf" || text == "infinity";
}

constexpr std::uint64_t kSideFileBytesMax = 16ULL << 20;

/// Which row of the table a stated key is; the last part of a path counts too ("state.epoch").
std::optional<std::size_t> alias_of(std::string_view stated) {
  for (std::size_t i = 0; i < kAliases.size(); ++i)
    if (stated == kAliases[i].stated) return i;
  return std::nullopt;
}

/// The number behind the last run of digits in "checkpoint-1200", "step_5", "global_step12".
std::optional<std::uint64_t> step_of_name(std::string_view name) {
  constexpr std::array<std::string_view, 6> kWords = {"checkpoint", "global_step", "step",
                                                      "iter",       "iteration",   "ckpt"};
  std::size_t end = name.size();
  const std::size_t dot = name.find('.');
  if (dot != std::string_view::npos) end = dot;
  std::size_t begin = end;
  while (begin > 0 && name[begin - 1] >= '0' && name[begin - 1] <= '9') --begin;
  std::string_view word = name.substr(0, begin);
  while (word.ends_with('-') || word.ends_with('_')) word.remove_suffix(1);
  const std::string lower = ascii_lower(word);
  const bool known = std::ranges::any_of(kWords, [&](auto w) { return lower.ends_with(w); });
  std::uint64_t step = 0;
  const auto parsed = std::from_chars(name.data() + begin, name.data() + end, step);
  if (!known || begin == end || parsed.ec != std::errc()) return std::nullopt;
  return step;
}

class Describer {
 public:
  void state(std::string_view key, const SortedJson& value) {
    const auto row = alias_of(key);
    if (!row || value.is_null()) return;
    const std::string name(kAliases[*row].key);
    const auto found = rank_.find(name);
    if (found != rank_.end() && found->second <= *row) return;
    rank_[name] = *row;
    out_[name] = value;
  }
  void add(const char* key, const std::string& value) {
    if (!value.empty() && value != "unknown") out_[key] = value;
  }
  void step_if_missing(std::uint64_t step) {
    if (!out_.contains("step")) out_["step"] = step;
  }
  SortedJson take() { return std::move(out_); }

 private:
  SortedJson out_ = SortedJson::object();
  std::map<std::string, std::size_t> rank_;
};

void describe_checkpoint(const TreeSource& source, std::string* format, Describer& describer) {
  OpenOptions options;
  options.files = source.files;
  const auto checkpoint = open_checkpoint(source.root, options);
  if (!checkpoint) return;
  *format = checkpoint->data().format;
  const Identity identity = identify(checkpoint->data());
  for (const Identity::Stated& stated : identity.stated)
    describer.state(stated.key, metadata_value(stated.value));
  describer.add("model.architecture", identity.architecture.value);
  describer.add("model.variant", identity.variant.value);
  describer.add("model.kind", identity.instance.value);
  describer.add("model.licence", identity.licence.value);
}

/// JSON files beside the weights that no library has a convention for: their top-level numbers.
void describe_side_files(const TreeSource& source, Describer& describer) {
  const auto entries = source.files->list(source.root);
  if (!entries) return;
  for (const io::FolderEntry& entry : *entries) {
    if (!entry.name.ends_with(".json") || entry.stat.bytes > kSideFileBytesMax) continue;
    const auto text =
        io::read_text(*source.files, io::join_path(source.root, entry.name), kSideFileBytesMax);
    if (!text) continue;
    const auto json = parse_json(*text);
    if (!json || !json->is_object()) continue;
    for (const auto& [key, value] : json->items())
      if (value.is_number()) describer.state(key, SortedJson(value));
  }
}

}  // namespace

SortedJson metadata_value(std::string_view text) {
  const auto json = parse_json(text, {.bytes_max = kSideFileBytesMax, .depth_max = 32});
  if (json) return SortedJson(*json);
  return std::string(text);
}

Status check_stated(const std::string& key, const SortedJson& value) {
  if (!std::ranges::all_of(key, is_key_character))
    return fail(Error(ErrorCode::kInvalidArgument,
                      "\"" + escape_text(key, 80) + "\" cannot be a key of metadata")
                    .advise("letters, digits and _ . - / : can, so that conditions can name it"));
  const auto listed = std::ranges::find(kNumberKeys, key);
  if (listed == kNumberKeys.end() || value.is_null()) return ok();
  const bool count = static_cast<std::size_t>(listed - kNumberKeys.begin()) < kCountKeys;
  const bool whole =
      value.is_number_unsigned() || (value.is_number() && value.get<double>() >= 0 &&
                                     std::floor(value.get<double>()) == value.get<double>());
  if (count ? whole : value.is_number() || is_no_number(value)) return ok();
  return fail(Error(ErrorCode::kInvalidArgument,
                    key + (count ? " needs a whole number" : " needs a number"))
                  .wanted(count ? "as in 1200" : "as in 1.93", escape_text(value.dump(), 80))
                  .advise("other keys may hold anything: see spec/metadata.md"));
}

SortedJson describe_source(const TreeSource& source, std::string* format) {
  Describer describer;
  describe_checkpoint(source, format, describer);
  const auto info = source.files->stat(source.root);
  if (info && info->kind == io::FileKind::kFolder) describe_side_files(source, describer);
  if (const auto step = step_of_name(io::last_part(source.root))) describer.step_if_missing(*step);
  return describer.take();
}

}  // namespace kilter::store

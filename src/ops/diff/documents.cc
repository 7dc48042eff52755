#include "ops/diff/documents.h"

#include <algorithm>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/try.h"
#include "flow/source.h"
#include "formats/folder/documents.h"
#include "ops/diff/word_list.h"

namespace kilter::ops {
namespace {

constexpr std::size_t kChangedKeysMax = 1000, kExamplesMax = 10;

/// Every value of a JSON document that is no object, by its path: "rope_scaling.factor".
using FlatDocument = std::map<std::string, std::string>;

void flatten(const Json& value, const std::string& path, FlatDocument& out) {
  if (!value.is_object() || value.empty()) {
    out[path] = dump_json(value, -1);
    return;
  }
  for (const auto& [key, item] : value.items())
    flatten(item, path.empty() ? key : path + "." + key, out);
}

std::vector<CheckpointDiff::Key> changed_keys(const FlatDocument& a, const FlatDocument& b) {
  std::vector<CheckpointDiff::Key> out;
  for (const auto& [key, value] : a) {
    const auto other = b.find(key);
    if (other == b.end())
      out.push_back({key, value, ""});
    else if (other->second != value)
      out.push_back({key, value, other->second});
  }
  for (const auto& [key, value] : b)
    if (!a.contains(key)) out.push_back({key, "", value});
  if (out.size() > kChangedKeysMax) out.resize(kChangedKeysMax);
  return out;
}

bool is_shard_index_name(std::string_view path) { return path.ends_with(".index.json"); }

/// A folder's files by name that are looked at here.
std::map<std::string, std::uint32_t> document_files(const WeightsInput& input) {
  std::map<std::string, std::uint32_t> out;
  const auto& files = input.checkpoint.data().index.files;
  for (std::uint32_t i = 0; i < files.size(); ++i) {
    const std::string& path = files[i].path;
    if (is_shard_index_name(path)) continue;
    if (is_word_list_name(path) || formats::is_document_name(path)) out.emplace(path, i);
  }
  return out;
}

class DocumentComparison {
 public:
  DocumentComparison(const WeightsInput& a, const WeightsInput& b, const RunContext& context,
                     CheckpointDiff& out)
      : a_(a), b_(b), context_(context), out_(out) {}

  Status run() {
    compare_metadata();
    if (!a_.checkpoint.data().root_is_folder || !b_.checkpoint.data().root_is_folder) return ok();
    const auto files_a = document_files(a_), files_b = document_files(b_);
    std::set<std::string> names;
    for (const auto* files : {&files_a, &files_b})
      for (const auto& [name, file] : *files) names.insert(name);
    for (const std::string& name : names) {
      KILTER_TRY(context_.check());
      const auto in_a = files_a.find(name), in_b = files_b.find(name);
      const bool both = in_a != files_a.end() && in_b != files_b.end();
      if (both) {
        KILTER_TRY(compare_file(name, in_a->second, in_b->second));
      } else {
        out_.texts.push_back({name, "", "", in_a == files_a.end() ? "only in B" : "only in A", {}});
      }
    }
    return ok();
  }

 private:
  static bool states_metadata(const WeightsInput& input) {
    return input.checkpoint.data().format.find("safetensors") != std::string::npos;
  }

  void compare_metadata() {
    if (!states_metadata(a_) || !states_metadata(b_)) return;
    std::map<std::string, std::pair<std::string, std::string>> texts;
    for (const auto& [key, value] : a_.checkpoint.data().metadata) texts[key].first = value;
    for (const auto& [key, value] : b_.checkpoint.data().metadata) texts[key].second = value;
    for (const auto& [key, both] : texts)
      if (both.first != both.second)
        out_.texts.push_back({"__metadata__." + key, both.first, both.second, "", {}});
  }

  static Result<std::string> read(const WeightsInput& input, std::uint32_t file) {
    const std::uint64_t bytes = input.checkpoint.data().index.files[file].bytes;
    std::string text(static_cast<std::size_t>(bytes), '\0');
    KILTER_TRY(
        input.checkpoint.source()->read_file(file, 0, std::as_writable_bytes(std::span(text))));
    return text;
  }

  Status compare_file(const std::string& name, std::uint32_t file_a, std::uint32_t file_b) {
    const std::uint64_t bytes = std::max(a_.checkpoint.data().index.files[file_a].bytes,
                                         b_.checkpoint.data().index.files[file_b].bytes);
    if (bytes > kWordListBytesMax) {
      out_.texts.push_back({name, "", "", "too large to compare", {}});
      return ok();
    }
    KILTER_ASSIGN(const std::string before, read(a_, file_a));
    KILTER_ASSIGN(const std::string after, read(b_, file_b));
    if (before == after) return ok();
    CheckpointDiff::Text text{name, "", "", "differs", {}};
    if (is_word_list_name(name))
      compare_words(name, before, after);
    else if (bytes <= formats::kDocumentBytesMax)
      text.keys = json_keys(before, after);
    out_.texts.push_back(std::move(text));
    return ok();
  }

  static std::vector<CheckpointDiff::Key> json_keys(const std::string& before,
                                                    const std::string& after) {
    const auto a = parse_json(before), b = parse_json(after);
    if (!a || !b) return {};  // other texts, and JSON that is none
    FlatDocument flat_a, flat_b;
    flatten(*a, "", flat_a);
    flatten(*b, "", flat_b);
    return changed_keys(flat_a, flat_b);
  }

  /// Words that the first has and the second lacks: how many, and the first by number.
  static std::uint64_t missing_words(const WordList& has, const WordList& lacks,
                                     std::vector<std::string>& examples) {
    std::vector<std::pair<std::uint64_t, std::string_view>> missing;
    for (const auto& [word, id] : has.ids)
      if (!lacks.ids.contains(word)) missing.emplace_back(id, word);
    std::ranges::sort(missing);
    for (std::size_t i = 0; i < std::min(missing.size(), kExamplesMax); ++i)
      examples.emplace_back(missing[i].second);
    return missing.size();
  }

  void compare_words(const std::string& name, const std::string& before, const std::string& after) {
    const auto a = read_word_list(name, before), b = read_word_list(name, after);
    if (!a || !b) return;  // damaged: the file differs, more cannot be said
    TokenizerDiff row;
    row.path = name;
    row.words_a = a->ids.size();
    row.words_b = b->ids.size();
    row.removed = missing_words(*a, *b, row.removed_examples);
    row.added = missing_words(*b, *a, row.added_examples);
    for (const auto& [word, id] : a->ids)
      if (const auto other = b->ids.find(word); other != b->ids.end() && other->second != id)
        ++row.moved;
    row.merges_a = a->merges;
    row.merges_b = b->merges;
    row.merges_changed = a->merges_text != b->merges_text;
    row.keys = changed_keys(a->parts, b->parts);
    std::erase_if(row.keys, [](const CheckpointDiff::Key& key) {  // told among the words
      return key.key.starts_with(kAddedToken) && (key.before.empty() || key.after.empty());
    });
    out_.tokenizers.push_back(std::move(row));
  }

  const WeightsInput& a_;
  const WeightsInput& b_;
  const RunContext& context_;
  CheckpointDiff& out_;
};

}  // namespace

Status compare_documents(const WeightsInput& a, const WeightsInput& b, const RunContext& context,
                         CheckpointDiff& out) {
  return DocumentComparison(a, b, context, out).run();
}

}  // namespace kilter::ops

#include "ops/diff/word_list.h"

#include <simdjson.h>

#include <utility>

#include "base/protobuf.h"
#include "base/try.h"

namespace kilter::ops {
namespace {

namespace dom = simdjson::dom;

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 = 0
}

Error word_list_error(std::string_view path, std::string message) {
  Error error(ErrorCode::kMalformed, std::move(message));
  error.path = path;
  return error;
}

template <typename Use>
void for_each_line(std::string_view text, Use use) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    use(line);
    at = end + 1;
  }
}

/// tokenizer.json and vocab.json.
class JsonWords {
 public:
  explicit JsonWords(std::string_view path) : path_(path) {}

  Result<WordList> read(std::string_view text) {
    dom::element root;
    if (const auto code = parser_.parse(text.data(), text.size(), true).get(root);
        code != simdjson::SUCCESS)
      return fail(word_list_error(path_, simdjson::error_message(code)));
    dom::object top;
    if (root.get(top) != simdjson::SUCCESS)
      return fail(word_list_error(path_, "a tokenizer is a JSON object"));
    if (base_name(path_) == "vocab.json")
      take_ids(root);
    else
      take_tokenizer(top);
    return std::move(out_);
  }

 private:
  /// {"word": 7}
  void take_ids(dom::element vocab) {
    dom::object map;
    if (vocab.get(map) != simdjson::SUCCESS) return;
    for (const auto [word, value] : map) {
      std::uint64_t id = 0;
      if (value.get(id) == simdjson::SUCCESS) out_.ids.emplace(word, id);
    }
  }

  /// [["word", -1.5]], of Unigram.
  void take_scored(dom::array list) {
    std::uint64_t id = 0;
    for (const dom::element pair : list) {
      std::string_view word;
      if (pair.at(0).get(word) == simdjson::SUCCESS) out_.ids.emplace(word, id);
      ++id;
    }
  }

  void take_model(dom::object model) {
    for (const auto [key, value] : model) {
      dom::array list;
      const bool is_list = value.get(list) == simdjson::SUCCESS;
      if (key == "vocab" && is_list) {
        take_scored(list);
      } else if (key == "vocab") {
        take_ids(value);
      } else if (key == "merges") {
        out_.merges = is_list ? list.size() : 0;
        out_.merges_text = simdjson::minify(value);
      } else {
        out_.parts["model." + std::string(key)] = simdjson::minify(value);
      }
    }
  }

  /// {"id": 7, "content": "<s>", "lstrip": false, …}: a word, and how it is found in texts.
  void take_added(dom::array tokens) {
    for (const dom::element token : tokens) {
      std::string_view word;
      std::uint64_t id = 0;
      dom::object fields;
      if (token["content"].get(word) != simdjson::SUCCESS ||
          token["id"].get(id) != simdjson::SUCCESS || token.get(fields) != simdjson::SUCCESS)
        continue;
      out_.ids.insert_or_assign(std::string(word), id);
      std::string flags;
      for (const auto [key, value] : fields)
        if (key != "id" && key != "content")
          flags += std::string(key) + "=" + std::string(simdjson::minify(value)) + " ";
      if (!flags.empty()) flags.pop_back();
      out_.parts[std::string(kAddedToken) + std::string(word)] = "\"" + flags + "\"";
    }
  }

  void take_tokenizer(dom::object top) {
    for (const auto [key, value] : top) {
      dom::object model;
      dom::array tokens;
      if (key == "model" && value.get(model) == simdjson::SUCCESS) {
        take_model(model);
        continue;
      }
      if (key == "added_tokens" && value.get(tokens) == simdjson::SUCCESS) {
        take_added(tokens);
        continue;
      }
      out_.parts[std::string(key)] = simdjson::minify(value);
    }
  }

  std::string_view path_;
  dom::parser parser_;
  WordList out_;
};

WordList read_lines(std::string_view text) {
  WordList out;
  std::uint64_t id = 0;
  for_each_line(text, [&](std::string_view line) { out.ids.emplace(line, id++); });
  return out;
}

WordList read_merges(std::string_view text) {
  WordList out;
  out.merges_text = text;
  for_each_line(text, [&](std::string_view line) {
    out.merges += line.empty() || line.starts_with("#version") ? 0U : 1U;
  });
  return out;
}

Result<WordList> read_pieces(std::string_view path, std::string_view text) {
  WordList out;
  std::uint64_t id = 0;
  ProtoReader model(as_bytes(text));
  while (!model.done()) {
    KILTER_ASSIGN(const ProtoField field, model.next());
    if (!field.is(1, WireType::kBytes)) continue;
    ProtoReader piece(field.content, field.offset_bytes);
    while (!piece.done()) {
      KILTER_ASSIGN(const ProtoField part, piece.next());
      if (part.is(1, WireType::kBytes)) out.ids.emplace(part.text(), id);
    }
    ++id;
  }
  if (id == 0) return fail(word_list_error(path, "the SentencePiece model has no pieces"));
  return out;
}

bool is_sentencepiece_name(std::string_view name) {
  return name == "tokenizer.model" || name == "spiece.model" || name == "sentencepiece.bpe.model";
}

}  // namespace

bool is_word_list_name(std::string_view path) {
  const std::string_view name = base_name(path);
  return name == "tokenizer.json" || name == "vocab.json" || name == "vocab.txt" ||
         name == "merges.txt" || is_sentencepiece_name(name);
}

Result<WordList> read_word_list(std::string_view path, std::string_view text) {
  const std::string_view name = base_name(path);
  if (name == "merges.txt") return read_merges(text);
  if (name == "vocab.txt") return read_lines(text);
  if (is_sentencepiece_name(name)) return read_pieces(path, text);
  return JsonWords(path).read(text);
}

}  // namespace kilter::ops

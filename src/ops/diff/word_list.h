// The words of a tokenizer, out of the files that libraries keep them in.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "kilter/error.h"

namespace kilter::ops {

struct WordList {
  std::unordered_map<std::string, std::uint64_t> ids;  ///< added tokens too
  std::uint64_t merges = 0;
  std::string merges_text;  ///< to compare
  /// Whatever else a tokenizer.json states, by key ("normalizer", "model.unk_token"), as JSON; how
  /// an added token is found, by kAddedToken and the token.
  std::map<std::string, std::string> parts;
};

inline constexpr std::string_view kAddedToken = "added_tokens.";
inline constexpr std::uint64_t kWordListBytesMax = 64U << 20;

/// True for tokenizer.json, vocab.json, vocab.txt, merges.txt and SentencePiece models, by the
/// file's name.
bool is_word_list_name(std::string_view path);

/// Reads one of them. Errors: kMalformed (no such JSON or message, a merge that is no text).
/// Sources: huggingface/tokenizers' serialization of Tokenizer, BPE, WordPiece, WordLevel and
/// Unigram; sentencepiece_model.proto (pieces: field 1, of each the text: field 1).
Result<WordList> read_word_list(std::string_view path, std::string_view text);

}  // namespace kilter::ops

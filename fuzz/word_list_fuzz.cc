// Words of tokenizers, in every file they are kept in: nothing breaks. The first byte chooses.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ops/diff/word_list.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array<std::string_view, 5> kNames = {"tokenizer.json", "vocab.json", "vocab.txt",
                                                      "merges.txt", "tokenizer.model"};
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  (void)kilter::ops::read_word_list(kNames[data[0] % kNames.size()], text);
  return 0;
}

// Chooses a variant by the conditions of the tables.
#pragma once

#include <string_view>

#include "model/match.h"
#include "model/papers.h"

namespace kilter::model {

/// What conditions may ask about.
struct VariantFacts {
  const CheckpointData* data = nullptr;
  const NameTable* names = nullptr;
  const Papers* papers = nullptr;
  std::string_view prefix;  ///< of the component
  const Sizes* sizes = nullptr;
};

/// One condition of VariantRow::when. False for what is not understood (a test checks them all).
bool condition_holds(const VariantFacts& facts, std::string_view condition);
bool condition_is_known(std::string_view condition);

/// The best row for a signature; nullptr if none holds. With a `claimed` family only rows of that
/// family count.
const VariantRow* choose_variant(const VariantFacts& facts, const Signature& signature,
                                 std::string_view claimed);

/// The family a row stands for: its own, else its signature's.
inline std::string_view family_of(const VariantRow& row, const Signature& signature) {
  return row.family.empty() ? signature.family : row.family;
}

/// True if `list` (blanks between) holds `word`.
bool lists_word(std::string_view list, std::string_view word);

}  // namespace kilter::model

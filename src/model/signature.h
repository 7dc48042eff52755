// How the tables of architectures are written, and their parsed form.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kilter::model {

/// One architecture's keys. A row of tables/*.cc.
///
/// `keys` is text, one key a line: a mark, the name, and if it matters the shape.
///
///     ! layers.{layers}.self_attn.q_proj.weight [_q,width]
///     + ^lm_head.weight [vocabulary,width]
///     - layers.{n}.self_attn.q_norm.weight
///
/// Marks: `!` must be there (the first one is the anchor: it finds the component wherever it
/// lies), `+` supports, `-` must not be there, `?` only tells sizes. Names are relative to where
/// the component lies; `^` goes up one level. `{n}` stands for any number; with another name,
/// `{layers}`, how many different numbers stand there becomes a size of that name. In shapes a
/// number must be equal, `1|2` is a choice, `*` anything, a name takes the dimension as a size of
/// that name (equal wherever the name stands), `width:320|384` only if it is one of these,
/// `3*width` a multiple; `...` ends with any rest.
/// Sizes that begin with `_` are for conditions only.
struct Signature {
  std::string_view id;      ///< unique
  std::string_view family;  ///< Identity::architecture's value
  std::string_view title;
  std::string_view role;  ///< of the component: "unet", "vae", "text-encoder", "language-model", …
  int rank;  ///< where components lie side by side, the higher one names the checkpoint
  std::string_view keys;
  std::string_view covers;  ///< beginnings of names that belong to it, blank between
  std::string_view derive;  ///< "heads=width/64": sizes that follow where they are not stated
  std::string_view source;
};

/// A named variant of a family: `when` lists conditions with blanks between, all must hold.
/// `size=1|2`, `size>1`, `size<1`, `config.key=value`, `meta.key~part` (contains, any case),
/// `has:name`, `lacks:name` (relative to the component, `^` one level up, `/` from the top).
/// Of the rows that hold the one with the most conditions wins, then the first.
struct VariantRow {
  std::string_view layout;  ///< ids of signatures, blanks between
  std::string_view family;  ///< empty: stays the signature's
  std::string_view value;   ///< Identity::variant's value
  std::string_view title;
  std::string_view when;
  double confidence;
  std::string_view source;
};

/// What a configuration file claims. `layouts`: the signatures its keys may look like.
struct ConfigRow {
  std::string_view field;  ///< "model_type", "_class_name"
  std::string_view value;
  std::string_view family;
  std::string_view title;
  std::string_view layouts;
  std::string_view source;
};

/// One naming of adapters. A tensor belongs to the first row whose `begins` and `ends` fit
/// (alternatives with `|`; empty: any).
struct AdapterRow {
  std::string_view value;  ///< Identity::adapter's value; "" = an attribute of another kind
  std::string_view title;
  std::string_view begins;
  std::string_view holds;
  std::string_view ends;
  std::string_view rank;  ///< which of `ends` has the rank as first dimension
  std::string_view source;
};

/// What model an adapter fits. First row that holds wins. `holds` are parts of names, all needed;
/// `input` the width the adapted layer reads, 0 = any.
struct AdapterBaseRow {
  std::string_view family;
  std::string_view title;
  std::string_view holds;
  std::int64_t input;
  double confidence;
  std::string_view source;
};

struct LicenceRow {
  std::string_view value;  ///< SPDX identifier or the Hub's name
  std::string_view title;
  std::string_view holds;  ///< phrases, `|` between, all needed, any case
};

/// A part of a model by a piece of its tensors' names (lower case).
struct PartRow {
  std::string_view part;
  std::string_view holds;  ///< alternatives, blanks between; `$` at the end: the name ends so
};

std::span<const std::span<const Signature>> signature_tables();
std::span<const std::span<const VariantRow>> variant_tables();
std::span<const ConfigRow> config_table();
std::span<const AdapterRow> adapter_table();
std::span<const AdapterBaseRow> adapter_base_table();
std::span<const LicenceRow> licence_table();
std::span<const PartRow> part_table();
/// Configuration keys that state a size: (key, size's name).
struct SizeKeyRow {
  std::string_view key;
  std::string_view size;
};
std::span<const SizeKeyRow> size_key_table();

/// One dimension of a key's shape.
struct DimRule {
  enum class Kind : std::uint8_t { kAny, kChoice, kName, kRest } kind = Kind::kAny;
  std::vector<std::int64_t> choices;
  std::string_view name;
  std::int64_t factor = 1;
};

enum class Need : std::uint8_t { kRequired, kSupport, kForbidden, kOptional };

/// A line of Signature::keys, parsed.
struct KeyRule {
  Need need = Need::kRequired;
  bool from_parent = false;
  bool literal = false;                  ///< holds a number, so the exact name counts
  std::string_view text;                 ///< the name as the table writes it, without ^
  std::string form;                      ///< folded
  std::vector<std::string_view> counts;  ///< names of the wildcards, "n" where not counted
  bool has_shape = false;
  std::vector<DimRule> shape;
};

struct ParsedSignature {
  const Signature* row = nullptr;
  std::vector<KeyRule> keys;  ///< the anchor is the first with Need::kRequired
  std::size_t anchor = 0;
  std::vector<std::string_view> covers;
};

/// Parses one row. False, with what is wrong, if the row does not follow the rules above (a test
/// parses them all).
bool parse_signature(const Signature& row, ParsedSignature* out, std::string* problem);

/// All signatures, parsed once.
const std::vector<ParsedSignature>& signatures();

/// Pieces of `text` between `separator`s, without empty ones.
std::vector<std::string_view> split(std::string_view text, char separator);

}  // namespace kilter::model

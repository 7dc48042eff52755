// What Kilter knows about names in pickles: tables, one row each, with their sources.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "formats/pickle/machine.h"

namespace kilter::pickle {

/// How a known harmless name may be used. A call of another shape is a finding of its own.
enum class Shape : std::uint8_t {
  kData,           ///< may be called with any plain arguments: it only stores them
  kInstance,       ///< a class: made without constructor arguments, then given its state
  kNameOnly,       ///< may be named; a call is not expected
  kEnum,           ///< called with one plain value
  kEncode,         ///< _codecs.encode(text, 'latin1')
  kReconstructor,  ///< copyreg._reconstructor(known class, built-in base, …)
  kNewObject,      ///< copyreg.__newobj__(known class, …)
  kArrayOfClass,   ///< first argument a known class: numpy's _reconstruct and its like
  kRebuildOfType,  ///< torch's _rebuild_from_type_v2(known function, known class, …)
  kTypeOfNone,     ///< type(None)
  kSized,          ///< bytes, bytearray, list, …: plain arguments, no huge number
  kGetEnum,        ///< getattr(known class, 'NAME'): how some Pythons write enum members
  kLoadFromBytes,  ///< torch.storage._load_from_bytes(bytes): a whole torch file inside
  kRandomState,    ///< numpy's constructors of generators, which call what they are given
  kPartial,        ///< functools.partial(known function, …)
};

/// True for functions, which real files call and never keep as values.
constexpr bool is_function(Shape shape) {
  return shape == Shape::kEncode || shape == Shape::kGetEnum || shape == Shape::kLoadFromBytes ||
         shape == Shape::kReconstructor || shape == Shape::kNewObject ||
         shape == Shape::kRebuildOfType || shape == Shape::kPartial;
}

/// What may be added to an instance after it was made.
enum GrowFlags : std::uint8_t { kGrowsNot = 0, kGrowsMap = 1, kGrowsList = 2, kGrowsSet = 4 };

struct SafeRule {
  Shape shape = Shape::kData;
  std::uint8_t grows = kGrowsNot;
};

/// The rule for "module.name" of which `name` is a plain identifier; nullopt if it is not known
/// to be harmless.
std::optional<SafeRule> find_safe(std::string_view module, std::string_view name);

struct DangerRule {
  std::string_view name;  ///< "os", "builtins.eval"; a module covers all below it
  std::string_view why;   ///< "runs commands"
};

/// The rule that makes "module.name" dangerous, looking at every dotted part; nullptr if none.
/// Names that find_safe() knows are not asked.
const DangerRule* find_danger(std::string_view module, std::string_view name);

/// A global's name in Python 3's terms, as qualified_name() joins it.
struct PythonName {
  std::string module;
  std::string name;
};
PythonName python_name(const Node& global);

/// True if torch.load(weights_only=True) accepts the name.
bool weights_only_accepts(std::string_view module, std::string_view name);

/// A dotted path of Python identifiers (ASCII or not), as an import statement could name it.
bool is_dotted_identifier(std::string_view text);
bool is_identifier(std::string_view text);

}  // namespace kilter::pickle

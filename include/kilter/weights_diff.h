// kilter diff A B: what differs between two checkpoints, in numbers. Owned by the floor `ops`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kilter/checkpoint.h"
#include "kilter/dtype.h"

namespace kilter {

inline constexpr std::size_t kSpectrumAll = static_cast<std::size_t>(-1);
/// The four that changed most, where some matrices changed and others did not, as adapters have it.
inline constexpr std::size_t kSpectrumAuto = static_cast<std::size_t>(-2);

struct DiffOptions {
  std::string against;  ///< a third checkpoint: does B lie between A and it?
  /// Matrices whose difference is taken apart into directions, those that changed most; 0: none.
  /// Of more than 2^24 elements only with kSpectrumAll.
  std::size_t spectrum_tensors = kSpectrumAuto;
  unsigned thread_count = 0;
  OpenOptions open;
  RunContext context;
};

enum class WeightChange : std::uint8_t {
  kIdentical,           ///< the same dtype, shape and bits
  kEqualAfterRounding,  ///< the wider one, rounded to the narrower dtype, is the other
  kChanged,
  kShapeChanged,  ///< nothing was compared
  kTypeChanged,   ///< dtypes that cannot be compared as numbers
  kOnlyInA,
  kOnlyInB,
};
std::string_view change_name(WeightChange change);

/// Sums are over elements that are finite in both; binary64.
/// b = a + t (c - a), by least squares.
struct Interpolation {
  double t = 0;
  double residual = 1;  ///< what is left of b - a beside it: its norm over |b - a|
  double rounding = 0;  ///< what rounding b to its dtype leaves about, over |b - a|
};

/// Singular values of b - a.
struct SpectrumSummary {
  std::uint64_t rank = 0;      ///< so many directions, and noise as of rounding; 0: not of low rank
  std::vector<double> values;  ///< the strongest, at most 8
  double energy = 0;           ///< share of the squared norm in the strongest 64
};

struct TensorDiff {
  std::string name;    ///< in A; in B where only B has it
  std::string name_b;  ///< where it is another one
  std::string rule;    ///< what matched two names, for people; empty where they are the same
  std::string
      layout;  ///< "transposed", "rotary", "rows 0 to 1,024 of A"; empty: element by element
  WeightChange change = WeightChange::kIdentical;
  DType dtype_a = DType::kF32, dtype_b = DType::kF32;
  std::vector<std::int64_t> shape_a, shape_b;
  std::uint64_t elements = 0;    ///< compared
  std::uint64_t changed = 0;     ///< elements whose values differ (bits, where they are no floats)
  std::uint64_t not_finite = 0;  ///< elements NaN or infinite in one or both
  double largest = 0;            ///< max |b - a|
  double mean = 0;               ///< mean of b - a
  double rms = 0;                ///< of b - a
  double cosine = 1;             ///< of the angle between a and b
  double relative_norm = 0;      ///< |b - a| / |a|
  double norm_a = 0, norm_b = 0;
  std::optional<Interpolation> interpolation;  ///< with `against`, of what changed
  std::optional<SpectrumSummary> spectrum;     ///< of those that were chosen
};

/// The words of two tokenizers, by what they are, not by the order they stand in the file.
struct TokenizerDiff {
  std::string path;                         ///< "tokenizer.json"
  std::uint64_t words_a = 0, words_b = 0;   ///< added tokens too
  std::uint64_t added = 0, removed = 0;     ///< words only in B, only in A
  std::uint64_t moved = 0;                  ///< words with another number
  std::vector<std::string> added_examples;  ///< the ten with the lowest numbers
  std::vector<std::string> removed_examples;
  std::uint64_t merges_a = 0, merges_b = 0;
  bool merges_changed = false;
  struct Key {
    std::string key, before, after;  ///< as JSON; empty where there is none
  };
  std::vector<Key> keys;  ///< whatever else a tokenizer.json states
};

struct AgainstReport {
  std::string address;
  Interpolation total;
  std::uint64_t compared = 0, left_out = 0;  ///< changed tensors that C has, and has not
};

struct CheckpointDiff {
  using Key = TokenizerDiff::Key;
  std::string a, b;
  bool same = true;                 ///< every tensor identical, no metadata or document changed
  std::vector<TensorDiff> tensors;  ///< in A's order, then what only B has
  TensorDiff total;                 ///< over all that were compared as numbers
  /// Metadata (of safetensors) by keys, and files beside the weights (of folders).
  struct Text {
    std::string name;           ///< "__metadata__.step", "config.json"
    std::string before, after;  ///< of metadata; empty where there is none
    std::string file;           ///< of a file: "differs", "only in A", "only in B"
    std::vector<Key> keys;      ///< of a JSON file: paths ("rope_scaling.factor") that differ
  };
  std::vector<Text> texts;
  std::vector<TokenizerDiff> tokenizers;
  std::optional<AgainstReport> against;
  std::vector<std::string> guesses;  ///< what made B of A, for people, each with its evidence
  std::uint64_t read_bytes = 0;
  double seconds = 0;
};

/// Tensors are matched by name, without a container (`state_dict`, `model`, …) that holds all of
/// them; what is left by what wrappers and libraries make of names, by tensors one of the two has
/// fused, and by equal content. A matrix that is the other's transpose is compared as such, and so
/// are queries and keys in Meta's order of rows. Results do not depend on the number of threads.
/// Errors: as open_checkpoint(); kIo, kCorrupt, kCancelled.
Result<CheckpointDiff> diff_checkpoints(const std::string& a, const std::string& b,
                                        const DiffOptions& options = {});
std::string diff_json(const CheckpointDiff& diff);

}  // namespace kilter

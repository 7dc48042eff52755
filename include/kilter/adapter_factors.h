// kilter adapter extract, resize, combine: low-rank factors from weights, and from other factors.
// Owned by the floor `ops`.
//
// Factors are computed in binary64 and rounded once to the dtype they are written in. The bytes
// depend on inputs and on options that name content, never on threads, budget or processor (of one
// build; docs/guide/adapters-extract.md says how far that goes).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kilter/weights.h"

namespace kilter {

/// How many directions of each module are kept. With none of the others `rank` alone counts.
struct RankRule {
  std::size_t rank = 32;  ///< of each module; where another rule is given: at most
  /// As few as carry this share of the squares, in (0, 1].
  std::optional<double> energy;
  double value_min = 0;    ///< singular values at or below it are left out
  double value_ratio = 0;  ///< those below the first divided by it are left out; 0 = off
  /// As few as carry this share of the values' own sum, in (0, 1].
  std::optional<double> cumulative;
};

/// Which factor the singular values go into.
enum class FactorSplit : std::uint8_t {
  kEven,  ///< the square root into each
  kUp,    ///< lora_B, lora_up
  kDown,  ///< lora_A, lora_down
};

struct FactorOptions : WeightsOptions {
  RankRule rank;
  FactorSplit split = FactorSplit::kEven;
  DType dtype = DType::kF32;  ///< of the factors: f32, bf16 or f16
  std::string naming;  ///< "peft", "kohya", "diffusers", "comfyui"; "" = peft, or the input's
};

/// What became of each module.
struct FactorReport : WeightsReport {
  struct Module {
    std::string name;  ///< as the base or the first adapter names it
    std::size_t rows = 0, columns = 0, rank = 0;
    std::size_t rank_before = 0;  ///< of factors: what there was; 0 of weights
    double norm = 0;              ///< of what is approximated, Frobenius
    double error = 0;             ///< |it - what was written|, Frobenius: measured after rounding
    double energy = 1;            ///< share of norm² within the rank
    double next = 0;  ///< first singular value left out: an estimate of the error's spectral norm
  };
  std::vector<Module> modules;
  double norm = 0, error = 0;  ///< over all modules
  /// What differs and is in no module: its count, its norm, bytes of its tensors.
  std::uint64_t left_out = 0, left_out_bytes = 0;
  double left_out_norm = 0;
};

/// What becomes of a changed tensor that no factors are made for.
enum class Remainder : std::uint8_t {
  kLeave,    ///< it is left out and reported
  kWhole,    ///< the tuned tensor goes along whole (PEFT's modules_to_save)
  kFactors,  ///< of embeddings: factors too
};

struct ExtractOptions : FactorOptions {
  std::vector<std::string> modules;  ///< globs of module paths; empty = every linear and conv layer
  std::vector<std::string> exclude;  ///< globs; win over `modules`
  Remainder embeddings = Remainder::kLeave;
  Remainder others = Remainder::kLeave;  ///< norms, biases: kLeave or kWhole
  int iterations = 2;                    ///< of the power method: more come nearer to the best
  std::uint64_t seed = 0;
};

/// The adapter that turns `base` into about `tuned`: of each linear and convolutional layer the
/// strongest directions of its difference, by randomized SVD.
///
/// Errors: as open_checkpoint(); kInvalidArgument for tensors missing, extra or misshapen (unless
/// allowed: they are left out), globs that match nothing, models that do not differ; kMalformed for
/// NaN and infinities; kLimitExceeded where factors do not fit the memory budget.
Result<FactorReport> extract_adapter(const std::string& tuned, const std::string& base,
                                     const std::string& target, const ExtractOptions& options = {});

std::string factor_json(const FactorReport& report);

}  // namespace kilter

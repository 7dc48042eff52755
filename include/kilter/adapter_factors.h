// kilter adapter extract, resize, combine: low-rank factors. Owned by the floor `ops`.
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
  /// Of the factors: f32, bf16 or f16. Default: f32, or of other factors the widest they have.
  std::optional<DType> dtype;
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

struct ResizeOptions : FactorOptions {};

/// Another rank for each LoRA module, from its factors alone: QR of both, SVD of the small core.
/// Alpha is the rank afterwards. Tensors that are stored whole go along as they are.
///
/// Errors: as open_checkpoint(); kInvalidArgument for what is no adapter, and by name for modules
/// that are no plain LoRA (DoRA, LoHa, LoKr, IA3, Tucker forms).
Result<FactorReport> resize_adapter(const std::string& source, const std::string& target,
                                    const ResizeOptions& options = {});

enum class CombineMethod : std::uint8_t {
  kCat,             ///< factors side by side: the exact sum; ranks add up
  kLinear,          ///< factors are summed, so their products mix: as PEFT's "linear"
  kSvd,             ///< the exact sum, cut to a rank
  kTies,            ///< the differences, trimmed, with one sign each; cut to a rank
  kDareLinear,      ///< the differences, dropped at random and rescaled; cut to a rank
  kDareTies,        ///< the same, with one sign each
  kMagnitudePrune,  ///< the differences, trimmed; cut to a rank
};
std::string_view combine_method_name(CombineMethod method);  ///< "cat", "dare_ties", …
std::optional<CombineMethod> combine_method_from_name(std::string_view name);

struct CombineOptions : FactorOptions {
  CombineMethod method = CombineMethod::kCat;
  std::vector<double> weights;  ///< one for each adapter; empty: 1 each
  double density = 0.5;         ///< share of numbers kept, of ties, dare_* and magnitude_prune
  std::uint64_t seed = 0;       ///< of dare_*
};

/// One adapter that does what several do together, each with its weight. Modules are matched
/// across namings; one that an adapter lacks is nothing there. With a method that cuts, rank.rank 0
/// stands for the largest rank among the inputs'. The error is against the sum the method stands
/// for: of `linear` the weighted sum of differences, which it misses.
///
/// Errors: as resize_adapter(); kInvalidArgument for a wrong count of weights, shapes that differ,
/// ranks that differ in `linear`, and tensors stored whole (Allow::kValues takes the first's).
Result<FactorReport> combine_adapters(const std::vector<std::string>& sources,
                                      const std::string& target,
                                      const CombineOptions& options = {});

std::string factor_json(const FactorReport& report);

}  // namespace kilter

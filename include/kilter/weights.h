// kilter cast, average, merge: new weights from those there are. Owned by the floor `ops`.
//
// Arithmetic is binary64, element by element, in the order of the inputs, without fusing a product
// with a sum, rounded once at the end to nearest, ties to even. The bytes written depend on inputs
// and on options that name content, never on threads, tiles or budget.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kilter/checkpoint.h"
#include "kilter/dtype.h"
#include "kilter/output_options.h"

namespace kilter {

/// What a preflight refuses unless it is allowed. Each is recorded in the output's recipe.
enum class Allow : std::uint8_t {
  kMissing,    ///< "missing": an input lacks a tensor; the others' weights are scaled up for it
  kExtra,      ///< "extra": an input has a tensor that the first lacks; it is dropped
  kShape,      ///< "shape": shapes differ; the first's tensor is taken
  kDType,      ///< "dtype": float dtypes differ; the output has the first's
  kValues,     ///< "values": tensors that are no floats differ; the first's is taken
  kNonFinite,  ///< "nonfinite": NaN and infinities in inputs
  kOverflow,   ///< "overflow": numbers too large for the output's dtype become infinite (448 in
               ///< f8_e4m3fn)
};
std::string_view allow_name(Allow allow);
std::optional<Allow> allow_from_name(std::string_view name);

/// How weights are written.
struct WeightsOptions : OutputOptions {
  std::set<Allow> allow;
};

/// What became of every tensor.
struct WeightsReport {
  struct Tensor {
    std::string name;
    std::string fate;    ///< "cast", "blended", "copied", "dropped"
    std::string reason;  ///< what was allowed, or the rule
    DType from = DType::kF32, to = DType::kF32;
    std::uint64_t bytes = 0;  ///< in the output
    // Of casts, once they ran: what rounding did.
    bool measured = false;
    std::uint64_t too_large = 0;  ///< finite numbers beyond the dtype
    double rms_error = 0, largest_error = 0, cosine = 1;
  };
  std::string verb, target_path, target_format;
  std::vector<std::string> sources;
  std::vector<Tensor> tensors;
  std::vector<std::pair<std::string, std::uint64_t>> files;  ///< name, bytes
  std::vector<std::string> notes;                            ///< what a reader should know
  std::string recipe;                                        ///< spec/recipe.md, as it was recorded
  std::uint64_t read_bytes = 0, written_bytes = 0;
  double seconds = 0;
  bool dry_run = false;
  double rms_error = 0, largest_error = 0, cosine = 1;  ///< over all that were measured
};

struct CastOptions : WeightsOptions {
  DType dtype = DType::kBF16;
  std::vector<std::pair<std::string, DType>> keep;  ///< glob, dtype: the first that matches rules
};

/// Every float tensor of `source` in another dtype: f64, f32, bf16, f16, f8_e4m3fn or f8_e5m2; the
/// others as they are. Float dtypes that are not in that list are left alone.
///
/// Errors: as open_checkpoint(); kInvalidArgument (no such dtype, a glob that matches nothing);
/// kOutOfRange where a number is too large, unless allowed; kAlreadyExists; kNoSpace; kCancelled.
Result<WeightsReport> cast(const std::string& source, const std::string& target,
                           const CastOptions& options = {});

struct BlendOptions : WeightsOptions {
  std::optional<DType> dtype;  ///< of the output's floats; default: each as in the first input
};

/// sum of weights[i] / (sum of weights) * sources[i]. No weights: all alike. Matched by name, as
/// select_tensors() leaves them (without a container such as `state_dict`).
///
/// Errors: kInvalidArgument for a wrong count of weights, weights whose sum is 0 or not finite,
/// and for whatever the preflight refuses (tensors missing, extra, of other shape or dtype; named,
/// with the option that allows it); kMalformed for NaN or infinity in an input.
Result<WeightsReport> average(const std::vector<std::string>& sources, const std::string& target,
                              const std::vector<double>& weights, const BlendOptions& options = {});

/// (1 - ratio) * a + ratio * b: ratio 0 is `a`, as in the checkpoint mergers of the web UIs
/// (ComfyUI's ModelMergeSimple counts the other way: its ratio 1 is the first model).
Result<WeightsReport> merge_weighted(const std::string& a, const std::string& b, double ratio,
                                     const std::string& target, const BlendOptions& options = {});

/// On the great circle from a to b, tensor by tensor: sin((1 - ratio) w) / sin w * a + sin(ratio w)
/// / sin w * b, w the angle between the two; straight where |cos w| > 0.9995 or one is zero.
/// Reads both twice.
Result<WeightsReport> merge_slerp(const std::string& a, const std::string& b, double ratio,
                                  const std::string& target, const BlendOptions& options = {});

/// a + ratio * b - ratio * c.
Result<WeightsReport> merge_add_difference(const std::string& a, const std::string& b,
                                           const std::string& c, double ratio,
                                           const std::string& target,
                                           const BlendOptions& options = {});

/// BLAKE3 in hexadecimal over names, dtypes, shapes and elements of all tensors, whatever files
/// and format they lie in. Source: spec/recipe.md.
Result<std::string> content_digest(const Checkpoint& checkpoint, unsigned thread_count = 0,
                                   const RunContext& context = {});

/// The addresses of the inputs that the recipe of `address` names. Errors: as reproduce().
Result<std::vector<std::string>> recipe_sources(const std::string& address,
                                                const OpenOptions& options = {});

struct ReproduceReport {
  std::string recipe;
  std::string expected, found;  ///< content digests
  bool same = false;
  WeightsReport made;
};

/// Makes `address` again from the recipe it carries, into `target`, and compares contents.
/// Options that name content come from the recipe.
/// Errors: kNotFound if there is no recipe or an input is gone; kCorrupt if an input's content is
/// not what the recipe states; as the operation itself.
Result<ReproduceReport> reproduce(const std::string& address, const std::string& target,
                                  const WeightsOptions& options = {});

std::string weights_json(const WeightsReport& report);

}  // namespace kilter

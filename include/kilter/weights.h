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
    // Of pruned tensors, once they ran.
    bool counted = false;
    std::uint64_t elements = 0, zeros_before = 0, zeros_after = 0;
  };
  /// What is no tensor: nested state, companions, metadata.
  struct Value {
    std::string path;    ///< "optimizer.param_groups.0.lr", "config.json"
    std::string fate;    ///< "kept", "changed", "dropped"
    std::string reason;  ///< the rule
  };
  std::string verb, target_path, target_format;
  std::vector<std::string> sources;
  std::vector<Tensor> tensors;
  std::vector<Value> values;                                 ///< of the first source
  std::vector<std::pair<std::string, std::uint64_t>> files;  ///< name, bytes
  std::vector<std::string> notes;                            ///< what a reader should know
  std::string recipe;                                        ///< spec/recipe.md, as it was recorded
  std::uint64_t read_bytes = 0, written_bytes = 0;
  std::uint64_t resumed_bytes = 0;  ///< of the written ones: were there from an interrupted run
  double seconds = 0;
  bool dry_run = false;
  /// Of a dry run: what the work would take, from a part of it that was done and thrown away.
  struct Estimate {
    std::uint64_t memory_bytes = 0;  ///< buffers, at most
    double seconds = 0;  ///< to read and compute; digests of the inputs and the disk come on top
  };
  std::optional<Estimate> estimate;
  double rms_error = 0, largest_error = 0, cosine = 1;            ///< over all that were measured
  std::uint64_t elements = 0, zeros_before = 0, zeros_after = 0;  ///< over all that were counted
  std::optional<std::uint64_t> saved_bytes;  ///< of strip: what the source's files are longer by
};

/// How f8 weights carry the numbers they must be multiplied with. Source: docs/guide/slim.md.
enum class ScaleLayout : std::uint8_t {
  kNone,               ///< "none": plain f8
  kDeepseek,           ///< "deepseek": NAME_scale_inv, one for each block
  kCompressedTensors,  ///< "compressed-tensors": NAME_scale, one for each tensor
  kComfyui,            ///< "comfyui": scale_weight beside weight, and the marker scaled_fp8
};
std::string_view scale_layout_name(ScaleLayout layout);
std::optional<ScaleLayout> scale_layout_from_name(std::string_view name);

struct WeightScales {
  ScaleLayout layout = ScaleLayout::kNone;
  std::int64_t block_rows = 128, block_columns = 128;  ///< of kDeepseek
};

struct CastOptions : WeightsOptions {
  DType dtype = DType::kBF16;
  std::vector<std::pair<std::string, DType>> keep;  ///< glob, dtype: the first that matches rules
  /// With f8 dtypes: the matrices of linear layers get scales, everything else stays as it is.
  WeightScales scales;
};

/// Every float tensor of `source` in another dtype: f64, f32, bf16, f16, f8_e4m3fn or f8_e5m2; the
/// others as they are. Float dtypes that are not in that list are left alone. f8 weights of
/// `source` that have scales are multiplied with them, and the scales go.
///
/// Errors: as open_checkpoint(); kInvalidArgument (no such dtype, a glob that matches nothing,
/// scales for a dtype that the layout's readers do not take); kUnsupported for scales that are not
/// understood;
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

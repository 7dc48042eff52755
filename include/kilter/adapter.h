// kilter adapter: LoRA and its kin, read, applied, spelled again. Owned by the floor `ops`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/weights.h"

namespace kilter {

/// What an adapter is and what it touches, from names, shapes and configuration.
struct AdapterReport {
  struct Module {
    std::string part;  ///< "unet", "text_encoder", …; empty where the adapter is for one model
    std::string path;  ///< as the naming spells it
    std::string kind;  ///< "lora", "dora", "loha", "lokr", "ia3", "full-diff", "replaced"
    std::vector<std::int64_t> shape;  ///< of the difference its factors make; empty: none
    std::int64_t rank = 0;            ///< 0 where there is none
    std::optional<double> alpha;      ///< as stated
    double scale = 1;                 ///< alpha / rank, or alpha / sqrt(rank)
    bool rank_stabilized = false, embedding = false;
    std::uint64_t tensor_count = 0, parameter_count = 0, bytes = 0;
  };
  std::string path;
  std::string kind;     ///< the most frequent module's
  std::string naming;   ///< "peft", "diffusers", "kohya", "comfyui"
  std::string dialect;  ///< an older or rarer form of it; empty for the common one
  std::string base;     ///< the base model it states, and where
  std::string base_source, base_hash;
  std::string architecture, architecture_title;  ///< what its names and shapes fit
  std::vector<Module> modules;
  std::vector<std::pair<std::string, std::string>> ignored;  ///< tensor, why
  std::vector<std::string> unsupported;  ///< settings no rule follows: it cannot be applied
  bool scale_unknown = false;            ///< no configuration states alpha
  std::vector<std::pair<std::string, std::string>> stated;  ///< ss_*, modelspec.*, configuration
  std::uint64_t parameter_count = 0, bytes = 0;
  std::vector<std::pair<DType, std::uint64_t>> dtypes;  ///< dtype, tensors
};

/// Errors: as open_checkpoint(); kInvalidArgument if it is no adapter; kMalformed for factors that
/// do not fit each other or a configuration that cannot be read.
Result<AdapterReport> inspect_adapter(const std::string& address, const OpenOptions& options = {});

struct AdapterStrength {
  std::string address;
  double strength = 1;
};

/// The base with adapters applied, one after the other as given, in binary64, rounded once into the
/// base's dtypes. Strength s: W + s · ΔW for what adds; of what rescales or replaces (DoRA, IA3,
/// modules_to_save) the way from the old tensor to the new one is gone s of it.
///
/// Bases: folders of transformers and diffusers, single files, and the original files of SD 1, 2
/// and XL; layers are found whatever naming either side has.
///
/// Errors: kInvalidArgument naming the modules that are not in the base or do not fit it, with what
/// would allow it (kMissing, kShape, kExtra: they are left out; whole tensors are added or take the
/// base's place); kUnsupported for a quantized base and for adapters whose configuration no rule
/// follows; kMalformed for NaN or infinity; kOutOfRange; as open_checkpoint().
Result<WeightsReport> apply_adapters(const std::string& base,
                                     const std::vector<AdapterStrength>& adapters,
                                     const std::string& target, const WeightsOptions& options = {});

struct AdapterConvertOptions : WeightsOptions {
  std::string naming;  ///< "peft", "diffusers", "kohya", "comfyui"
};

/// The same adapter in another naming: the bits of its factors are unchanged, alpha goes where the
/// naming keeps it. What one naming says and another has no place for is kept in the metadata
/// `kilter.adapter`, so that the way back gives the same tensors. PEFT's naming wants a folder.
///
/// Errors: kInvalidArgument naming what the naming cannot say; as inspect_adapter() and cast().
Result<WeightsReport> convert_adapter(const std::string& source, const std::string& target,
                                      const AdapterConvertOptions& options);

/// Source: spec/cli-json.md.
std::string adapter_json(const AdapterReport& report);

}  // namespace kilter

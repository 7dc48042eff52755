// What the commands that make low-rank factors have in common.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kilter/adapter_factors.h"

#include "cli/weights_options.h"

namespace kilter::cli {

inline constexpr OptionSpec kFactorOptions[] = {
    {"-d,--dtype", ValueKind::kText, "DTYPE",
     "Of the factors: f32, bf16 or f16; default f32, or as the factors that are given"},
    {"--naming", ValueKind::kChoice, "NAMING",
     "peft (a folder with adapter_config.json), kohya, diffusers or comfyui (one file)", false,
     "peft kohya diffusers comfyui"},
    {"--split", ValueKind::kChoice, "WHERE",
     "The singular values go evenly into both factors (default), all up (B) or all down (A)", false,
     "even up down"},
};

/// A command's own options, those of factors, then the common ones.
template <std::size_t Own>
constexpr auto with_factor_options(const OptionSpec (&own)[Own]) {
  constexpr std::size_t kFactors = std::size(kFactorOptions), kCommon = std::size(kWeightsOptions);
  std::array<OptionSpec, Own + kFactors + kCommon> out{};
  for (std::size_t i = 0; i < Own; ++i) out[i] = own[i];
  for (std::size_t i = 0; i < kFactors; ++i) out[Own + i] = kFactorOptions[i];
  for (std::size_t i = 0; i < kCommon; ++i) out[Own + kFactors + i] = kWeightsOptions[i];
  return out;
}

/// Errors: kInvalidArgument for values no option takes.
Status read_factor_options(const Invocation& invocation, FactorOptions& options);
/// A whole number of at least 1.
Result<std::size_t> read_rank(const Arguments& arguments, std::string_view name,
                              std::size_t otherwise);
/// "0.95" in (0, 1]; nullopt if the option is absent.
Result<std::optional<double>> read_share(const Arguments& arguments, std::string_view name);

/// "0.7,-0.3"; empty for "".
Result<std::vector<double>> read_numbers(const std::string& text, std::string_view option);

/// Ranks and errors in all and where they are worst; every module with --report. JSON with --json.
int print_factors(const Result<FactorReport>& report, const Invocation& invocation);

}  // namespace kilter::cli

// What every command that writes weights has in common.
#pragma once

#include <array>

#include "kilter/weights.h"

#include "cli/command.h"

namespace kilter::cli {

inline constexpr OptionSpec kWeightsOptions[] = {
    {"--to", ValueKind::kChoice, "FORMAT",
     "safetensors, torch, npz or dcp; default: by DST's extension", false,
     "safetensors torch npz dcp"},
    {"--max-shard-size", ValueKind::kBytes, "SIZE",
     "Write shards of at most SIZE and an index into the folder DST (safetensors)"},
    {"--allow", ValueKind::kText, "KIND",
     "Go on where the inputs do not fit: missing, extra, shape, dtype, values, nonfinite or "
     "overflow; recorded in the recipe; repeatable",
     true},
    {"-n,--dry-run", ValueKind::kFlag, "", "Say what would be written, write nothing"},
    {"--resume", ValueKind::kFlag, "",
     "Keep what is written when interrupted, and go on from there when run again (safetensors)"},
    {"-f,--force", ValueKind::kFlag, "", "Replace DST if it exists"},
    {"--eval", ValueKind::kText, "CMD",
     "Run CMD (your own; through the shell) on the first input and on DST, {} or $KILTER_MODEL "
     "being the address, and report exit status, seconds and its last line that is a number or "
     "JSON"},
    {"--report", ValueKind::kFlag, "", "List every tensor, not only the noteworthy"},
    {"--max-memory", ValueKind::kBytes, "SIZE", "Memory for buffers; default 512MiB"},
    {"--threads", ValueKind::kCount, "N", "Threads; default: all processors"},
    {"--buffered", ValueKind::kFlag, "", "Do not bypass the page cache when writing"},
};

/// A command's own options, then the common ones.
template <std::size_t Own>
constexpr auto with_weights_options(const OptionSpec (&own)[Own]) {
  std::array<OptionSpec, Own + std::size(kWeightsOptions)> out{};
  for (std::size_t i = 0; i < Own; ++i) out[i] = own[i];
  for (std::size_t i = 0; i < std::size(kWeightsOptions); ++i) out[Own + i] = kWeightsOptions[i];
  return out;
}

inline constexpr std::string_view kWeightsStatuses =
    "0    written (or would be, with --dry-run)\n"
    "1    written, but --eval CMD failed on one of both\n"
    "2    wrong usage, inputs that do not fit together, or DST exists and --force was not given\n"
    "3    an input is malformed, no checkpoint, or has NaN where it must not\n"
    "4    not found\n"
    "5    I/O error or no space; nothing of DST stays\n"
    "130  interrupted; nothing of DST stays";

/// Errors: kInvalidArgument for an unknown --allow.
Status read_weights_options(const Invocation& invocation, WeightsOptions& options);
/// Errors: kInvalidArgument with the names there are.
Result<DType> read_float_dtype(const std::string& name);
/// "0.3", "-1e-2". Errors: kInvalidArgument that names the option.
Result<double> read_number(const std::string& text, std::string_view option);

/// Runs what --eval says, if it is given. Summary, then every tensor that did not simply go across;
/// all of them with --report. JSON with
/// --json. Returns the exit status.
int print_weights(const Result<WeightsReport>& report, const Invocation& invocation);

}  // namespace kilter::cli

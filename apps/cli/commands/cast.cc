// kilter cast SRC DST --dtype D: float tensors in another dtype.
#include <cmath>

#include "base/try.h"
#include "cli/command.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace cast_command {

constexpr PositionalSpec kPositionals[] = {
    {"SRC", "A checkpoint: a file, a folder or a step in a store"},
    {"DST", "The file or folder to make; its extension says the format"}};
constexpr OptionSpec kOwn[] = {
    {"-d,--dtype", ValueKind::kText, "DTYPE", "f64, f32, bf16 (default), f16, f8_e4m3 or f8_e5m2"},
    {"--keep", ValueKind::kText, "GLOB=DTYPE",
     "Tensors whose name matches get this dtype instead; the first that matches; repeatable", true},
    {"--scales", ValueKind::kText, "LAYOUT",
     "With f8: scales as deepseek[:ROWSxCOLUMNS] (blocks, 128x128), compressed-tensors or comfyui "
     "(one for each tensor) have them; only weights of linear layers become f8 then. Default: "
     "none"},
};
constexpr auto kOptions = with_weights_options(kOwn);

/// "deepseek:64x64".
Status read_scales(const std::string& text, WeightScales& scales) {
  const auto colon = std::min(text.find(':'), text.size());
  const auto layout = scale_layout_from_name(text.substr(0, colon));
  if (!layout)
    return fail(Error(ErrorCode::kInvalidArgument, "--scales does not know '" + text + "'")
                    .advise("one of none, deepseek, deepseek:ROWSxCOLUMNS, compressed-tensors, "
                            "comfyui"));
  scales.layout = *layout;
  if (colon == text.size()) return ok();
  const std::string size = text.substr(colon + 1);
  const auto times = std::min(size.find('x'), size.size());
  KILTER_ASSIGN(const double rows, read_number(size.substr(0, times), "--scales"));
  KILTER_ASSIGN(const double columns,
                read_number(size.substr(std::min(times + 1, size.size())), "--scales"));
  const auto fits = [](double side) {
    return side >= 1 && side <= 65536 && side == std::floor(side);
  };
  if (*layout != ScaleLayout::kDeepseek || !fits(rows) || !fits(columns))
    return fail(Error(ErrorCode::kInvalidArgument, "--scales does not know '" + text + "'")
                    .advise("blocks go with deepseek: --scales deepseek:64x64"));
  scales.block_rows = static_cast<std::int64_t>(rows);
  scales.block_columns = static_cast<std::int64_t>(columns);
  return ok();
}

Status read_options(const Invocation& invocation, CastOptions& options) {
  KILTER_TRY(read_weights_options(invocation, options));
  KILTER_ASSIGN(options.dtype, read_float_dtype(invocation.arguments.text("dtype", "bf16")));
  KILTER_TRY(read_scales(invocation.arguments.text("scales", "none"), options.scales));
  for (const std::string& rule : invocation.arguments.all("keep")) {
    const auto equals = rule.find_last_of('=');
    if (equals == std::string::npos)
      return fail(ErrorCode::kInvalidArgument, "--keep wants GLOB=DTYPE, not '" + rule + "'");
    KILTER_ASSIGN(const DType dtype, read_float_dtype(rule.substr(equals + 1)));
    options.keep.emplace_back(rule.substr(0, equals), dtype);
  }
  return ok();
}

int run(const Invocation& invocation) {
  const auto& paths = invocation.arguments.positionals;
  CastOptions options;
  if (const Status read = read_options(invocation, options); !read)
    return report_error(read.error(), invocation.terminal);
  const auto files = store::files_for({paths.at(0)}, &options.max_memory_bytes);
  options.open.files = files.get();
  return print_weights(cast(paths.at(0), paths.at(1), options), invocation);
}

}  // namespace cast_command
}  // namespace

const CommandSpec kCastCommand = {
    .name = "cast",
    .summary = "Write the floats of a checkpoint in another dtype",
    .description =
        "Each number is rounded once, to nearest, ties to even. What is too large for the dtype is "
        "refused unless --allow overflow is given (it becomes infinite, 448 in f8_e4m3). Integers, "
        "bools, quantized and complex tensors stay as they are, and so do NaN and infinities. "
        "Afterwards the error that rounding caused is printed, with the worst tensors. A folder's "
        "config.json is told the new dtype.\n"
        "f8 whose weights have scales (weight_scale_inv, weight_scale, scale_weight) is multiplied "
        "out on the way, and the scales go. --scales writes such f8.",
    .positionals = cast_command::kPositionals,
    .options = cast_command::kOptions,
    .examples =
        "kilter cast model.safetensors small.safetensors                 # bf16\n"
        "kilter cast trained/ half/ --dtype f16 --keep '*norm*=f32'\n"
        "kilter cast model/ f8/ --dtype f8_e4m3 --scales deepseek         # opens with "
        "transformers\n"
        "kilter cast f8/ bf16/                                            # and back\n"
        "kilter cast runs.kilter@best out.safetensors --dtype bf16 --dry-run",
    .exit_statuses = kWeightsStatuses,
    .run = cast_command::run,
};

}  // namespace kilter::cli

// kilter average A B C -o DST: soups, stochastic weight averages.
#include <vector>

#include "base/try.h"
#include "cli/command.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace average_command {

constexpr PositionalSpec kPositionals[] = {
    {"SRC", "Checkpoints of one model: files, folders or steps in a store", true}};
constexpr OptionSpec kOwn[] = {
    {"-o,--output", ValueKind::kPath, "DST", "The file or folder to make; required"},
    {"-w,--weights", ValueKind::kText, "W,W",
     "One number for each SRC; divided by their sum. Default: all alike"},
    {"-d,--dtype", ValueKind::kText, "DTYPE",
     "Write floats as f64, f32, bf16, f16, f8_e4m3 or f8_e5m2; default: as in the first SRC"},
};
constexpr auto kOptions = with_weights_options(kOwn);

Result<std::vector<double>> read_list(const std::string& text) {
  std::vector<double> out;
  for (std::size_t at = 0; at <= text.size() && !text.empty();) {
    const auto comma = std::min(text.find(',', at), text.size());
    KILTER_ASSIGN(const double value, read_number(text.substr(at, comma - at), "--weights"));
    out.push_back(value);
    at = comma + 1;
  }
  return out;
}

Result<WeightsReport> make(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  if (!arguments.has("output"))
    return fail(Error(ErrorCode::kInvalidArgument, "where shall it go?").advise("give -o DST"));
  BlendOptions options;
  KILTER_TRY(read_weights_options(invocation, options));
  KILTER_ASSIGN(const std::vector<double> weights, read_list(arguments.text("weights")));
  if (arguments.has("dtype")) {
    KILTER_ASSIGN(options.dtype, read_float_dtype(arguments.text("dtype")));
  }
  const auto files = store::files_for(arguments.positionals, &options.max_memory_bytes);
  options.open.files = files.get();
  return average(arguments.positionals, arguments.text("output"), weights, options);
}

int run(const Invocation& invocation) { return print_weights(make(invocation), invocation); }

}  // namespace average_command
}  // namespace

const CommandSpec kAverageCommand = {
    .name = "average",
    .summary = "Average the weights of several checkpoints of one model",
    .description =
        "A soup of fine-tunes, or the average of the last steps of a run. Computed in binary64 and "
        "rounded once; the bytes are the same for any number of threads and any --max-memory. All "
        "inputs must have the same tensors, shapes and dtypes: what does not fit is named before "
        "anything is written, and --allow lets one kind of it pass. Integers must be equal. The "
        "recipe (inputs with their digests, weights) goes along: `kilter reproduce DST` makes it "
        "again.",
    .positionals = average_command::kPositionals,
    .options = average_command::kOptions,
    .examples =
        "kilter average tuned-*.safetensors -o soup.safetensors\n"
        "kilter average a.pt b.pt -w 3,1 -o mixed.safetensors --dtype f32\n"
        "kilter average runs.kilter@step:900 runs.kilter@step:1000 -o swa.safetensors",
    .exit_statuses = kWeightsStatuses,
    .run = average_command::run,
};

}  // namespace kilter::cli

// kilter average A B C -o DST: soups, stochastic weight averages.
#include <vector>

#include "base/try.h"
#include "cli/command.h"
#include "cli/federated_options.h"
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
constexpr auto kAll = with_federated_options(kOwn);
constexpr auto kOptions = with_weights_options(kAll.rows);

Result<WeightsReport> make(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  for (const OptionSpec& option : kFederatedOptions)
    if (const auto name = option.flags.substr(2); arguments.has(name))
      return fail(
          Error(ErrorCode::kInvalidArgument, "--" + std::string(name) + " goes with --federated"));
  BlendOptions options;
  KILTER_TRY(read_weights_options(invocation, options));
  KILTER_ASSIGN(const std::vector<double> weights, read_number_list(arguments, "weights"));
  if (arguments.has("dtype")) {
    KILTER_ASSIGN(options.dtype, read_float_dtype(arguments.text("dtype")));
  }
  const auto files = store::files_for(arguments.positionals, &options.max_memory_bytes);
  options.open.files = files.get();
  return average(arguments.positionals, arguments.text("output"), weights, options);
}

int run(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  if (!arguments.has("output"))
    return report_error(
        Error(ErrorCode::kInvalidArgument, "where shall it go?").advise("give -o DST"),
        invocation.terminal);
  if (arguments.has("federated"))
    return print_federated(make_federated(invocation, arguments.positionals), invocation);
  return print_weights(make(invocation), invocation);
}

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
        "again.\n"
        "--federated is G + sum of n_i / N * (SRC_i - G). A client whose tensors do not fit, whose "
        "numbers are not finite or whose update is too large is rejected with the reason, and the "
        "rest go on. With --clip and --noise the privacy bound of the round is printed (the "
        "analytic "
        "Gaussian mechanism), with what it assumes.",
    .positionals = average_command::kPositionals,
    .options = average_command::kOptions,
    .examples =
        "kilter average tuned-*.safetensors -o soup.safetensors\n"
        "kilter average a.pt b.pt -w 3,1 -o mixed.safetensors --dtype f32\n"
        "kilter average runs.kilter@step:900 runs.kilter@step:1000 -o swa.safetensors\n"
        "kilter average --federated client-*.safetensors --base g.safetensors -o next.safetensors "
        "\\\n"
        "    --max-update-ratio 5 --clip 1.0 --noise 0.8",
    .exit_statuses = kWeightsStatuses,
    .run = average_command::run,
};

}  // namespace kilter::cli

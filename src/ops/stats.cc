// The numbers in a checkpoint.
#include "kilter/stats.h"

#include <algorithm>
#include <chrono>

#include "base/text.h"
#include "base/try.h"
#include "ops/stats/tensor_numbers.h"
#include "ops/weights/weights_input.h"

namespace kilter {
namespace ops {
namespace {

bool fits_stats_globs(const std::vector<std::string>& globs, const std::string& name) {
  return globs.empty() || std::ranges::any_of(globs, [&](const std::string& glob) {
           return glob_match(glob, name);
         });
}

Result<std::vector<std::size_t>> select_for_stats(const WeightsInput& input,
                                                  const StatsOptions& options) {
  std::vector<std::size_t> tensors;
  for (std::size_t i = 0; i < input.names.size(); ++i)
    if (fits_stats_globs(options.only, input.names[i]) ||
        fits_stats_globs(options.only, input.info(i).name))
      tensors.push_back(i);
  if (!tensors.empty() || options.only.empty()) return tensors;
  Error error(ErrorCode::kInvalidArgument, "--only: no tensor has such a name");
  error.path = input.address;
  error.hint = "see the names with `kilter inspect --tensors`";
  return fail(std::move(error));
}

}  // namespace
}  // namespace ops

Result<CheckpointStats> checkpoint_stats(const std::string& address, const StatsOptions& options) {
  const auto begun = std::chrono::steady_clock::now();
  KILTER_ASSIGN(const ops::WeightsInput input,
                ops::open_weights(address, options.open, Part::kAll));
  KILTER_ASSIGN(const auto tensors, ops::select_for_stats(input, options));
  CheckpointStats out;
  out.address = address;
  for (const std::size_t tensor : tensors) {
    TensorStats row;
    row.name = input.names[tensor];
    row.dtype = input.info(tensor).dtype;
    row.shape = input.info(tensor).shape;
    out.read_bytes += input.info(tensor).bytes();
    out.tensors.push_back(std::move(row));
  }
  KILTER_TRY(ops::measure_tensors(input.checkpoint, tensors, options, out));
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  return out;
}

}  // namespace kilter

#include "ops/weights/weights_input.h"

#include "base/try.h"
#include "ops/selection.h"

namespace kilter::ops {

std::optional<std::size_t> WeightsInput::find(std::string_view name) const {
  const auto found = by_name.find(name);
  return found == by_name.end() ? std::nullopt : std::optional(found->second);
}

Result<WeightsInput> open_weights(const std::string& address, const OpenOptions& options,
                                  Part part) {
  KILTER_ASSIGN(Checkpoint checkpoint, open_checkpoint(address, options));
  ConvertOptions wanted;
  wanted.part = part;
  wanted.open = options;
  KILTER_ASSIGN(const Selection selection, select_tensors(checkpoint.data(), wanted));
  WeightsInput input{address, std::move(checkpoint), {}, {}};
  input.names.resize(selection.tensors.size());
  for (const Selected& one : selection.tensors) input.names[one.tensor] = one.name;
  for (std::size_t i = 0; i < input.names.size(); ++i)
    if (!input.names[i].empty()) input.by_name.emplace(input.names[i], i);
  return input;
}

}  // namespace kilter::ops

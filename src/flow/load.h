// A whole checkpoint's tensors into memory, as fast as the machine can.
#pragma once

#include <memory>

#include "kilter/loaded_tensors.h"
#include "kilter/progress.h"

#include "flow/source.h"

namespace kilter {

Result<std::unique_ptr<LoadedTensors>> load_tensors(std::shared_ptr<const Source> source,
                                                    LoadMode mode, const RunContext& context);

}  // namespace kilter

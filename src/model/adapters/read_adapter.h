// From a checkpoint's names, shapes and configuration to what its adapter does.
#pragma once

#include "kilter/checkpoint.h"

#include "model/adapters/description.h"

namespace kilter::model {

/// Reads an adapter in any known naming: kohya and LyCORIS, PEFT (folder, or file with
/// adapter_config.json beside it), diffusers (now and in 2023), ComfyUI. Of tensors only scalars
/// (.alpha) are read. Every tensor ends up in a module or in `ignored`.
///
/// Errors: kInvalidArgument if no tensor belongs to an adapter; kMalformed for a config that is no
/// JSON or has wrong types, factors that do not fit together, an alpha that is no finite scalar;
/// kIo.
Result<AdapterDescription> read_adapter(const Checkpoint& checkpoint,
                                        const OpenOptions& options = {});

}  // namespace kilter::model

// PyTorch's three containers: zip (1.6 and later), the legacy stream (0.1.10 to 1.5), tar (before).
#pragma once

#include "formats/format.h"

namespace kilter::formats {

/// "torch-zip": also TorchScript archives. The one of the three that Kilter writes.
const Format& torch_zip_format();
/// "torch-legacy": magic, protocol 1001, system info, object, keys, raw storages.
const Format& torch_legacy_format();
/// "torch-tar": members sys_info, pickle, storages and mostly tensors.
const Format& torch_tar_format();

}  // namespace kilter::formats

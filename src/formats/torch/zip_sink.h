// Writes torch's zip archives.
#pragma once

#include <memory>

#include "flow/sink.h"
#include "formats/format.h"

namespace kilter::torch {

/// A sink for one file STEM + extension (".pt" if none) that torch.load(weights_only=True) opens.
std::unique_ptr<Sink> make_zip_sink(const formats::WriteOptions& options);

}  // namespace kilter::torch

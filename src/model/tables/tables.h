// The tables of this folder, for the one place that lists them (tables.cc).
#pragma once

#include <span>

#include "model/signature.h"

namespace kilter::model::tables {

std::span<const Signature> diffusion_unets();
std::span<const Signature> diffusion_transformers();
std::span<const Signature> diffusion_parts();
std::span<const Signature> decoders_llama();
std::span<const Signature> decoders_other();
std::span<const Signature> encoders();
std::span<const Signature> speech();
std::span<const Signature> vision();

std::span<const VariantRow> variants_diffusion();
std::span<const VariantRow> variants_llama();
std::span<const VariantRow> variants_decoders();
std::span<const VariantRow> variants_encoders();
std::span<const VariantRow> variants_media();

}  // namespace kilter::model::tables

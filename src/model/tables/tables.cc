// Lists the tables. A new family is a row in one of them, never code.
#include "model/tables/tables.h"

#include <array>

namespace kilter::model {

std::span<const std::span<const Signature>> signature_tables() {
  static const std::array kAll = {
      tables::diffusion_unets(), tables::diffusion_transformers(),
      tables::diffusion_parts(), tables::decoders_llama(),
      tables::decoders_other(),  tables::encoders(),
      tables::speech(),          tables::vision(),
  };
  return kAll;
}

std::span<const std::span<const VariantRow>> variant_tables() {
  static const std::array kAll = {
      tables::variants_diffusion(), tables::variants_llama(), tables::variants_decoders(),
      tables::variants_encoders(),  tables::variants_media(),
  };
  return kAll;
}

}  // namespace kilter::model

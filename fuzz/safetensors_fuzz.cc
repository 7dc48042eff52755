// Any bytes as a .safetensors file: opened strictly and leniently, checked, scanned, read.
#include "format_fuzz.h"
#include "formats/safetensors/safetensors_format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  kilter::fuzz::exercise(kilter::formats::safetensors_format(), data, size);
  return 0;
}

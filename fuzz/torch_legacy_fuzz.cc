// Any bytes as torch's legacy stream: opened strictly and leniently, checked, scanned, read.
#include "format_fuzz.h"
#include "formats/torch/torch_formats.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  kilter::fuzz::exercise(kilter::formats::torch_legacy_format(), data, size);
  return 0;
}

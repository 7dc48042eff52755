// Any bytes as a .npz file: opened strictly and leniently, checked, scanned, read.
#include "format_fuzz.h"
#include "formats/npy/npy_formats.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  kilter::fuzz::exercise(kilter::formats::npz_format(), data, size);
  return 0;
}

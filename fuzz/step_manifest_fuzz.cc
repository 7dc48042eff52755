// kilter-step.json: nothing breaks, and what is accepted comes back the same when it is written.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "io/safe_path.h"
#include "train/step_manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace train = kilter::train;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto manifest = train::parse_manifest(text);
  if (!manifest) return 0;
  for (const train::ManifestFile& file : manifest->files) {
    if (!kilter::io::check_relative_name(file.path)) std::abort();
    for (const train::ManifestRun& run : file.runs)
      if (run.bytes == 0 || run.bytes > train::kRunBytesMax) std::abort();
  }
  const std::string written = train::manifest_text(*manifest);
  const auto again = train::parse_manifest(written);
  if (!again || train::manifest_text(*again) != written) std::abort();
  return 0;
}

// A distributed checkpoint: any metadata beside any data, opened, checked, scanned and read.
// The input is `.metadata`, 0x1e 0x1e 0x1e 0x1e, then the data file `__0_0.distcp`.
#include "format_fuzz.h"
#include "formats/dcp/dcp_format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kilter;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t between = input.find("\x1e\x1e\x1e\x1e");
  const auto files = io::make_memory_file_system();
  files->put("/d/.metadata", input.substr(0, between));
  if (between != std::string_view::npos) files->put("/d/__0_0.distcp", input.substr(between + 4));
  const auto probe = formats::make_probe(*files, "/d");
  if (!probe) return 0;
  const formats::Format& format = formats::dcp_format();
  for (const bool lenient : {false, true}) {
    OpenOptions options;
    options.lenient = lenient;
    options.header_bytes_max = 16 << 20;
    options.files = files.get();
    const auto opened = format.open({files.get(), "/d", &*probe, options});
    if (!opened && opened.error().path.empty()) std::abort();  // every error says where
    if (opened) fuzz::read_tensors(*files, *opened);
  }
  std::vector<Finding> findings;
  (void)format.check({files.get(), "/d", &*probe, true, {}}, &findings);
  (void)format.scan({files.get(), "/d", &*probe, true, {}}, &findings);
  return 0;
}

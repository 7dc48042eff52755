// A folder of documents and small files: opened, checked, scanned and recognized.
// The input is a list of files, each `name`, a newline, its content; 0x1e lies between them.
#include "kilter/identity.h"

#include "format_fuzz.h"
#include "io/safe_path.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kilter;
  constexpr std::size_t kFilesMax = 20;
  constexpr char kBetween = '\x1e';
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto files = io::make_memory_file_system();
  files->put("/d/config.json", "{}");
  for (std::size_t i = 0; i < kFilesMax && !rest.empty(); ++i) {
    const std::string_view file = rest.substr(0, rest.find(kBetween));
    rest.remove_prefix(std::min(rest.size(), file.size() + 1));
    const std::string_view name = file.substr(0, file.find('\n'));
    // The file system is ours: names that leave the folder could not stand in it.
    if (name.size() > 100 || name.size() == file.size() || !io::check_relative_name(name)) continue;
    files->put(std::string("/d/").append(name), file.substr(name.size() + 1));
  }
  for (const bool lenient : {false, true}) {
    OpenOptions options;
    options.lenient = lenient;
    options.header_bytes_max = 16 << 20;
    options.files = files.get();
    const auto opened = open_checkpoint("/d", options);
    if (!opened && opened.error().path.empty()) std::abort();  // every error says where
    if (!opened) continue;
    fuzz::read_tensors(*files, opened->data());
    (void)identify(opened->data());
  }
  const auto probe = formats::make_probe(*files, "/d");
  if (!probe) return 0;
  const auto* format = formats::recognize(*probe).format;
  std::vector<Finding> findings;
  if (format == nullptr) return 0;
  (void)format->check({files.get(), "/d", &*probe, true, {}}, &findings);
  (void)format->scan({files.get(), "/d", &*probe, true, {}}, &findings);
  return 0;
}

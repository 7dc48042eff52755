// A DeepSpeed folder of a few small files: opened, checked, scanned and read.
// The input is a list of files, each `name`, a newline, its content; 0x1e lies between them. What
// begins like a pickle stands for a torch file of that pickle with two storages.
#include "format_fuzz.h"
#include "formats/deepspeed/deepspeed_format.h"
#include "formats/zip/zip_test_support.h"
#include "io/safe_path.h"

namespace {

std::string torch_file(std::string_view pickle) {
  kilter::zip::ZipBuilder builder;
  builder.add("m/data.pkl", std::string(pickle)).add("m/byteorder", "little");
  builder.add("m/data/0", std::string(64, '\1')).add("m/data/1", std::string(64, '\2'));
  builder.add("m/version", "3\n");
  return builder.build();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kilter;
  constexpr std::size_t kFilesMax = 12;
  constexpr char kBetween = '\x1e';
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto files = io::make_memory_file_system();
  files->put("/d/latest", "t\n");
  for (std::size_t i = 0; i < kFilesMax && !rest.empty(); ++i) {
    const std::string_view file = rest.substr(0, rest.find(kBetween));
    rest.remove_prefix(std::min(rest.size(), file.size() + 1));
    const std::string_view name = file.substr(0, file.find('\n'));
    // The file system is ours: names that leave the folder could not stand in it.
    if (name.size() > 100 || name.size() == file.size() || !io::check_relative_name(name)) continue;
    const std::string_view content = file.substr(name.size() + 1);
    files->put(std::string("/d/").append(name),
               content.starts_with("\x80\x02") ? torch_file(content) : std::string(content));
  }
  const formats::Format& format = formats::deepspeed_format();
  const auto probe = formats::make_probe(*files, "/d");
  if (!probe || format.detect(*probe).score == 0) return 0;
  for (const bool lenient : {false, true}) {
    OpenOptions options;
    options.lenient = lenient;
    options.header_bytes_max = 16 << 20;
    options.files = files.get();
    const auto opened = format.open({files.get(), "/d", &*probe, options});
    if (opened) fuzz::read_tensors(*files, *opened);
    if (!opened && opened.error().path.empty()) std::abort();  // every error says where
  }
  std::vector<Finding> findings;
  (void)format.check({files.get(), "/d", &*probe, true, {}}, &findings);
  (void)format.scan({files.get(), "/d", &*probe, true, {}}, &findings);
  return 0;
}

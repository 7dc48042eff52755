// A bundle of any messages in a sound table: opened strictly and leniently, checked, scanned, read.
// The input is a list of entries, each a byte, a key of that length, two bytes, a value of that
// length; what is left over is the data file. Checksums of the table are made right.
#include "format_fuzz.h"
#include "formats/tensorflow/tensorflow_format.h"
#include "formats/tensorflow/tensorflow_test_support.h"

namespace {

/// Takes at most `count` bytes off the front.
std::string_view take(std::string_view* rest, std::size_t count) {
  const std::string_view out = rest->substr(0, count);
  rest->remove_prefix(out.size());
  return out;
}

std::size_t take_count(std::string_view* rest, std::size_t bytes) {
  std::size_t count = 0;
  for (const char c : take(rest, bytes)) count = count << 8U | static_cast<unsigned char>(c);
  return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kilter;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::map<std::string, std::string> entries;
  const bool compress = take_count(&rest, 1) % 2 == 1;
  for (std::size_t count = take_count(&rest, 1) % 32; count > 0 && !rest.empty(); --count) {
    const std::string key(take(&rest, take_count(&rest, 1)));
    entries[key] = std::string(take(&rest, take_count(&rest, 2)));
  }
  const auto files = io::make_memory_file_system();
  files->put("/m.index", tensorflow::test::table_of(entries, compress));
  for (const char* name : {"/m.data-00000-of-00001", "/m.data-00000-of-00002"})
    files->put(name, rest);
  files->put("/m.data-00001-of-00002", rest);
  const auto probe = formats::make_probe(*files, "/m.index");
  if (!probe) std::abort();
  const formats::Format& format = formats::tensorflow_format();
  for (const bool lenient : {false, true}) {
    OpenOptions options;
    options.lenient = lenient;
    options.header_bytes_max = 16 << 20;
    options.files = files.get();
    const auto opened = format.open({files.get(), "/m.index", &*probe, options});
    if (opened) fuzz::read_tensors(*files, *opened);
    if (!opened && opened.error().path.empty()) std::abort();  // every error says where
  }
  std::vector<Finding> findings;
  (void)format.check({files.get(), "/m.index", &*probe, true, {}}, &findings);
  (void)format.scan({files.get(), "/m.index", &*probe, true, {}}, &findings);
  return 0;
}

// Any bytes as a sorted table, and as one block of a sound one.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "format_fuzz.h"
#include "formats/tensorflow/tensorflow_format.h"
#include "formats/tensorflow/tensorflow_test_support.h"

namespace {

using namespace kilter;

/// `content` behind type `type` as the only block, its checksums right.
std::string table_around(std::string_view content, char type) {
  using namespace tensorflow::test;
  const auto block = [](std::string stored, char how) {
    stored += how;
    return stored + u32_bytes(masked_crc(stored));
  };
  const std::string handle = varint(0) + varint(content.size());
  std::string index = varint(0) + varint(1) + varint(handle.size());
  index.append("z").append(handle).append(u32_bytes(0)).append(u32_bytes(1));
  std::string out = block(std::string(content), type);
  std::string footer = varint(0) + varint(0) + varint(out.size()) + varint(index.size());
  out += block(index, '\0');
  footer.resize(40, '\0');
  return out.append(footer).append(tensorflow::kTableMagic);
}

void read(const std::string& content) {
  const auto files = io::make_memory_file_system();
  files->put("/f", content);
  const auto file = files->open_read("/f");
  if (!file) std::abort();
  const auto table = tensorflow::read_table(**file, 4 << 20);
  if (!table && table.error().path.empty()) std::abort();
  if (!table) return;
  const bool sorted = std::is_sorted(table->entries.begin(), table->entries.end(),
                                     [](const auto& a, const auto& b) { return a.key < b.key; });
  if (!sorted) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::exercise(formats::tensorflow_format(), data, size);
  const std::string content(reinterpret_cast<const char*>(data), size);
  read(content);
  for (const char type : {'\0', '\1', '\2'}) read(table_around(content, type));
  return 0;
}

// Any text as a shard index, and as a document that is scanned.
#include <cstdlib>

#include "formats/folder/documents.h"
#include "formats/folder/shard_index.h"
#include "io/safe_path.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kilter;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<Finding> findings;
  formats::scan_document("model.safetensors.index.json", text, &findings);
  formats::scan_document("text", text, &findings);
  (void)formats::parse_shard_name(text);
  const auto index = formats::parse_shard_index(text);
  if (!index) return 0;
  for (const std::string& name : index->files)
    if (!io::check_relative_name(name)) std::abort();  // no name that leads out gets through
  std::vector<TensorInfo> tensors(1);
  if (!index->tensors.empty()) tensors[0].name = index->tensors[0].first;
  std::vector<formats::ShardContent> shards(index->files.size());
  for (std::size_t i = 0; i < shards.size(); i += 2) shards[i] = {true, &tensors};
  (void)formats::reconcile_shards(*index, "index", shards);
  return 0;
}

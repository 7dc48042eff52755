#include "formats/dcp/entries.h"

#include <algorithm>

#include "base/try.h"
#include "flow/check_assembly.h"
#include "formats/findings.h"
#include "formats/merge_data.h"

namespace kilter::dcp {

Result<TensorInfo> add_assembled(std::shared_ptr<Assembly> assembly, TensorInfo whole,
                                 TensorIndex* index) {
  StorageInfo storage;
  if (!assembly->pieces.empty()) {
    const StorageInfo& first = index->storages[assembly->pieces.front().storage];
    storage.file = first.file;
    storage.device = first.device;
  }
  const bool empty = std::find(whole.shape.begin(), whole.shape.end(), 0) != whole.shape.end();
  // Shapes are checked with the assembly; only then do their bytes mean something.
  storage.bytes = empty ? 0 : whole.bytes();
  KILTER_TRY(flow::check_assembly(*assembly, storage.bytes));
  storage.coding = StorageCoding::kPieces;
  storage.name = whole.name;
  storage.assembly = std::move(assembly);
  whole.storage = static_cast<std::uint32_t>(index->storages.size());
  whole.offset_elements = 0;
  whole.strides = contiguous_strides(whole.shape);
  index->storages.push_back(std::move(storage));
  return whole;
}

StateId add_object(CheckpointData object, const std::string& name, CheckpointData* data) {
  std::erase_if(object.findings, [](const Finding& f) { return f.severity == Severity::kNote; });
  const std::size_t before = data->index.tensors.size();
  const StateId root = formats::append_data(std::move(object), name + ".", false, data);
  if (data->index.tensors.size() == before + 1 && root != kNoState &&
      data->state[root].kind == StateKind::kTensor)
    data->index.tensors[before].name = name;
  return root;
}

Status lose_entry(const std::string& name, Error error, const OpenOptions& options,
                  CheckpointData* data) {
  error.tensor = name;
  if (!options.lenient) return fail(std::move(error));
  const Severity severity = formats::severity_of(error.code);
  data->findings.push_back(
      formats::finding_from({"dcp.broken-entry", std::move(error)}, severity, data->root));
  return ok();
}

}  // namespace kilter::dcp

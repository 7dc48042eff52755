#include "formats/npy/array.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/text.h"
#include "base/try.h"
#include "formats/merge_data.h"
#include "formats/pickle/lift.h"
#include "formats/pickle/machine.h"
#include "tensor/layout.h"

namespace kilter::npy {
namespace {

Error at(const ArrayPlace& place, Error error) {
  if (error.path.empty()) error.path = place.path;
  if (error.tensor.empty()) error.tensor = place.name;
  return error;
}

std::vector<std::int64_t> strides_of(const NpyHeader& header) {
  if (!header.fortran_order) return contiguous_strides(header.shape);
  const std::vector<std::int64_t> turned(header.shape.rbegin(), header.shape.rend());
  const auto strides = contiguous_strides(turned);
  return {strides.rbegin(), strides.rend()};
}

/// A compressed array whose data does not begin at a multiple of its element size cannot be a view
/// of the stream: it is decoded once and kept.
Status keep_inline(const NpyHeader& header, const ArrayPlace& place, const OpenOptions& options,
                   StorageInfo* storage) {
  KILTER_ASSIGN(std::vector<std::byte> all, place.read_all(options.header_bytes_max));
  all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(
                                           header.data_offset_bytes, all.size())));
  storage->coding = StorageCoding::kInline;
  storage->offset_bytes = storage->stored_bytes = 0;
  storage->bytes = all.size();
  storage->crc32.reset();
  storage->inline_bytes = std::make_shared<const std::vector<std::byte>>(std::move(all));
  return ok();
}

Result<StateId> add_numbers(const NpyHeader& header, const ArrayPlace& place,
                            const OpenOptions& options, CheckpointData* data) {
  const auto asked = array_bytes(header);
  if (!asked) return fail(at(place, asked.error()));
  const std::uint64_t bytes = *asked;
  const std::uint64_t there = place.bytes - std::min(place.bytes, header.data_offset_bytes);
  if (bytes > there)
    return fail(Error(ErrorCode::kMalformed,
                      fmt::format("the array is cut off: {} bytes are missing", bytes - there))
                    .at_path(place.path)
                    .at_tensor(place.name)
                    .at_offset(place.coding == StorageCoding::kRaw
                                   ? place.offset_bytes + header.data_offset_bytes
                                   : header.data_offset_bytes)
                    .wanted(fmt::format("{} bytes of data ({} {})", bytes, header.descr,
                                        shape_text(header.shape)),
                            fmt::format("{} bytes", there))
                    .advise("fetch the file again"));
  StorageInfo storage;
  storage.file = place.file;
  storage.name = place.name;
  storage.big_endian = header.big_endian;
  std::uint64_t skip_bytes = 0;  // from the storage's beginning to the first element
  if (place.coding == StorageCoding::kRaw) {
    storage.offset_bytes = place.offset_bytes + header.data_offset_bytes;
    storage.stored_bytes = storage.bytes = bytes;
  } else {
    storage.coding = StorageCoding::kDeflate;
    storage.offset_bytes = place.offset_bytes;
    storage.stored_bytes = place.stored_bytes;
    storage.bytes = place.bytes;
    storage.crc32 = place.crc32;
    skip_bytes = header.data_offset_bytes;
  }
  const std::uint64_t item_bytes = dtype_row(header.dtype).bits / 8;
  if (skip_bytes % item_bytes != 0) {
    KILTER_TRY(keep_inline(header, place, options, &storage));
    skip_bytes = 0;
  }
  TensorInfo tensor;
  tensor.name = place.name;
  tensor.dtype = header.dtype;
  tensor.shape = header.shape;
  tensor.strides = strides_of(header);
  tensor.offset_elements = skip_bytes / item_bytes;
  tensor.storage = static_cast<std::uint32_t>(data->index.storages.size());
  data->index.storages.push_back(std::move(storage));
  data->index.tensors.push_back(std::move(tensor));
  return formats::add_tensor_node(data->index.tensors.size() - 1, &data->state);
}

/// numpy arrays inside the pickle stay where they are if the pickle lies in the file byte for byte.
class InFile final : public pickle::LiftHooks {
 public:
  explicit InFile(const ArrayPlace& place) : place_(place) {}
  Result<std::optional<StateId>> lift(pickle::Lifter&, pickle::NodeId) override {
    return std::optional<StateId>();
  }
  std::optional<std::uint32_t> verbatim_file() const override {
    if (place_.coding != StorageCoding::kRaw) return std::nullopt;
    return place_.file;
  }

 private:
  const ArrayPlace& place_;
};

pickle::Limits limits_for(const OpenOptions& options) {
  pickle::Limits limits;
  limits.text_bytes_max = options.header_bytes_max;
  limits.node_count_max = std::min(limits.node_count_max, options.header_bytes_max / 32);
  return limits;
}

Result<StateId> add_objects(const NpyHeader& header, const ArrayPlace& place,
                            const OpenOptions& options, CheckpointData* data) {
  KILTER_ASSIGN(const std::vector<std::byte> all, place.read_all(options.header_bytes_max));
  const std::uint64_t begin = std::min<std::uint64_t>(header.data_offset_bytes, all.size());
  const std::uint64_t base = place.coding == StorageCoding::kRaw ? place.offset_bytes : 0;
  pickle::Graph graph;
  const pickle::Stream stream =
      pickle::run_stream(Bytes(all).subspan(begin), base + begin, limits_for(options), &graph);
  if (stream.error) return fail(at(place, *stream.error));

  CheckpointData lifted;
  lifted.index.files = data->index.files;
  InFile hooks(place);
  if (auto status = pickle::lift(graph, stream.result, &hooks, &lifted); !status)
    return fail(at(place, std::move(status).error()));
  const std::string prefix = place.name.empty() ? "" : place.name + ".";
  return formats::append_data(std::move(lifted), prefix, false, data);
}

/// What numpy has and tensors do not: its dtype and shape stand in the state, its bytes in the
/// file.
StateId add_other(const NpyHeader& header, const ArrayPlace& place, CheckpointData* data) {
  StateTree& tree = data->state;
  StateNode descr, shape, array;
  descr.kind = StateKind::kString;
  descr.text = header.descr;
  shape.kind = StateKind::kTuple;
  for (const std::int64_t size : header.shape) {
    StateNode number;
    number.kind = StateKind::kInt;
    number.integer = size;
    shape.items.push_back(tree.add(std::move(number)));
  }
  array.kind = StateKind::kObject;
  array.text = "numpy.ndarray";
  array.items = {tree.add(std::move(shape)), tree.add(std::move(descr))};
  Finding finding;
  finding.rule = "npy.unsupported-dtype";
  finding.path = place.path;
  finding.tensor = place.name;
  finding.message = "the array's elements are no numbers that tensors have; it is listed, not read";
  finding.evidence =
      fmt::format("dtype {}, shape {}", escape_text(header.descr, 200), shape_text(header.shape));
  data->findings.push_back(std::move(finding));
  return tree.add(std::move(array));
}

}  // namespace

Result<std::uint64_t> array_bytes(const NpyHeader& header) {
  return contiguous_bytes(header.dtype, header.shape);
}

Result<StateId> add_array(const NpyHeader& header, const ArrayPlace& place,
                          const OpenOptions& options, CheckpointData* data) {
  switch (header.elements) {
    case Elements::kNumbers:
      return add_numbers(header, place, options, data);
    case Elements::kObjects:
      return add_objects(header, place, options, data);
    default:
      return add_other(header, place, data);
  }
}

}  // namespace kilter::npy

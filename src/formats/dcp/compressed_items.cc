#include "formats/dcp/compressed_items.h"

#include <optional>

#include "base/checked.h"
#include "base/try.h"
#include "flow/unzstd.h"
#include "formats/pickle/machine.h"
#include "formats/torch/assemble.h"
#include "formats/torch/zip_reader.h"
#include "formats/zip/records.h"
#include "formats/zip/sub_file.h"
#include "formats/zip/zip_format.h"

namespace kilter::dcp {
namespace {

/// A tensor's pickle and the records around it are some hundred bytes.
constexpr std::uint64_t kPrefixBytes = 64 << 10;
constexpr std::uint64_t kObjectBytesMax = 256ULL << 20;

/// A record found in the decoded prefix.
struct PrefixRecord {
  std::string_view name;
  std::size_t data = 0;  ///< where its payload begins
};

/// Local headers of a stream whose directory lies at its far end. torch's do not state sizes: the
/// next one is looked for behind the payload.
std::vector<PrefixRecord> find_records(Bytes prefix) {
  std::vector<PrefixRecord> out;
  const std::string_view text = as_text(prefix);
  for (std::size_t at = 0; at != std::string_view::npos; at = text.find("PK\3\4", at + 1)) {
    const auto header = zip::read_local_header(prefix.subspan(at));
    if (!header || header->method != zip::kMethodStored) continue;
    const std::size_t name = at + zip::kLocalHeaderBytes;
    const std::size_t data = name + header->name_bytes + header->extra_bytes;
    if (data > prefix.size()) break;
    out.push_back({text.substr(name, header->name_bytes), data});
    if (out.back().name.find("/data/") != std::string_view::npos) break;  // what follows is data
  }
  return out;
}

/// Storages of a pickle that all lie in the one stream.
class PrefixStorages final : public torch::StorageTable {
 public:
  PrefixStorages(const std::vector<PrefixRecord>& records, const Place& place, bool big_endian)
      : records_(records), place_(place), big_endian_(big_endian) {}

  Result<torch::StorageRef> resolve(const torch::StorageRequest& request,
                                    TensorIndex* index) override {
    const auto size =
        checked_mul(request.element_count, torch::storage_element_bytes(request.dtype));
    const PrefixRecord* record = nullptr;
    for (const PrefixRecord& one : records_)
      if (one.name.ends_with("/data/" + request.key)) record = &one;
    const auto end =
        record && size ? checked_add<std::uint64_t>(record->data, *size) : std::nullopt;
    if (!end || record->data % torch::storage_element_bytes(request.dtype) != 0)
      return fail(Error(ErrorCode::kMalformed, "the compressed item does not begin with its tensor")
                      .at_offset(request.offset_bytes)
                      .wanted("record data/" + request.key, record ? "an unsound size" : "none"));
    StorageInfo storage;
    storage.coding = StorageCoding::kZstd;
    storage.offset_bytes = place_.offset_bytes;
    storage.stored_bytes = place_.bytes;
    storage.bytes = *end;
    storage.big_endian = big_endian_;
    storage.device = request.device;
    torch::StorageRef ref;
    ref.storage = static_cast<std::uint32_t>(index->storages.size());
    ref.dtype = request.dtype;
    ref.untyped = request.untyped;
    ref.offset_elements = record->data / torch::storage_element_bytes(request.dtype);
    ref.element_count = request.element_count;
    index->storages.push_back(std::move(storage));
    return ref;
  }

 private:
  const std::vector<PrefixRecord>& records_;
  const Place& place_;
  bool big_endian_;
};

Error not_torch(const std::string& path) {
  return Error(ErrorCode::kMalformed, "the compressed item does not begin as torch writes tensors")
      .at_path(path)
      .wanted("a zip record data.pkl", "something else");
}

}  // namespace

bool is_zstd(std::string_view transform) {
  return transform == "stream.zstd/1" || transform.starts_with("stream.zstd/1.");
}

Result<std::vector<std::byte>> decode_item(const io::ReadFile& file, const Place& place,
                                           std::uint64_t bytes_max) {
  auto decoded = flow::decode_zstd(
      [&](std::uint64_t at, std::span<std::byte> out) {
        return file.read_at(place.offset_bytes + at, out);
      },
      place.bytes, bytes_max);
  if (!decoded) return fail(std::move(decoded).error().at_path(file.path()));
  return decoded;
}

Result<CheckpointData> open_compressed_tensor(const io::ReadFile& file, const Place& place,
                                              const std::string& path, const OpenOptions& options) {
  KILTER_ASSIGN(const auto prefix, decode_item(file, place, kPrefixBytes));
  const auto records = find_records(prefix);
  if (records.empty() || !records.front().name.ends_with("/data.pkl")) return fail(not_torch(path));
  bool big_endian = false;
  for (const PrefixRecord& record : records)
    if (record.name.ends_with("/byteorder"))
      big_endian = as_text(Bytes(prefix).subspan(record.data)).starts_with("big");
  const Bytes rest = Bytes(prefix).subspan(records.front().data);
  pickle::Graph graph;
  const auto stream =
      pickle::run_stream(rest, 0, torch::pickle_limits(options.header_bytes_max), &graph);
  if (stream.error) return fail(Error(*stream.error).at_path(path));
  CheckpointData data;
  data.root = file.path();
  data.index.files = {{file.path(), file.bytes()}};
  PrefixStorages storages(records, place, big_endian);
  KILTER_TRY(torch::lift_pickle(rest.first(static_cast<std::size_t>(stream.end_bytes)), path,
                                options, &storages, &data));
  KILTER_TRY(torch::settle(options, &storages, &data));
  return data;
}

Result<CheckpointData> open_compressed_object(const io::ReadFile& file, const Place& place,
                                              const std::string& path, const OpenOptions& options) {
  KILTER_ASSIGN(auto decoded, decode_item(file, place, kObjectBytesMax + 1));
  if (decoded.size() > kObjectBytesMax)
    return fail(Error(ErrorCode::kLimitExceeded, "a compressed object is too large")
                    .at_path(path)
                    .wanted(std::to_string(kObjectBytesMax) + " bytes", "more than that"));
  const zip::MemoryFile memory(path, std::move(decoded));
  KILTER_ASSIGN(auto opened, torch::open_zip(memory, options));
  for (StorageInfo& storage : opened.data.index.storages) {
    if (storage.coding != StorageCoding::kRaw) continue;
    auto copy = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(storage.bytes));
    KILTER_TRY(memory.read_at(storage.offset_bytes, *copy));
    storage.coding = StorageCoding::kInline;
    storage.offset_bytes = storage.stored_bytes = 0;
    storage.inline_bytes = std::move(copy);
  }
  for (const StorageInfo& storage : opened.data.index.storages)
    if (storage.coding == StorageCoding::kDeflate)
      return fail(Error(ErrorCode::kUnsupported, "an object compressed twice, with tensors inside")
                      .at_path(path));
  return std::move(opened.data);
}

}  // namespace kilter::dcp

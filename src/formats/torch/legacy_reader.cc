#include "formats/torch/legacy_reader.h"

#include <algorithm>
#include <unordered_map>

#include "base/checked.h"
#include "base/try.h"
#include "formats/file_name.h"
#include "formats/torch/assemble.h"
#include "formats/torch/pickle_cursor.h"
#include "formats/zip/finding_list.h"

namespace kilter::torch {
namespace {

/// Storages whose place in the file is known only once the pickles have been read.
class LegacyStorages final : public StorageTable {
 public:
  struct Known {
    std::uint32_t storage = 0;
    DType dtype = DType::kU8;
    std::uint64_t element_count = 0;
    bool placed = false;
  };

  Result<StorageRef> resolve(const StorageRequest& request, TensorIndex* index) override {
    StorageRef ref;
    ref.dtype = request.dtype;
    ref.untyped = request.untyped;
    ref.element_count = request.element_count;
    const auto [known, added] = known_.try_emplace(request.key);
    if (added) {
      known->second = {static_cast<std::uint32_t>(index->storages.size()), request.dtype,
                       request.element_count, false};
      StorageInfo info;
      info.name = request.key;
      info.device = request.device;
      index->storages.push_back(std::move(info));
    }
    ref.storage = known->second.storage;
    if (!request.view) return ref;
    ref.offset_elements = request.view->offset_elements;
    ref.element_count = request.view->element_count;
    const auto end = checked_add(ref.offset_elements, ref.element_count);
    if (!end || *end > request.element_count)
      return fail(Error(ErrorCode::kMalformed, "a view of a storage reaches past its end")
                      .at_offset(request.offset_bytes)
                      .wanted(std::to_string(request.element_count) + " elements at most",
                              end ? std::to_string(*end) : "more than 2^64"));
    return ref;
  }

  std::unordered_map<std::string, Known>& known() { return known_; }

  void fault(const Known& known, Error error) {
    faults.push_back(
        {known.storage, "torch.storage-truncated", Severity::kMalformed, std::move(error), true});
  }

 private:
  std::unordered_map<std::string, Known> known_;
};

class LegacyOpener {
 public:
  LegacyOpener(const io::ReadFile& file, const OpenOptions& options)
      : file_(file),
        options_(options),
        cursor_(file, options.header_bytes_max),
        list_(&data_.findings, 100, file.path()) {}

  Result<CheckpointData> run() {
    data_.format = "torch-legacy";
    data_.root = file_.path();
    data_.index.files = {{formats::file_name_of(file_.path()), file_.bytes()}};
    KILTER_TRY(read_magic());
    KILTER_TRY(read_info());
    pickle::Graph graph;
    const pickle::Limits limits = pickle_limits(options_.header_bytes_max);
    KILTER_ASSIGN(const pickle::NodeId object, cursor_.next(limits, &graph));
    data_.format_detail =
        "legacy stream, protocol " + std::to_string(graph.streams.back().protocol);
    KILTER_TRY(lift_graph(&graph, object, file_.path(), options_, &storages_, &data_));
    auto placed = read_storages(limits);
    if (!placed && !options_.lenient) return fail(std::move(placed).error());
    if (!placed) broken_ = std::move(placed).error();
    report_missing();
    KILTER_TRY(settle(options_, &storages_, &data_));
    return std::move(data_);
  }

 private:
  Error malformed(std::string message, std::uint64_t offset) const {
    return Error(ErrorCode::kMalformed, std::move(message)).at_path(file_.path()).at_offset(offset);
  }

  Status read_magic() {
    pickle::Graph graph;
    KILTER_ASSIGN(const pickle::NodeId magic, cursor_.next({}, &graph));
    if (graph[magic].kind != pickle::NodeKind::kBigInt || graph[magic].text != kLegacyMagicDecimal)
      return fail(malformed("no legacy torch stream: the magic number is another", 0)
                      .wanted("0x1950a86a20f9469cfc6c", pickle::render(graph, magic)));
    const std::uint64_t at = cursor_.position();
    KILTER_ASSIGN(const std::int64_t protocol, cursor_.next_integer());
    if (protocol != kLegacyProtocol)
      list_.add("torch.legacy-protocol", Severity::kMalformed, "",
                "the stream states another protocol than torch reads",
                "expected 1001, found " + std::to_string(protocol), at);
    return ok();
  }

  Status read_info() {
    pickle::Graph graph;
    const std::uint64_t at = cursor_.position();
    KILTER_ASSIGN(const pickle::NodeId info, cursor_.next({}, &graph));
    const pickle::Node& node = graph[info];
    for (std::size_t i = 0; node.kind == pickle::NodeKind::kDict && i + 1 < node.items.size();
         i += 2) {
      const auto key = text_of(graph, node.items[i]);
      const pickle::Node& value = graph[node.items[i + 1]];
      if (key == "protocol_version" && value.kind == pickle::NodeKind::kInt)
        data_.metadata.emplace_back("protocol_version", std::to_string(value.integer));
      if (key != "little_endian" || value.kind != pickle::NodeKind::kBool) continue;
      data_.metadata.emplace_back("little_endian", value.integer != 0 ? "true" : "false");
      if (value.integer == 0)
        list_.add("torch.big-endian-host", Severity::kNote, "",
                  "written on a big-endian machine; torch wrote storages of this format "
                  "little-endian all the same",
                  {}, at);
    }
    return ok();
  }

  /// The list of keys, then count and bytes of each.
  Status read_storages(const pickle::Limits& limits) {
    pickle::Graph graph;
    const std::uint64_t at = cursor_.position();
    KILTER_ASSIGN(const pickle::NodeId list, cursor_.next(limits, &graph));
    if (graph[list].kind != pickle::NodeKind::kList)
      return fail(malformed("no list of storage keys where one is due", at)
                      .wanted("a list", pickle::render(graph, list)));
    for (const pickle::NodeId item : graph[list].items) {
      const auto key = text_of(graph, item);
      const auto known = key ? storages_.known().find(*key) : storages_.known().end();
      if (known == storages_.known().end())
        return fail(malformed("a storage that no tensor of the pickle uses", cursor_.position())
                        .wanted("a known key", pickle::render(graph, item)));
      KILTER_TRY(place(*key, &known->second));
    }
    if (cursor_.remaining() > 0)
      list_.add("torch.trailing-bytes", Severity::kSuspicious, "",
                std::to_string(cursor_.remaining()) + " bytes follow the last storage", {},
                cursor_.position());
    return ok();
  }

  Status place(const std::string& key, LegacyStorages::Known* known) {
    const std::uint64_t at = cursor_.position();
    KILTER_ASSIGN(const std::int64_t count, cursor_.i64());
    const auto bytes = count < 0 ? std::nullopt
                                 : checked_mul(static_cast<std::uint64_t>(count),
                                               storage_element_bytes(known->dtype));
    if (!bytes || static_cast<std::uint64_t>(count) != known->element_count || known->placed)
      return fail(malformed("storage \"" + key + "\" states another size than the pickle", at)
                      .wanted(std::to_string(known->element_count) + " elements, once",
                              std::to_string(count)));
    StorageInfo& info = data_.index.storages[known->storage];
    known->placed = true;
    if (*bytes > cursor_.remaining()) {
      storages_.fault(*known, malformed("storage \"" + key + "\" ends past the end of the file",
                                        cursor_.position())
                                  .wanted(std::to_string(*bytes) + " bytes",
                                          std::to_string(cursor_.remaining()) + " bytes")
                                  .advise("the file was probably cut off: " +
                                          std::to_string(*bytes - cursor_.remaining()) +
                                          " bytes of this storage are missing"));
      cursor_.seek(file_.bytes());
      return ok();
    }
    info.offset_bytes = cursor_.position();
    info.stored_bytes = info.bytes = *bytes;
    cursor_.seek(cursor_.position() + *bytes);
    return ok();
  }

  /// Storages that the pickle uses and the file does not hold. torch leaves them uninitialized.
  void report_missing() {
    for (const auto& [key, known] : storages_.known()) {
      if (known.placed || known.element_count == 0) continue;
      storages_.fault(known, broken_ ? *broken_
                                     : malformed("storage \"" + key + "\" is not in the file",
                                                 cursor_.position()));
    }
    std::sort(storages_.faults.begin(), storages_.faults.end(),
              [](const StorageFault& a, const StorageFault& b) { return a.storage < b.storage; });
  }

  const io::ReadFile& file_;
  const OpenOptions& options_;
  PickleCursor cursor_;
  CheckpointData data_;
  zip::FindingList list_;
  LegacyStorages storages_;
  std::optional<Error> broken_;
};

}  // namespace

Result<CheckpointData> open_legacy(const io::ReadFile& file, const OpenOptions& options) {
  return LegacyOpener(file, options).run();
}

Result<LegacyExtent> legacy_extent(const io::ReadFile& file, std::uint64_t bytes_max) {
  constexpr int kPickleCount = 5;
  PickleCursor cursor(file, bytes_max);
  LegacyExtent extent;
  for (int i = 0; i < kPickleCount; ++i) {
    pickle::Graph graph;
    const auto result = cursor.next({}, &graph);
    if (!result && result.error().code == ErrorCode::kIo) return fail(result.error());
    if (!result) {
      extent.pickle_bytes = std::min(file.bytes(), bytes_max);
      return extent;
    }
    extent.pickle_bytes = cursor.position();
  }
  extent.whole = true;
  return extent;
}

}  // namespace kilter::torch

#include "formats/torch/tar_reader.h"

#include <array>
#include <unordered_map>

#include "base/checked.h"
#include "base/try.h"
#include "formats/file_name.h"
#include "formats/pickle/lift.h"
#include "formats/tar/archive.h"
#include "formats/torch/assemble.h"
#include "formats/torch/pickle_cursor.h"
#include "formats/zip/sub_file.h"

namespace kilter::torch {
namespace {

constexpr std::int32_t kDimensionCountMax = 64;

/// Storages by key, as the member "storages" lists them.
class TarStorages final : public StorageTable {
 public:
  struct Known {
    std::uint32_t storage = 0;
    DType dtype = DType::kU8;
    std::uint64_t offset_elements = 0;
    std::uint64_t element_count = 0;
  };

  Result<StorageRef> resolve(const StorageRequest& request, TensorIndex*) override {
    const auto known = known_.find(request.key);
    if (known == known_.end())
      return fail(Error(ErrorCode::kMalformed, "the pickle uses a storage that is not in the file")
                      .at_offset(request.offset_bytes)
                      .wanted("a key of the member \"storages\"", request.key));
    return StorageRef{known->second.storage, known->second.dtype, false,
                      known->second.offset_elements, known->second.element_count};
  }

  std::unordered_map<std::string, Known>& known() { return known_; }
  const std::unordered_map<std::string, Known>& known() const { return known_; }

 private:
  std::unordered_map<std::string, Known> known_;
};

/// Persistent ids of these files are keys of tensors or storages.
class TarHooks final : public pickle::LiftHooks {
 public:
  TarHooks(const pickle::Graph& graph, const TarStorages& storages,
           const std::unordered_map<std::string, TensorInfo>& tensors, bool lenient)
      : graph_(graph), storages_(storages), tensors_(tensors), lenient_(lenient) {}

  Result<std::optional<StateId>> lift(pickle::Lifter& lifter, pickle::NodeId node) override {
    const pickle::Node& at = graph_[node];
    if (at.kind != pickle::NodeKind::kPersistentId) return std::nullopt;
    const auto key = text_of(graph_, at.items[0]);
    if (!key) return std::nullopt;  // a class and its source
    if (const auto made = made_.find(*key); made != made_.end()) return made->second;
    TensorInfo info;
    if (const auto tensor = tensors_.find(*key); tensor != tensors_.end()) {
      info = tensor->second;
    } else if (const auto storage = storages_.known().find(*key);
               storage != storages_.known().end()) {
      info.dtype = storage->second.dtype;
      info.storage = storage->second.storage;
      info.shape = {static_cast<std::int64_t>(storage->second.element_count)};
      info.strides = {1};
      info.offset_elements = storage->second.offset_elements;
    } else if (lenient_) {
      return std::nullopt;
    } else {
      return fail(Error(ErrorCode::kMalformed, "the pickle refers to a tensor that is not there")
                      .at_offset(at.offset_bytes)
                      .wanted("a key of the member \"tensors\"", *key));
    }
    const StateId id = lifter.add_tensor(std::move(info));
    made_.emplace(*key, id);
    return id;
  }

 private:
  const pickle::Graph& graph_;
  const TarStorages& storages_;
  const std::unordered_map<std::string, TensorInfo>& tensors_;
  bool lenient_;
  std::unordered_map<std::string, StateId> made_;
};

class TarOpener {
 public:
  TarOpener(const io::ReadFile& file, const OpenOptions& options)
      : file_(file), options_(options) {}

  Result<CheckpointData> run() {
    KILTER_ASSIGN(archive_, tar::read_archive(file_));
    data_.format = "torch-tar";
    data_.root = file_.path();
    data_.index.files = {{formats::file_name_of(file_.path()), file_.bytes()}};
    data_.findings = archive_.findings;
    data_.format_detail = archive_.find("tensors") ? "tar, torch 0.1.1 to 0.1.9"
                                                   : "tar with rebuild calls in its pickle";
    KILTER_TRY(tolerate(read_storages()));
    if (archive_.find("tensors")) KILTER_TRY(tolerate(read_tensors()));
    KILTER_TRY(read_pickle());
    KILTER_TRY(settle(options_, &storages_, &data_));
    return std::move(data_);
  }

 private:
  Error malformed(const io::ReadFile& at_file, std::string message, std::uint64_t offset) const {
    return Error(ErrorCode::kMalformed, std::move(message))
        .at_path(at_file.path())
        .at_offset(offset);
  }

  /// Leniently, a fault ends this member but not the checkpoint.
  Status tolerate(Status status) {
    if (status || !options_.lenient || status.error().code == ErrorCode::kIo) return status;
    Finding finding;
    finding.rule = "torch.member-broken";
    finding.severity = Severity::kMalformed;
    finding.path = status.error().path;
    finding.offset_bytes = status.error().offset_bytes;
    finding.message = status.error().message;
    data_.findings.push_back(std::move(finding));
    return ok();
  }

  Result<std::unique_ptr<zip::RangeFile>> member(std::string_view name, std::uint64_t* offset) {
    const auto found = archive_.find(name);
    if (!found)
      return fail(Error(ErrorCode::kMalformed,
                        "the tar archive has no member \"" + std::string(name) + "\"")
                      .at_path(file_.path()));
    const tar::Member& m = archive_.members[*found];
    if (!m.data_fits && !options_.lenient)
      return fail(malformed(file_, "the member \"" + std::string(name) + "\" is cut off",
                            m.data_offset_bytes)
                      .wanted(std::to_string(m.bytes) + " bytes",
                              std::to_string(file_.bytes() - m.data_offset_bytes) + " bytes"));
    *offset = m.data_offset_bytes;
    const std::uint64_t room = file_.bytes() - std::min(m.data_offset_bytes, file_.bytes());
    return std::make_unique<zip::RangeFile>(file_, file_.path() + "!" + std::string(name),
                                            m.data_offset_bytes, std::min(m.bytes, room));
  }

  /// (key, second, type): what precedes each storage and each tensor.
  struct Row {
    std::string key;
    std::string second;
    const pickle::Node* type = nullptr;
  };
  Result<Row> read_row(PickleCursor* cursor, const io::ReadFile& at_file, pickle::Graph* graph) {
    const std::uint64_t at = cursor->position();
    KILTER_ASSIGN(const pickle::NodeId id, cursor->next({}, graph));
    const pickle::Node& node = (*graph)[id];
    const bool shaped = node.kind == pickle::NodeKind::kTuple && node.items.size() == 3;
    const auto key = shaped ? text_of(*graph, node.items[0]) : std::nullopt;
    const auto second = shaped ? text_of(*graph, node.items[1]) : std::nullopt;
    if (!key || !second)
      return fail(malformed(at_file, "no (key, …, type) where one is due", at)
                      .wanted("a tuple of three", pickle::render(*graph, id)));
    return Row{*key, *second, &(*graph)[node.items[2]]};
  }

  Status read_storages() {
    std::uint64_t base = 0;
    KILTER_ASSIGN(const auto file, member("storages", &base));
    PickleCursor cursor(*file, options_.header_bytes_max);
    KILTER_ASSIGN(const std::int64_t count, cursor.next_integer());
    for (std::int64_t i = 0; i < count; ++i) KILTER_TRY(read_storage(&cursor, *file, base));
    if (cursor.remaining() > 0) KILTER_TRY(read_views(&cursor, *file));
    return ok();
  }

  Status read_storage(PickleCursor* cursor, const io::ReadFile& file, std::uint64_t base) {
    pickle::Graph graph;
    const std::uint64_t at = cursor->position();
    KILTER_ASSIGN(const Row row, read_row(cursor, file, &graph));
    const auto dtype = row.type->kind == pickle::NodeKind::kGlobal
                           ? dtype_from_torch_storage(row.type->text2)
                           : std::nullopt;
    if (!dtype)
      return fail(malformed(file, "a storage of an unknown type", at)
                      .wanted("torch.FloatStorage and its like", row.type->text2));
    KILTER_ASSIGN(const std::int64_t count, cursor->i64());
    const auto bytes =
        count < 0 ? std::nullopt
                  : checked_mul(static_cast<std::uint64_t>(count), storage_element_bytes(*dtype));
    if (!bytes || *bytes > cursor->remaining())
      return fail(malformed(file, "storage \"" + row.key + "\" ends past the end of its member",
                            cursor->position())
                      .wanted(std::to_string(count) + " elements",
                              std::to_string(cursor->remaining()) + " bytes"));
    StorageInfo info;
    info.name = row.key;
    info.device = row.second;
    info.offset_bytes = base + cursor->position();
    info.stored_bytes = info.bytes = *bytes;
    storages_.known()[row.key] = {static_cast<std::uint32_t>(data_.index.storages.size()), *dtype,
                                  0, static_cast<std::uint64_t>(count)};
    data_.index.storages.push_back(std::move(info));
    cursor->seek(cursor->position() + *bytes);
    return ok();
  }

  /// A list of (key, root key, offset, size): parts of storages under keys of their own.
  Status read_views(PickleCursor* cursor, const io::ReadFile& file) {
    pickle::Graph graph;
    const std::uint64_t at = cursor->position();
    KILTER_ASSIGN(const pickle::NodeId list, cursor->next({}, &graph));
    for (const pickle::NodeId item : graph[list].items) {
      const pickle::Node& view = graph[item];
      const bool shaped = view.items.size() == 4;
      const auto key = shaped ? text_of(graph, view.items[0]) : std::nullopt;
      const auto root = shaped ? text_of(graph, view.items[1]) : std::nullopt;
      const auto offset = shaped ? count_of(graph, view.items[2]) : std::nullopt;
      const auto count = shaped ? count_of(graph, view.items[3]) : std::nullopt;
      const auto known = root ? storages_.known().find(*root) : storages_.known().end();
      if (!key || !offset || !count || known == storages_.known().end() ||
          !range_fits(*offset, *count, known->second.element_count))
        return fail(malformed(file, "a view of a storage is unsound", at)
                        .wanted("(key, known key, offset, size) inside that storage",
                                pickle::render(graph, item)));
      TarStorages::Known part = known->second;
      part.offset_elements += *offset;
      part.element_count = *count;
      storages_.known()[*key] = part;
    }
    return ok();
  }

  Status read_tensors() {
    std::uint64_t base = 0;
    KILTER_ASSIGN(const auto file, member("tensors", &base));
    PickleCursor cursor(*file, options_.header_bytes_max);
    KILTER_ASSIGN(const std::int64_t count, cursor.next_integer());
    for (std::int64_t i = 0; i < count; ++i) {
      pickle::Graph graph;
      const std::uint64_t at = cursor.position();
      KILTER_ASSIGN(const Row row, read_row(&cursor, *file, &graph));
      const auto storage = storages_.known().find(row.second);
      if (storage == storages_.known().end())
        return fail(malformed(*file, "a tensor of a storage that is not there", at)
                        .wanted("a key of the member \"storages\"", row.second));
      KILTER_ASSIGN(tensors_[row.key], read_tensor(&cursor, *file, storage->second));
    }
    return ok();
  }

  /// i32 dimensions, 4 bytes of padding, i64 sizes, i64 strides, i64 offset.
  Result<TensorInfo> read_tensor(PickleCursor* cursor, const io::ReadFile& file,
                                 const TarStorages::Known& storage) {
    const std::uint64_t at = cursor->position();
    std::array<std::byte, 8> raw;
    KILTER_TRY(cursor->read(raw));
    const auto dimensions = static_cast<std::int32_t>(*ByteReader(raw).u32_le());
    if (dimensions < 0 || dimensions > kDimensionCountMax)
      return fail(malformed(file, "a tensor with an impossible number of dimensions", at)
                      .wanted("0 to 64", std::to_string(dimensions)));
    TensorInfo info;
    info.dtype = storage.dtype;
    info.storage = storage.storage;
    for (auto* list : {&info.shape, &info.strides})
      for (std::int32_t i = 0; i < dimensions; ++i) {
        KILTER_ASSIGN(const std::int64_t value, cursor->i64());
        list->push_back(value);
      }
    KILTER_ASSIGN(const std::int64_t offset, cursor->i64());
    const auto begin =
        offset < 0 ? std::nullopt
                   : checked_add(static_cast<std::uint64_t>(offset), storage.offset_elements);
    if (!begin) return fail(malformed(file, "a tensor with an impossible offset", at));
    info.offset_elements = *begin;
    return info;
  }

  Status read_pickle() {
    std::uint64_t base = 0;
    KILTER_ASSIGN(const auto file, member("pickle", &base));
    PickleCursor cursor(*file, options_.header_bytes_max);
    pickle::Graph graph;
    KILTER_ASSIGN(const pickle::NodeId root,
                  cursor.next(pickle_limits(options_.header_bytes_max), &graph));
    TarHooks hooks(graph, storages_, tensors_, options_.lenient);
    return lift_graph(&graph, root, file->path(), options_, &storages_, &data_, &hooks);
  }

  const io::ReadFile& file_;
  const OpenOptions& options_;
  tar::Archive archive_;
  CheckpointData data_;
  TarStorages storages_;
  std::unordered_map<std::string, TensorInfo> tensors_;
};

}  // namespace

Result<CheckpointData> open_tar(const io::ReadFile& file, const OpenOptions& options) {
  return TarOpener(file, options).run();
}

}  // namespace kilter::torch

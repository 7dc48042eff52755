#include "formats/tensorflow/bundle.h"

#include <fmt/format.h>

#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/text.h"
#include "base/try.h"
#include "base/utf8.h"
#include "flow/check_assembly.h"
#include "formats/findings.h"
#include "formats/merge_data.h"
#include "formats/tensorflow/bundle_proto.h"
#include "formats/tensorflow/object_graph.h"
#include "formats/tensorflow/strings.h"
#include "formats/tensorflow/table.h"
#include "io/safe_path.h"

namespace kilter::tensorflow {
namespace {

/// The newest layout known: readers below min_consumer must refuse. Source: kTensorBundleVersion.
constexpr std::int64_t kVersion = 1;
constexpr std::uint32_t kNoFile = 0xffffffffU;

class BundleOpener {
 public:
  BundleOpener(io::FileSystem& files, const std::string& root, const std::string& index_name,
               const OpenOptions& options)
      : files_(files), root_(root), index_name_(index_name), options_(options), data_(out_.data) {}

  Result<Bundle> run() {
    data_.format = "tensorflow";
    data_.root = root_;
    data_.root_is_folder = true;
    KILTER_TRY(read_index());
    for (const TableEntry& entry : table_.entries)
      if (is_slice_key(entry.key)) KILTER_TRY(keep(entry, read_slice_entry(entry)));
    for (const TableEntry& entry : table_.entries)
      if (!entry.key.empty() && !is_slice_key(entry.key))
        KILTER_TRY(keep(entry, read_tensor_entry(entry)));
    KILTER_TRY(judge_unused_slices());
    finish_state();
    KILTER_TRY(data_.index.validate());
    describe();
    return std::move(out_);
  }

 private:
  std::string full(const std::string& name) const { return io::join_path(root_, name); }

  Status read_index() {
    KILTER_ASSIGN(const auto file, io::open_beneath(files_, root_, index_name_));
    KILTER_ASSIGN(table_, read_table(*file, options_.header_bytes_max));
    const auto refuse = [&](Error error) {
      return fail(std::move(error).at_path(full(index_name_)));
    };
    if (table_.entries.empty() || !table_.entries[0].key.empty())
      return refuse(Error(ErrorCode::kUnsupported,
                          "a sorted table, but not the index of a TensorFlow checkpoint")
                        .wanted("a header under the empty key", "none")
                        .advise("LevelDB's own files look like this"));
    auto header = read_bundle_header(as_bytes(table_.entries[0].value));
    if (!header) return refuse(std::move(header).error());
    if (!*header)
      return refuse(Error(ErrorCode::kUnsupported,
                          "a TensorFlow checkpoint of version 1, which keeps tensors in the table")
                        .advise("load it in TensorFlow and save it again: "
                                "tf.compat.v1.train.Saver writes version 2"));
    header_ = **header;
    if (header_.min_consumer > kVersion)
      return refuse(
          Error(ErrorCode::kUnsupported, "the checkpoint is of a newer version")
              .wanted("at most " + std::to_string(kVersion), std::to_string(header_.min_consumer)));
    data_.index.files.push_back({index_name_, file->bytes()});
    return ok();
  }

  /// A fault of one tensor stops a strict reader; a lenient one goes on without the tensor.
  Status keep(const TableEntry& entry, Status status) {
    if (status) return status;
    Error error = std::move(status).error();
    if (error.tensor.empty()) error.tensor = readable(entry.key);
    if (error.path.empty()) error.path = full(index_name_);
    if (!options_.lenient) return fail(std::move(error));
    const std::string path = error.path;
    const Severity severity = formats::severity_of(error.code);
    data_.findings.push_back(
        formats::finding_from({"tensorflow.broken-tensor", std::move(error)}, severity, path));
    return ok();
  }

  /// A part's key is coded; people know the variable's name.
  static std::string readable(const std::string& key) {
    if (!is_slice_key(key)) return replace_invalid_utf8(key);
    const auto slice = decode_slice_key(key);
    return slice ? replace_invalid_utf8(slice->name) : escape_text(key, 100);
  }

  /// The data file of a shard, looked up when the first tensor needs it.
  Result<std::uint32_t> file_of(std::uint64_t shard) {
    if (shard >= header_.shard_count)
      return fail(Error(ErrorCode::kMalformed, "the tensor lies in a shard that cannot be")
                      .wanted(fmt::format("below {}", header_.shard_count), std::to_string(shard)));
    const auto known = file_of_shard_.find(shard);
    if (known != file_of_shard_.end() && known->second != kNoFile) return known->second;
    const std::string name = shard_name(bundle_prefix(index_name_),
                                        static_cast<std::uint32_t>(shard), header_.shard_count);
    const auto stat = known == file_of_shard_.end() ? files_.stat(full(name))
                                                    : Result<io::FileStat>(fail(Error()));
    if (!stat) {
      file_of_shard_[shard] = kNoFile;
      return fail(Error(ErrorCode::kMalformed, "the data file that holds the tensor is missing")
                      .at_path(full(name))
                      .advise("copy it beside the index, under this name"));
    }
    const auto number = static_cast<std::uint32_t>(data_.index.files.size());
    data_.index.files.push_back({name, stat->bytes});
    file_of_shard_[shard] = number;
    return number;
  }

  Result<std::uint64_t> count_of(const BundleEntry& entry) const {
    std::optional<std::uint64_t> count = 1;
    bool empty = false;
    for (const std::int64_t size : entry.shape) {
      if (size < 0) return fail(ErrorCode::kMalformed, "a dimension of negative size");
      empty = empty || size == 0;
      count = count ? checked_mul(*count, static_cast<std::uint64_t>(size)) : count;
    }
    if (empty) return 0;
    if (!count) return fail(ErrorCode::kMalformed, "the shape's size does not fit 64 bits");
    return *count;
  }

  /// Adds the storage of `entry`'s bytes. `row` is its type's.
  Result<std::uint32_t> add_storage(const std::string& name, const BundleEntry& entry,
                                    const DataTypeRow& row) {
    KILTER_ASSIGN(const std::uint64_t count, count_of(entry));
    const auto bytes = checked_mul<std::uint64_t>(count, dtype_row(row.dtype).bits / 8U);
    if (!bytes || *bytes != entry.bytes)
      return fail(Error(ErrorCode::kMalformed, "shape and size of the tensor do not agree")
                      .wanted(bytes ? std::to_string(*bytes) + " bytes" : "a size of 64 bits",
                              std::to_string(entry.bytes)));
    StorageInfo storage;
    if (*bytes > 0) {
      KILTER_ASSIGN(storage.file, file_of(entry.shard));
      const FileEntry& file = data_.index.files[storage.file];
      if (!range_fits(entry.offset_bytes, *bytes, file.bytes))
        return fail(Error(ErrorCode::kMalformed, "the tensor ends past the end of its data file")
                        .at_path(full(file.path))
                        .at_offset(entry.offset_bytes)
                        .wanted(fmt::format("{} bytes from {}", *bytes, entry.offset_bytes),
                                fmt::format("a file of {} bytes", file.bytes))
                        .advise("the file was cut off: copy it again"));
      storage.offset_bytes = entry.offset_bytes;
      out_.ranges.push_back({readable(name), storage.file, entry.offset_bytes, *bytes,
                             unmask_crc32c(entry.masked_crc32c)});
    }
    storage.stored_bytes = storage.bytes = *bytes;
    storage.big_endian = header_.big_endian;
    storage.name = readable(name);
    data_.index.storages.push_back(std::move(storage));
    return static_cast<std::uint32_t>(data_.index.storages.size() - 1);
  }

  Result<const DataTypeRow*> type_of(const BundleEntry& entry) const {
    const DataTypeRow* row = find_data_type(entry.dtype);
    if (row != nullptr) return row;
    return fail(Error(ErrorCode::kUnsupported, "the tensor is of a type that is not read")
                    .wanted("a numeric DataType of types.proto", std::to_string(entry.dtype)));
  }

  Status read_slice_entry(const TableEntry& entry) {
    const auto key = decode_slice_key(entry.key);
    if (!key) return fail(ErrorCode::kMalformed, "the key of a part of a variable is broken");
    KILTER_ASSIGN(const BundleEntry part, read_bundle_entry(as_bytes(entry.value)));
    KILTER_ASSIGN(const DataTypeRow* row, type_of(part));
    KILTER_ASSIGN(const std::uint32_t storage, add_storage(key->name, part, *row));
    parts_.emplace(entry.key, Part{storage, part.dtype, part.shape, key->name});
    return ok();
  }

  Status read_tensor_entry(const TableEntry& entry) {
    KILTER_ASSIGN(const BundleEntry tensor, read_bundle_entry(as_bytes(entry.value)));
    if (tensor.dtype == kDataTypeString) return read_string_entry(entry, tensor);
    if (tensor.dtype == kDataTypeVariant || tensor.dtype == kDataTypeResource)
      return read_opaque_entry(entry, tensor);
    KILTER_ASSIGN(const DataTypeRow* row, type_of(tensor));
    TensorInfo info;
    info.name = readable(entry.key);
    info.dtype = row->dtype;
    info.shape = tensor.shape;
    info.strides = contiguous_strides(tensor.shape);
    if (!names_.insert(info.name).second)
      return fail(ErrorCode::kMalformed, "two tensors have the same name once it is made text");
    KILTER_ASSIGN(info.storage, tensor.slices.empty() ? add_storage(entry.key, tensor, *row)
                                                      : assemble(entry.key, tensor, *row));
    if (row->as_bits) note_bits(info.name, *row);
    data_.index.tensors.push_back(std::move(info));
    state_.emplace_back(entry.key, kNoState);
    return ok();
  }

  /// The type has no row in our table of dtypes, or means nothing without what a graph holds.
  void note_bits(const std::string& name, const DataTypeRow& row) {
    Finding note;
    note.rule = "tensorflow.dtype-as-bits";
    note.path = full(index_name_);
    note.tensor = name;
    note.message = fmt::format("values of type {} are read as {} of the same bits", row.name,
                               dtype_name(row.dtype));
    data_.findings.push_back(std::move(note));
  }

  /// A partitioned variable: boxes, each in a storage of its own.
  Result<std::uint32_t> assemble(const std::string& key, const BundleEntry& tensor,
                                 const DataTypeRow& row) {
    KILTER_ASSIGN(const std::uint64_t count, count_of(tensor));
    const auto bytes = checked_mul<std::uint64_t>(count, dtype_row(row.dtype).bits / 8U);
    if (!bytes) return fail(ErrorCode::kMalformed, "the tensor's size does not fit 64 bits");
    auto assembly = std::make_shared<Assembly>();
    assembly->element = row.dtype;
    assembly->shape = tensor.shape;
    StorageInfo whole;
    for (const std::vector<Extent>& slice : tensor.slices) {
      KILTER_ASSIGN(Piece piece, piece_of(key, tensor, slice));
      whole.file = data_.index.storages[piece.storage].file;
      assembly->pieces.push_back(std::move(piece));
    }
    KILTER_TRY(flow::check_assembly(*assembly, *bytes));  // here the variable is known
    whole.coding = StorageCoding::kPieces;
    whole.bytes = *bytes;
    whole.name = readable(key);
    whole.assembly = std::move(assembly);
    data_.index.storages.push_back(std::move(whole));
    return static_cast<std::uint32_t>(data_.index.storages.size() - 1);
  }

  Result<Piece> piece_of(const std::string& key, const BundleEntry& tensor,
                         const std::vector<Extent>& slice) {
    const auto found = parts_.find(encode_slice_key({key, slice}));
    if (found == parts_.end())
      return fail(ErrorCode::kMalformed, "a part of the partitioned variable is not in the index");
    Part& part = found->second;
    if (std::exchange(part.used, true))
      return fail(ErrorCode::kMalformed, "a part of the partitioned variable is listed twice");
    KILTER_TRY(spend(sizeof(Piece) + 3 * sizeof(std::int64_t) * slice.size()));
    if (part.dtype != tensor.dtype || slice.size() != tensor.shape.size())
      return fail(ErrorCode::kMalformed, "a part of the variable has another type or rank");
    Piece piece;
    piece.storage = part.storage;
    for (std::size_t d = 0; d < slice.size(); ++d) {
      const bool all = slice[d].length < 0;
      piece.offsets.push_back(all ? 0 : slice[d].start);
      piece.sizes.push_back(all ? tensor.shape[d] : slice[d].length);
    }
    if (piece.sizes != part.shape)
      return fail(ErrorCode::kMalformed, "a part of the variable has another shape than its place");
    piece.strides = contiguous_strides(piece.sizes);
    return piece;
  }

  /// Takes memory for values out of the budget for headers.
  Status spend(std::uint64_t bytes) {
    const std::uint64_t left = options_.header_bytes_max - value_bytes_;
    if (bytes > left)
      return fail(Error(ErrorCode::kLimitExceeded, "the strings take more memory than is allowed")
                      .wanted("at most " + format_bytes(left), format_bytes(bytes)));
    value_bytes_ += bytes;
    return ok();
  }

  /// All bytes of an entry.
  Result<std::vector<std::byte>> read_bytes(const BundleEntry& entry) {
    std::vector<std::byte> content;
    if (entry.bytes == 0) return content;
    KILTER_ASSIGN(const std::uint32_t number, file_of(entry.shard));
    const FileEntry& file = data_.index.files[number];
    const auto at = [&](Error error) { return std::move(error).at_path(full(file.path)); };
    if (!range_fits(entry.offset_bytes, entry.bytes, file.bytes))
      return fail(at(Error(ErrorCode::kMalformed, "the tensor ends past the end of its data file")
                         .at_offset(entry.offset_bytes)));
    KILTER_TRY(spend(entry.bytes));
    KILTER_ASSIGN(const auto open, io::open_beneath(files_, root_, file.path));
    content.resize(entry.bytes);
    KILTER_TRY(open->read_at(entry.offset_bytes, content));
    return content;
  }

  Status read_string_entry(const TableEntry& entry, const BundleEntry& tensor) {
    KILTER_ASSIGN(const std::uint64_t count, count_of(tensor));
    KILTER_ASSIGN(const auto content, read_bytes(tensor));
    auto strings = read_strings(content, count, header_.big_endian, tensor.masked_crc32c);
    if (!strings) {
      Error error = std::move(strings).error();
      error.offset_bytes = error.offset_bytes.value_or(0) + tensor.offset_bytes;
      if (const auto file = file_of_shard_.find(tensor.shard); file != file_of_shard_.end())
        error.path = full(data_.index.files[file->second].path);
      return fail(std::move(error));
    }
    StateId value = kNoState;
    if (entry.key == kObjectGraphKey && strings->size() == 1) {
      KILTER_ASSIGN(value, add_object_graph(as_bytes((*strings)[0]), options_.header_bytes_max,
                                            &data_.state));
    } else {
      KILTER_TRY(spend(count * sizeof(StateNode)));  // count is at most the bytes
      value = add_strings(*strings, tensor.shape, &data_.state);
    }
    state_.emplace_back(entry.key, value);
    has_values_ = true;
    return ok();
  }

  /// Variants and resources are serialized objects: kept as their bytes, under what they are.
  Status read_opaque_entry(const TableEntry& entry, const BundleEntry& tensor) {
    KILTER_ASSIGN(const auto content, read_bytes(tensor));
    StateNode bytes, object;
    bytes.kind = StateKind::kBytes;
    bytes.text = as_text(content);
    object.kind = StateKind::kObject;
    object.text = tensor.dtype == kDataTypeVariant ? "tensorflow.variant" : "tensorflow.resource";
    object.items = {data_.state.add(std::move(bytes))};
    state_.emplace_back(entry.key, data_.state.add(std::move(object)));
    has_values_ = true;
    return ok();
  }

  Status judge_unused_slices() {
    for (const auto& [key, part] : parts_) {
      if (part.used) continue;
      const TableEntry entry{key, "", 0};
      KILTER_TRY(keep(entry, fail(ErrorCode::kMalformed,
                                  "a part of a variable belongs to no variable of the index")));
    }
    return ok();
  }

  /// A plain list of tensors needs no state beside it.
  void finish_state() {
    if (!has_values_) return;
    formats::DictBuilder root(&data_.state);
    std::size_t tensor = 0;
    for (const auto& [key, value] : state_)
      root.add(readable(key),
               value != kNoState ? value : formats::add_tensor_node(tensor++, &data_.state));
    data_.state.set_root(root.finish());
  }

  void describe() {
    data_.format_detail = fmt::format("TensorFlow checkpoint, {} shard{}, {}{}",
                                      header_.shard_count, header_.shard_count == 1 ? "" : "s",
                                      header_.big_endian ? "big-endian" : "little-endian",
                                      table_.compressed ? ", snappy index" : "");
    data_.metadata.emplace_back("producer", std::to_string(header_.producer));
  }

  struct Part {
    std::uint32_t storage;
    std::uint64_t dtype;
    std::vector<std::int64_t> shape;
    std::string name;
    bool used = false;
  };

  io::FileSystem& files_;
  const std::string& root_;
  const std::string& index_name_;
  const OpenOptions& options_;
  Bundle out_;
  CheckpointData& data_;
  Table table_;
  BundleHeader header_;
  std::unordered_map<std::uint64_t, std::uint32_t> file_of_shard_;
  std::unordered_map<std::string, Part> parts_;  // by coded key
  std::unordered_set<std::string> names_;
  std::vector<std::pair<std::string, StateId>> state_;  // kNoState: the next tensor
  std::uint64_t value_bytes_ = 0;
  bool has_values_ = false;
};

}  // namespace

std::string bundle_prefix(const std::string& index_path) {
  constexpr std::string_view kSuffix = ".index";
  const bool ends = index_path.size() > kSuffix.size() && index_path.ends_with(kSuffix);
  return ends ? index_path.substr(0, index_path.size() - kSuffix.size()) : index_path;
}

std::string shard_name(std::string_view prefix, std::uint32_t shard, std::uint32_t shard_count) {
  return fmt::format("{}.data-{:05}-of-{:05}", prefix, shard, shard_count);
}

Result<Bundle> open_bundle(io::FileSystem& files, const std::string& root,
                           const std::string& index_name, const OpenOptions& options) {
  return BundleOpener(files, root, index_name, options).run();
}

}  // namespace kilter::tensorflow

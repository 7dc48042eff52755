#include "formats/dcp/rank_join.h"

#include <fmt/format.h>

#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/try.h"
#include "formats/dcp/entries.h"
#include "formats/dcp/items.h"
#include "formats/dcp/rank_layout.h"
#include "formats/dcp/state_builder.h"
#include "formats/merge_data.h"
#include "io/safe_path.h"

namespace kilter::dcp {
namespace {

class RankJoin {
 public:
  RankJoin(io::FileSystem& files, const std::string& root, const OpenOptions& options,
           CheckpointData* data)
      : files_(files), root_(root), options_(options), data_(*data) {}

  Status run() {
    KILTER_ASSIGN(layout_, read_layout());
    for (std::size_t i = 0; i < data_.index.tensors.size(); ++i)
      number_of_.emplace(data_.index.tensors[i].name, i);
    opened_ = std::exchange(data_.index.tensors, {});
    for (const RankTensor& tensor : layout_.tensors) KILTER_TRY(take_tensor(tensor));
    for (const RankObject& object : layout_.objects) KILTER_TRY(take_object(object));
    for (std::size_t i = 0; i < opened_.size(); ++i)
      if (!used_.contains(i)) data_.index.tensors.push_back(std::move(opened_[i]));
    data_.state.set_root(build_state(leaves_, &data_.state));
    return ok();
  }

 private:
  Result<RankLayout> read_layout() {
    const std::string path = root_ + "/" + std::string(kRankLayoutName);
    KILTER_ASSIGN(const auto file, io::open_beneath(files_, root_, std::string(kRankLayoutName)));
    if (file->bytes() > options_.header_bytes_max)
      return fail(Error(ErrorCode::kLimitExceeded, "the layout of the ranks' files is too large")
                      .at_path(path)
                      .wanted(fmt::format("at most {} bytes", options_.header_bytes_max),
                              fmt::format("{} bytes", file->bytes())));
    std::string text(static_cast<std::size_t>(file->bytes()), '\0');
    KILTER_TRY(file->read_at(0, std::as_writable_bytes(std::span(text))));
    auto layout = parse_rank_layout(text);
    if (!layout) return fail(std::move(layout).error().at_path(path));
    return layout;
  }

  Status lose(const std::string& name, Error error) {
    if (error.path.empty()) error.path = root_;
    return lose_entry(name, std::move(error), options_, &data_);
  }

  /// Number in opened_. A file that is alone in its folder has no prefix.
  Result<std::size_t> find(const RankItem& item) {
    const std::string file = rank_file_name(item.rank);
    auto found = number_of_.find(fmt::format("rank-{:05}.{}", item.rank, item.name));
    if (found == number_of_.end()) found = number_of_.find(item.name);
    const bool held = found != number_of_.end() && file_of(opened_[found->second]) == file;
    if (!held)
      return fail(Error(ErrorCode::kMalformed, "a rank's file lacks what the layout names")
                      .at_path(root_ + "/" + file)
                      .wanted("a tensor '" + item.name + "'", "none"));
    used_.insert(found->second);
    return found->second;
  }

  const std::string& file_of(const TensorInfo& tensor) const {
    return data_.index.files[data_.index.storages[tensor.storage].file].path;
  }

  Status take_tensor(const RankTensor& tensor) {
    auto whole = assemble(tensor);
    if (!whole) return lose(tensor.name, std::move(whole).error());
    whole->name = tensor.name;
    whole->requires_grad = tensor.requires_grad;
    data_.index.tensors.push_back(std::move(*whole));
    leaves_.push_back({layout_.path_of(tensor.name),
                       formats::add_tensor_node(data_.index.tensors.size() - 1, &data_.state)});
    return ok();
  }

  Result<TensorInfo> assemble(const RankTensor& tensor) {
    auto assembly = std::make_shared<Assembly>();
    assembly->element = tensor.dtype;
    assembly->shape = tensor.shape;
    for (const RankItem& item : tensor.pieces) {
      KILTER_ASSIGN(const std::size_t number, find(item));
      const TensorInfo& piece = opened_[number];
      if (piece.dtype != tensor.dtype || piece.shape != item.chunk.sizes)
        return fail(Error(ErrorCode::kMalformed, "a piece differs from what the layout says")
                        .at_path(root_ + "/" + rank_file_name(item.rank))
                        .wanted(described(tensor.dtype, item.chunk.sizes),
                                described(piece.dtype, piece.shape)));
      if (tensor.pieces.size() == 1 && piece.shape == tensor.shape) return piece;
      assembly->pieces.push_back({item.chunk.offsets, item.chunk.sizes, piece.storage,
                                  piece.offset_elements, piece.strides});
    }
    return joined(tensor, std::move(assembly));
  }

  static std::string described(DType dtype, const std::vector<std::int64_t>& shape) {
    return fmt::format("{} [{}]", dtype_name(dtype), fmt::join(shape, ", "));
  }

  Result<TensorInfo> joined(const RankTensor& tensor, std::shared_ptr<Assembly> assembly) {
    if (dtype_row(tensor.dtype).bits % 8 != 0)
      return fail(Error(ErrorCode::kUnsupported, "a tensor of packed numbers that was cut")
                      .wanted("one piece", fmt::format("{}", tensor.pieces.size())));
    TensorInfo whole;
    whole.name = tensor.name;
    whole.dtype = tensor.dtype;
    whole.shape = tensor.shape;
    return add_assembled(std::move(assembly), std::move(whole), &data_.index);
  }

  /// The archive inside a tensor of bytes is opened in place: its storages lie in the rank's file.
  Status take_object(const RankObject& object) {
    auto number = find(object.item);
    if (!number) return lose(object.name, std::move(number).error());
    const TensorInfo bytes = opened_[*number];
    auto opened = open_object(object, bytes);
    if (!opened) return lose(object.name, std::move(opened).error());
    for (StorageInfo& storage : opened->index.storages)
      storage.file = data_.index.storages[bytes.storage].file;
    const StateId root = add_object(std::move(*opened), object.name, &data_);
    if (root != kNoState) leaves_.push_back({layout_.path_of(object.name), root});
    return ok();
  }

  Result<CheckpointData> open_object(const RankObject& object, const TensorInfo& bytes) {
    const StorageInfo& storage = data_.index.storages[bytes.storage];
    const std::string path = root_ + "/" + file_of(bytes) + "!" + object.name;
    if (bytes.dtype != DType::kU8 || storage.coding != StorageCoding::kRaw ||
        bytes.shape.size() != 1)
      return fail(Error(ErrorCode::kMalformed, "a value that is not stored as bytes")
                      .at_path(path)
                      .wanted("u8 [bytes]", described(bytes.dtype, bytes.shape)));
    Place place;
    place.file = file_of(bytes);
    place.offset_bytes = storage.offset_bytes + bytes.offset_elements;
    place.bytes = bytes.bytes();
    KILTER_ASSIGN(const auto file, io::open_beneath(files_, root_, place.file));
    return open_item(*file, place, false, path, options_);
  }

  io::FileSystem& files_;
  const std::string& root_;
  const OpenOptions& options_;
  CheckpointData& data_;
  RankLayout layout_;
  std::vector<TensorInfo> opened_;
  std::unordered_map<std::string, std::size_t> number_of_;  // by name, in opened_
  std::unordered_set<std::size_t> used_;
  std::vector<StateLeaf> leaves_;
};

}  // namespace

Status join_ranks(io::FileSystem& files, const std::string& root, const OpenOptions& options,
                  CheckpointData* data) {
  return RankJoin(files, root, options, data).run();
}

}  // namespace kilter::dcp

#include "formats/dcp/dcp_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <unordered_map>

#include "base/text.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "formats/dcp/entries.h"
#include "formats/dcp/items.h"
#include "formats/dcp/state_builder.h"
#include "formats/format.h"
#include "formats/merge_data.h"
#include "io/safe_path.h"

namespace kilter::dcp {
namespace {

constexpr unsigned kOpenThreadsMax = 8;
constexpr std::size_t kItemsPerTask = 64;
constexpr std::string_view kCommonName = "common.pt";

struct OpenedItem {
  std::optional<CheckpointData> data;
  std::optional<Error> error;
};

bool has_elements(const std::vector<std::int64_t>& sizes) {
  return std::find(sizes.begin(), sizes.end(), 0) == sizes.end();
}

bool is_whole(const Chunk& chunk, const Entry& entry) {
  return chunk.sizes == entry.size && std::all_of(chunk.offsets.begin(), chunk.offsets.end(),
                                                  [](std::int64_t at) { return at == 0; });
}

/// torch counts float4 in pairs; the index counts logical elements.
std::vector<std::int64_t> logical(DType dtype, std::vector<std::int64_t> sizes) {
  if (dtype != DType::kF4E2M1) return sizes;
  if (sizes.empty()) return {2};
  if (sizes.back() <= INT64_MAX / 2) sizes.back() *= 2;
  return sizes;
}

class DcpOpening {
 public:
  DcpOpening(io::FileSystem& files, const std::string& root, const OpenOptions& options)
      : files_(files), root_(root), options_(options) {}

  Result<CheckpointData> run(const std::vector<std::string>& names) {
    KILTER_ASSIGN(metadata_, read_metadata(files_, root_, names, options_.header_bytes_max));
    items_ = list_items(metadata_);
    opened_.resize(items_.size());
    data_.format = "dcp";
    data_.root = root_;
    data_.root_is_folder = true;
    list_files(names);
    open_items();
    for (std::size_t first = 0, entry = 0; entry < metadata_.entries.size(); ++entry) {
      std::size_t last = first;
      while (last < items_.size() && items_[last].entry == entry) ++last;
      KILTER_TRY(take(metadata_.entries[entry], first, last));
      first = last;
    }
    KILTER_TRY(take_common());
    data_.state.set_root(build_state(leaves_, &data_.state));
    describe(names);
    read_documents(names);
    KILTER_TRY(data_.index.validate());
    return std::move(data_);
  }

 private:
  void list_files(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      const auto stat = files_.stat(root_ + "/" + name);
      number_of_.emplace(name, static_cast<std::uint32_t>(data_.index.files.size()));
      data_.index.files.push_back({name, stat ? stat->bytes : 0});
    }
  }

  /// Items of one file by offset, a few at a time: files are opened once a task.
  void open_items() {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < items_.size(); ++i)
      if (items_[i].place != nullptr) order.push_back(i);
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return std::tie(items_[a].place->file, items_[a].place->offset_bytes) <
             std::tie(items_[b].place->file, items_[b].place->offset_bytes);
    });
    ThreadPool pool(std::min(usable_cpu_count(), kOpenThreadsMax));
    for (std::size_t first = 0; first < order.size();) {
      std::size_t last = first + 1;
      while (last < order.size() && last - first < kItemsPerTask &&
             items_[order[last]].place->file == items_[order[first]].place->file)
        ++last;
      pool.submit([this, part = std::vector(order.begin() + static_cast<std::ptrdiff_t>(first),
                                            order.begin() + static_cast<std::ptrdiff_t>(last))] {
        open_some(part);
      });
      first = last;
    }
    pool.wait_idle();
  }

  void open_some(const std::vector<std::size_t>& numbers) {
    const std::string& name = items_[numbers.front()].place->file;
    auto file = io::open_beneath(files_, root_, name);
    for (const std::size_t i : numbers) {
      if (!file) {
        opened_[i].error = file.error();
        if (opened_[i].error->path.empty()) opened_[i].error->path = root_ + "/" + name;
        continue;
      }
      const Entry& entry = metadata_.entries[items_[i].entry];
      auto data = open_item(**file, *items_[i].place, entry.is_tensor,
                            item_path(root_, *items_[i].place, entry.fqn), options_);
      if (data) opened_[i].data = std::move(*data);
      if (!data) opened_[i].error = std::move(data).error();
    }
  }

  /// A fault is an error to a strict reader; a lenient one goes on without the entry.
  Status lose(const std::string& fqn, Error error) {
    if (error.path.empty()) error.path = root_ + "/" + std::string(kMetadataName);
    return lose_entry(fqn, std::move(error), options_, &data_);
  }

  Status take(const Entry& entry, std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) {
      if (items_[i].place == nullptr)
        return lose(entry.fqn,
                    Error(ErrorCode::kMalformed, "the metadata does not say where its data lies")
                        .wanted("an entry in storage_data",
                                entry.is_tensor ? fmt::format("none for chunk {}", items_[i].chunk)
                                                : "none"));
      if (opened_[i].error) return lose(entry.fqn, std::move(*opened_[i].error));
    }
    return entry.is_tensor ? take_tensor(entry, first, last) : take_object(entry, first);
  }

  /// A file that the folder's listing left out was opened all the same: it joins the index.
  std::uint32_t file_of(std::size_t item) {
    const std::string& name = items_[item].place->file;
    const auto [known, is_new] =
        number_of_.try_emplace(name, static_cast<std::uint32_t>(data_.index.files.size()));
    if (is_new) {
      const auto stat = files_.stat(root_ + "/" + name);
      data_.index.files.push_back({name, stat ? stat->bytes : 0});
    }
    return known->second;
  }

  std::vector<PathPart> path_of(const std::string& fqn) const {
    const auto found = metadata_.paths.find(fqn);
    return found == metadata_.paths.end() ? std::vector<PathPart>{{fqn, std::nullopt}}
                                          : found->second;
  }

  Status take_object(const Entry& entry, std::size_t item) {
    CheckpointData& more = *opened_[item].data;
    for (StorageInfo& storage : more.index.storages) storage.file = file_of(item);
    const StateId root = add_object(std::move(more), entry.fqn, &data_);
    if (root != kNoState) leaves_.push_back({path_of(entry.fqn), root});
    opened_[item].data.reset();
    return ok();
  }

  void keep_worse(std::vector<Finding> findings) {
    for (Finding& finding : findings)
      if (finding.severity != Severity::kNote) data_.findings.push_back(std::move(finding));
  }

  /// The one tensor that an item holds, its storage moved into the index.
  Result<TensorInfo> take_chunk(const Entry& entry, std::size_t item) {
    CheckpointData& more = *opened_[item].data;
    keep_worse(std::move(more.findings));
    const Chunk& chunk = entry.chunks[items_[item].chunk];
    const auto broken = [&](Error error) {
      return fail(std::move(error).at_path(item_path(root_, *items_[item].place, entry.fqn)));
    };
    if (more.index.tensors.size() != 1)
      return broken(Error(ErrorCode::kMalformed, "the item does not hold a tensor alone")
                        .wanted("one tensor", fmt::format("{}", more.index.tensors.size())));
    TensorInfo tensor = std::move(more.index.tensors[0]);
    if (tensor.dtype != entry.dtype)
      return broken(
          Error(ErrorCode::kMalformed, "the item has another dtype than the metadata says")
              .wanted(std::string(dtype_row(entry.dtype).name),
                      std::string(dtype_row(tensor.dtype).name)));
    if (tensor.shape != logical(entry.dtype, chunk.sizes))
      return broken(
          Error(ErrorCode::kMalformed, "the item has another shape than the metadata says")
              .wanted(fmt::format("[{}]", fmt::join(chunk.sizes, ", ")),
                      fmt::format("[{}]", fmt::join(tensor.shape, ", "))));
    StorageInfo storage = std::move(more.index.storages[tensor.storage]);
    storage.file = file_of(item);
    storage.name = entry.fqn;
    tensor.storage = static_cast<std::uint32_t>(data_.index.storages.size());
    data_.index.storages.push_back(std::move(storage));
    opened_[item].data.reset();
    return tensor;
  }

  Status take_tensor(const Entry& entry, std::size_t first, std::size_t last) {
    TensorInfo whole;
    if (last == first + 1 && is_whole(entry.chunks[items_[first].chunk], entry)) {
      auto tensor = take_chunk(entry, first);
      if (!tensor) return lose(entry.fqn, std::move(tensor).error());
      whole = std::move(*tensor);
    } else {
      auto tensor = assemble(entry, first, last);
      if (!tensor) return lose(entry.fqn, std::move(tensor).error());
      whole = std::move(*tensor);
    }
    whole.name = entry.fqn;
    data_.index.tensors.push_back(std::move(whole));
    leaves_.push_back({path_of(entry.fqn),
                       formats::add_tensor_node(data_.index.tensors.size() - 1, &data_.state)});
    return ok();
  }

  Result<TensorInfo> assemble(const Entry& entry, std::size_t first, std::size_t last) {
    const bool packed = dtype_row(entry.dtype).bits % 8 != 0;
    auto assembly = std::make_shared<Assembly>();
    assembly->element = packed ? DType::kU8 : entry.dtype;
    assembly->shape = entry.size;
    TensorInfo whole;
    for (std::size_t i = first; i < last; ++i) {
      KILTER_ASSIGN(const TensorInfo tensor, take_chunk(entry, i));
      if (tensor.conjugate || tensor.negative || (packed && !tensor.contiguous()))
        return fail(Error(ErrorCode::kUnsupported, "a chunk that is stored as a changed view"));
      const Chunk& chunk = entry.chunks[items_[i].chunk];
      Piece piece{chunk.offsets, chunk.sizes, tensor.storage, tensor.offset_elements,
                  tensor.strides};
      if (packed) {
        piece.strides = contiguous_strides(chunk.sizes);
        piece.offset_elements = tensor.offset_elements * dtype_row(entry.dtype).bits / 8;
      }
      assembly->pieces.push_back(std::move(piece));
      whole.requires_grad = whole.requires_grad || tensor.requires_grad;
    }
    whole.name = entry.fqn;
    whole.dtype = entry.dtype;
    whole.shape = logical(entry.dtype, entry.size);
    return add_assembled(std::move(assembly), std::move(whole), &data_.index);
  }

  /// Megatron keeps what is not sharded in a torch file of its own.
  Status take_common() {
    const auto found = number_of_.find(std::string(kCommonName));
    if (found == number_of_.end()) return ok();
    const std::string path = root_ + "/" + found->first;
    KILTER_TRY(io::open_beneath(files_, root_, found->first));
    KILTER_ASSIGN(const auto probe, formats::make_probe(files_, path));
    const auto recognized = formats::recognize(probe);
    if (recognized.format == nullptr || probe.is_folder) return ok();
    auto more = recognized.format->open({&files_, path, &probe, options_});
    if (!more) return lose("common", std::move(more).error());
    for (StorageInfo& storage : more->index.storages) storage.file = found->second;
    const StateId root = formats::append_data(std::move(*more), "common.", false, &data_);
    if (root != kNoState) leaves_.push_back({{{"common", std::nullopt}}, root});
    return ok();
  }

  /// Small JSON beside the data: Megatron's metadata.json, a model's config.json.
  void read_documents(const std::vector<std::string>& names) {
    constexpr std::uint64_t kDocumentBytesMax = 1 << 20;
    constexpr std::size_t kDocumentsMax = 20;
    for (const std::string& name : names) {
      if (!name.ends_with(".json") || name.find('/') != std::string::npos) continue;
      if (data_.documents.size() >= kDocumentsMax) return;
      const auto file = io::open_beneath(files_, root_, name);
      if (!file || (*file)->bytes() > kDocumentBytesMax) continue;
      std::string text((*file)->bytes(), '\0');
      if (!(*file)->read_at(0, std::as_writable_bytes(std::span(text)))) continue;
      if (is_valid_utf8(text)) data_.documents.push_back({name, std::move(text)});
    }
  }

  void describe(const std::vector<std::string>& names) {
    std::set<std::string_view> used, transforms;
    for (const Item& item : items_) {
      if (item.place == nullptr) continue;
      used.insert(item.place->file);
      transforms.insert(item.place->transforms.begin(), item.place->transforms.end());
    }
    data_.format_detail = metadata_.class_name.starts_with("megatron.") ||
                                  number_of_.contains(std::string(kCommonName))
                              ? "Megatron distributed checkpoint"
                              : "torch distributed checkpoint";
    if (!metadata_.version.empty()) data_.format_detail += ", version " + metadata_.version;
    data_.format_detail += fmt::format(", {} items in {} files", items_.size(), used.size());
    for (const std::string_view name : transforms) data_.format_detail.append(", ").append(name);
    if (!metadata_.version.empty()) data_.metadata.emplace_back("version", metadata_.version);
    std::size_t strangers = 0;
    for (const std::string& name : names)
      if (name.ends_with(kDataSuffix) && !used.contains(name)) ++strangers;
    if (strangers == 0) return;
    Finding finding;
    finding.rule = "dcp.unlisted-file";
    finding.severity = Severity::kNote;
    finding.path = root_;
    finding.message = fmt::format("{} data files are not mentioned by the metadata", strangers);
    data_.findings.push_back(std::move(finding));
  }

  io::FileSystem& files_;
  const std::string& root_;
  const OpenOptions& options_;
  Metadata metadata_;
  std::vector<Item> items_;
  std::vector<OpenedItem> opened_;  // one for each item
  std::unordered_map<std::string, std::uint32_t> number_of_;
  std::vector<StateLeaf> leaves_;
  CheckpointData data_;
};

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::binary_search(names.begin(), names.end(), name);
}

Error unfinished(const std::string& root, std::string_view found) {
  return Error(ErrorCode::kMalformed,
               "the distributed checkpoint has no .metadata: its save never finished")
      .at_path(root)
      .wanted(".metadata, written when all ranks are done", std::string(found))
      .advise("take an earlier checkpoint; data without metadata cannot be told apart");
}

}  // namespace

Result<Metadata> read_metadata(io::FileSystem& files, const std::string& root,
                               const std::vector<std::string>& names,
                               std::uint64_t header_bytes_max) {
  if (!contains(names, kMetadataName))
    return fail(
        unfinished(root, contains(names, kUnfinishedName) ? kUnfinishedName : "only data files"));
  const std::string path = root + "/" + std::string(kMetadataName);
  KILTER_ASSIGN(const auto file, io::open_beneath(files, root, kMetadataName));
  if (file->bytes() > header_bytes_max)
    return fail(Error(ErrorCode::kLimitExceeded, "the metadata is too large")
                    .at_path(path)
                    .wanted(fmt::format("at most {} bytes", header_bytes_max),
                            fmt::format("{} bytes", file->bytes())));
  std::vector<std::byte> bytes(static_cast<std::size_t>(file->bytes()));
  KILTER_TRY(file->read_at(0, bytes));
  return parse_metadata(bytes, path, header_bytes_max);
}

std::vector<Item> list_items(const Metadata& metadata) {
  std::vector<Item> out;
  for (std::size_t e = 0; e < metadata.entries.size(); ++e) {
    const Entry& entry = metadata.entries[e];
    if (!entry.is_tensor) {
      const auto place = metadata.object_places.find(entry.fqn);
      out.push_back({e, 0, place == metadata.object_places.end() ? nullptr : &place->second});
      continue;
    }
    // The first of several chunks at one place: ranks that hold the same all may have said so.
    std::set<std::vector<std::int64_t>> seen;
    for (std::size_t c = 0; c < entry.chunks.size(); ++c) {
      const Chunk& chunk = entry.chunks[c];
      if (!has_elements(chunk.sizes) && entry.chunks.size() > 1) continue;
      if (entry.chunks.size() > 1 && !seen.insert(chunk.offsets).second) continue;
      out.push_back({e, c, metadata.find(entry.fqn, chunk.offsets)});
    }
  }
  return out;
}

std::string item_path(const std::string& root, const Place& place, const std::string& fqn) {
  return root + "/" + place.file + "!" + fqn;
}

Result<CheckpointData> open_dcp(io::FileSystem& files, const std::string& root,
                                const std::vector<std::string>& names, const OpenOptions& options) {
  return DcpOpening(files, root, options).run(names);
}

}  // namespace kilter::dcp

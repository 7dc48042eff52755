// Kilter's front door: opens any checkpoint and reads its tensors. Owned by the floor `formats`.
//
//   auto checkpoint = kilter::open_checkpoint("model.pt");
//   if (!checkpoint) { std::puts(checkpoint.error().text().c_str()); return 1; }
//   auto bytes = checkpoint->read_tensor("layer.weight");
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kilter/error.h"
#include "kilter/finding.h"
#include "kilter/loaded_tensors.h"
#include "kilter/progress.h"
#include "kilter/state_tree.h"
#include "kilter/tensor_index.h"

namespace kilter {

class Source;  // src/flow/source.h: for the floors above; consumers never need its members
namespace io {
class FileSystem;
}

/// A small text document found beside the weights or inside them: config.json, a model card.
struct Document {
  std::string path;  ///< relative to the checkpoint
  std::string text;
};

/// Everything a reader learns from headers: no tensor bytes are touched.
struct CheckpointData {
  std::string path;           ///< as given by the caller
  std::string format;         ///< name in the table of formats: "safetensors", "torch-zip"
  std::string format_detail;  ///< variant for people: "zip, protocol 2, version 3, little-endian"
  std::string root;           ///< file system path of the file or folder
  bool root_is_folder = false;
  TensorIndex index;
  StateTree state;  ///< whatever is not tensors; its kTensor nodes point into `index`
  std::vector<std::pair<std::string, std::string>> metadata;  ///< as stated, file order
  std::vector<Document> documents;  ///< at most a few MiB each; larger ones only in index.files
  std::vector<Finding> findings;    ///< oddities seen while opening
  std::vector<std::pair<std::string, std::string>>
      ties;  ///< (name, the earlier name of the same tensor)
};

struct OpenOptions {
  /// Open damaged files as far as they are intact: faults become findings, tensors whose bytes
  /// are not all there are left out. For `verify --rescue`.
  bool lenient = false;
  /// Upper bound for header and pickle memory.
  std::uint64_t header_bytes_max = 1ULL << 30;
  /// Show whole tensors where several ranks saved pieces of them (spec/sharded-step.md); false:
  /// each rank's own tensors, as "rank-00003.NAME".
  bool join_ranks = true;
  io::FileSystem* files = nullptr;  ///< nullptr: the real one
};

/// An opened checkpoint. Cheap to copy; safe to use from several threads.
class Checkpoint {
 public:
  Checkpoint(std::shared_ptr<const CheckpointData> data, std::shared_ptr<const Source> source)
      : data_(std::move(data)), source_(std::move(source)) {}

  const CheckpointData& data() const { return *data_; }
  const std::vector<TensorInfo>& tensors() const { return data_->index.tensors; }
  std::shared_ptr<const Source> source() const { return source_; }

  /// The whole tensor: contiguous, C order, little-endian, `info.bytes()` bytes.
  /// Errors: kNotFound (with the nearest names as hint), kIo, kMalformed, kLimitExceeded when
  /// memory is refused.
  Result<std::vector<std::byte>> read_tensor(std::string_view name) const;
  /// Bytes [offset_bytes, offset_bytes + out.size()) of tensor number `index`. Keeps nothing.
  Status read_tensor(std::size_t index, std::uint64_t offset_bytes, std::span<std::byte> out) const;

  /// All tensors into memory, or mapped where that is faster.
  Result<std::unique_ptr<LoadedTensors>> load(const RunContext& context = {}) const;

 private:
  std::shared_ptr<const CheckpointData> data_;
  std::shared_ptr<const Source> source_;
};

/// Opens a file or folder of any known format, recognized by content. Nothing inside is executed.
///
/// Errors: kNotFound, kPermission, kIo; kUnsupported when no format fits, with a plain diagnosis
/// (LFS pointer, HTML page, zero-filled, …) as message and what to do as hint; kMalformed with
/// tensor and offset; kLimitExceeded.
Result<Checkpoint> open_checkpoint(std::string_view address, const OpenOptions& options = {});

}  // namespace kilter

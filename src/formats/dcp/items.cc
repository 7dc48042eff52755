#include "formats/dcp/items.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/try.h"
#include "formats/dcp/compressed_items.h"
#include "formats/torch/zip_reader.h"
#include "formats/zip/sub_file.h"

namespace kilter::dcp {
namespace {

/// data.pkl of one tensor and the small records behind it; the directory and the end records.
constexpr std::uint64_t kHeadBytes = 2048;
constexpr std::uint64_t kTailBytes = 2048;
constexpr std::uint64_t kWholeBytesMax = 16384;
constexpr std::uint64_t kDecodedBytesMax = 1ULL << 30;

/// A range of a file whose ends are in memory.
class EndsFile final : public io::ReadFile {
 public:
  EndsFile(const io::ReadFile& outer, std::string path, std::uint64_t offset, std::uint64_t bytes)
      : outer_(outer), path_(std::move(path)), offset_(offset), bytes_(bytes) {}

  Status load() {
    const bool whole = bytes_ <= kWholeBytesMax;
    head_.resize(whole ? bytes_ : kHeadBytes);
    KILTER_TRY(outer_.read_at(offset_, head_));
    if (whole) return ok();
    tail_.resize(kTailBytes);
    return outer_.read_at(offset_ + bytes_ - kTailBytes, tail_);
  }

  const std::string& path() const override { return path_; }
  std::uint64_t bytes() const override { return bytes_; }
  Status read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const override {
    if (!range_fits(offset_bytes, out.size(), bytes_))
      return fail(Error(ErrorCode::kOutOfRange, "read past the end of the item")
                      .at_path(path_)
                      .at_offset(offset_bytes));
    if (out.empty()) return ok();
    if (offset_bytes + out.size() <= head_.size()) {
      std::memcpy(out.data(), head_.data() + offset_bytes, out.size());
      return ok();
    }
    const std::uint64_t tail_begin = bytes_ - tail_.size();
    if (offset_bytes < tail_begin) return outer_.read_at(offset_ + offset_bytes, out);
    std::memcpy(out.data(), tail_.data() + (offset_bytes - tail_begin), out.size());
    return ok();
  }

 private:
  const io::ReadFile& outer_;
  std::string path_;
  std::uint64_t offset_;
  std::uint64_t bytes_;
  std::vector<std::byte> head_, tail_;
};

}  // namespace

bool is_compressed(const Place& place) {
  return place.transforms.size() == 1 && is_zstd(place.transforms.front());
}

Status check_place(const Place& place, const io::ReadFile& file) {
  if (!place.transforms.empty() && !is_compressed(place))
    return fail(Error(ErrorCode::kUnsupported, "the item was transformed in an unknown way")
                    .at_path(file.path())
                    .at_offset(place.offset_bytes)
                    .wanted("stream.zstd/1, or none", place.transforms.back()));
  if (range_fits(place.offset_bytes, place.bytes, file.bytes())) return ok();
  return fail(Error(ErrorCode::kMalformed, "the item ends past the end of the file")
                  .at_path(file.path())
                  .at_offset(place.offset_bytes)
                  .wanted(std::to_string(place.bytes) + " bytes",
                          "a file of " + std::to_string(file.bytes()) + " bytes"));
}

Result<std::unique_ptr<io::ReadFile>> item_file(const io::ReadFile& file, const Place& place,
                                                std::string path) {
  KILTER_TRY(check_place(place, file));
  if (is_compressed(place)) {
    KILTER_ASSIGN(auto decoded, decode_item(file, place, kDecodedBytesMax + 1));
    if (decoded.size() > kDecodedBytesMax)
      return fail(Error(ErrorCode::kLimitExceeded, "a compressed item is too large to look through")
                      .at_path(path)
                      .wanted(std::to_string(kDecodedBytesMax) + " bytes", "more than that"));
    return std::make_unique<zip::MemoryFile>(std::move(path), std::move(decoded));
  }
  auto ends = std::make_unique<EndsFile>(file, std::move(path), place.offset_bytes, place.bytes);
  KILTER_TRY(ends->load());
  return ends;
}

Result<CheckpointData> open_item(const io::ReadFile& file, const Place& place, bool tensor,
                                 const std::string& path, const OpenOptions& options) {
  if (is_compressed(place)) {
    KILTER_TRY(check_place(place, file));
    return tensor ? open_compressed_tensor(file, place, path, options)
                  : open_compressed_object(file, place, path, options);
  }
  KILTER_ASSIGN(const auto item, item_file(file, place, path));
  zip::Limits limits;
  limits.tail_bytes_max = kTailBytes;  // torch's archives have no comment
  KILTER_ASSIGN(auto opened, torch::open_zip(*item, options, limits));
  for (StorageInfo& storage : opened.data.index.storages)
    if (storage.coding != StorageCoding::kInline) storage.offset_bytes += place.offset_bytes;
  return std::move(opened.data);
}

}  // namespace kilter::dcp

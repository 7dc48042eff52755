#include "formats/torch/archive_chain.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/checked.h"
#include "base/try.h"
#include "formats/file_name.h"
#include "formats/merge_data.h"
#include "formats/torch/zip_reader.h"
#include "formats/zip/sub_file.h"
#include "formats/zip/zip_format.h"

namespace kilter::torch {
namespace {

using namespace zip;

constexpr std::size_t kLinksMax = 1'000'000;
constexpr std::uint64_t kEndsBytes = kEnd64Bytes + kLocator64Bytes + kEndBytes;

/// Where the archive begins whose end records are the last bytes before `end`.
std::optional<std::uint64_t> begin_of(Bytes ends, std::uint64_t end) {
  const std::size_t plain = ends.size() - kEndBytes;
  if (load_le<std::uint32_t>(ends, plain) != kEndSignature) return std::nullopt;
  if (load_le<std::uint16_t>(ends, plain + 20) != 0) return std::nullopt;  // a comment
  std::uint64_t bytes = load_le<std::uint32_t>(ends, plain + 12);
  std::uint64_t offset = load_le<std::uint32_t>(ends, plain + 16);
  std::uint64_t records = kEndBytes;
  if (ends.size() == kEndsBytes && load_le<std::uint32_t>(ends, 0) == kEnd64Signature &&
      load_le<std::uint32_t>(ends, kEnd64Bytes) == kLocator64Signature) {
    bytes = load_le<std::uint64_t>(ends, 40);
    offset = load_le<std::uint64_t>(ends, 48);
    records = kEndsBytes;
  }
  const auto length = checked_add(bytes, offset);
  if (!length || !range_fits(*length, records, end)) return std::nullopt;
  return end - records - *length;
}

}  // namespace

Result<std::vector<ChainLink>> split_chain(const io::ReadFile& file) {
  std::vector<ChainLink> chain;
  std::array<std::byte, kEndsBytes> ends;
  for (std::uint64_t end = file.bytes(); end > 0;) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(end, kEndsBytes));
    if (count < kEndBytes || chain.size() >= kLinksMax) return std::vector<ChainLink>();
    const auto raw = std::span(ends).first(count);
    KILTER_TRY(file.read_at(end - count, raw));
    const auto begin = begin_of(raw, end);
    if (!begin || *begin >= end) return std::vector<ChainLink>();
    std::array<std::byte, 4> signature;
    KILTER_TRY(file.read_at(*begin, signature));
    if (load_le<std::uint32_t>(signature, 0) != kLocalSignature) return std::vector<ChainLink>();
    chain.push_back({*begin, end - *begin});
    end = *begin;
  }
  if (chain.size() < 2) return std::vector<ChainLink>();
  std::reverse(chain.begin(), chain.end());
  return chain;
}

std::string link_path(const io::ReadFile& file, const ChainLink& link) {
  return file.path() + "!@" + std::to_string(link.offset_bytes);
}

Result<CheckpointData> open_chain(const io::ReadFile& file, const std::vector<ChainLink>& chain,
                                  const OpenOptions& options) {
  CheckpointData data;
  data.format = "torch-zip";
  data.format_detail =
      std::to_string(chain.size()) + " archives end to end, as distributed checkpoints keep them";
  data.root = file.path();
  data.index.files = {{formats::file_name_of(file.path()), file.bytes()}};
  formats::DictBuilder root(&data.state);
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const zip::RangeFile archive(file, link_path(file, chain[i]), chain[i].offset_bytes,
                                 chain[i].bytes);
    KILTER_ASSIGN(auto opened, open_zip(archive, options));
    for (StorageInfo& storage : opened.data.index.storages)
      if (storage.coding != StorageCoding::kInline) storage.offset_bytes += chain[i].offset_bytes;
    const std::string name = std::to_string(i);
    const std::size_t before = data.index.tensors.size();
    const StateId node = formats::append_data(std::move(opened.data), name + ".", false, &data);
    if (node == kNoState) continue;
    if (data.state[node].kind == StateKind::kTensor) data.index.tensors[before].name = name;
    root.add(name, node);
  }
  data.state.set_root(root.finish());
  KILTER_TRY(data.index.validate());
  return data;
}

}  // namespace kilter::torch

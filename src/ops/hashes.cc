#include "ops/hashes.h"

#include <algorithm>
#include <future>

#include "base/hash.h"
#include "base/try.h"
#include "flow/blocks.h"
#include "io/file_system.h"

namespace kilter::ops {

namespace {

constexpr std::uint64_t kWebuiOffsetBytes = 0x100000;
constexpr std::uint64_t kWebuiBytes = 0x10000;

/// Feeds the part of `block` (which starts at `block_offset`) that lies in [begin, end).
void update_range(Sha256* hash, std::uint64_t block_offset, Bytes block, std::uint64_t begin,
                  std::uint64_t end) {
  const std::uint64_t from = std::max(begin, block_offset);
  const std::uint64_t to = std::min(end, block_offset + block.size());
  if (from < to) hash->update(block.subspan(from - block_offset, to - from));
}

/// End of a safetensors header: 8 + N; 0 if the file is too short to have one.
std::uint64_t safetensors_data_begin(const io::ReadFile& file) {
  std::byte raw[8];
  if (file.bytes() < 8 || !file.read_at(0, raw)) return 0;
  const auto header_bytes = ByteReader(raw).u64_le();
  return header_bytes && *header_bytes <= file.bytes() - 8 ? 8 + *header_bytes : 0;
}

Result<FileHashes> hash_file(const io::ReadFile& file, const std::string& name, bool safetensors,
                             const RunContext& context, std::uint64_t* done_bytes) {
  const std::uint64_t data_begin = safetensors ? safetensors_data_begin(file) : 0;
  Sha256 whole, data, webui;
  Blake3 blake;
  const auto use = [&](std::uint64_t offset, Bytes block) -> Status {
    // SHA-256 is the slow one: the others go to a second thread.
    auto others = std::async(std::launch::async, [&] {
      blake.update(block);
      if (data_begin > 0) update_range(&data, offset, block, data_begin, file.bytes());
    });
    whole.update(block);
    update_range(&webui, offset, block, kWebuiOffsetBytes, kWebuiOffsetBytes + kWebuiBytes);
    others.get();
    return ok();
  };
  KILTER_TRY(for_each_block(file, context, use, done_bytes));
  FileHashes out;
  out.path = name;
  out.sha256 = to_hex(whole.finish());
  out.blake3 = to_hex(blake.finish());
  out.webui_old = to_hex(webui.finish()).substr(0, 8);
  if (data_begin > 0) out.data_sha256 = to_hex(data.finish());
  return out;
}

/// Files that tensors lie in; all files when there are no tensors.
std::vector<std::uint32_t> weight_files(const TensorIndex& index) {
  std::vector<std::uint32_t> out;
  for (const StorageInfo& storage : index.storages) out.push_back(storage.file);
  if (out.empty())
    for (std::uint32_t i = 0; i < index.files.size(); ++i) out.push_back(i);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace

Result<std::vector<FileHashes>> hash_files(const CheckpointData& data, io::FileSystem& files,
                                           const RunContext& context) {
  std::vector<FileHashes> out;
  std::uint64_t total_bytes = 0, done_bytes = 0;
  const std::vector<std::uint32_t> wanted = weight_files(data.index);
  for (const std::uint32_t file : wanted) total_bytes += data.index.files[file].bytes;
  if (context.progress != nullptr) context.progress->begin("hash", total_bytes);
  for (const std::uint32_t file : wanted) {
    const std::string& name = data.index.files[file].path;
    const std::string path = data.root_is_folder ? data.root + "/" + name : data.root;
    KILTER_ASSIGN(auto opened, files.open_read(path));
    const bool safetensors = safetensors_data_begin(*opened) > 0 &&
                             (data.format == "safetensors" || name.ends_with(".safetensors"));
    KILTER_ASSIGN(FileHashes hashes, hash_file(*opened, name, safetensors, context, &done_bytes));
    out.push_back(std::move(hashes));
  }
  if (context.progress != nullptr) context.progress->end();
  return out;
}

Result<std::string> hash_tensor(const Checkpoint& checkpoint, std::size_t tensor,
                                const RunContext& context) {
  const std::uint64_t bytes = checkpoint.tensors()[tensor].bytes();
  std::vector<std::byte> block(static_cast<std::size_t>(std::min<std::uint64_t>(bytes, 4U << 20)));
  Sha256 hash;
  for (std::uint64_t at = 0; at < bytes;) {
    KILTER_TRY(context.check());
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), bytes - at));
    KILTER_TRY(checkpoint.read_tensor(tensor, at, {block.data(), count}));
    hash.update({block.data(), count});
    at += count;
  }
  return to_hex(hash.finish());
}

}  // namespace kilter::ops

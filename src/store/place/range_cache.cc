#include "store/place/range_cache.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/text.h"
#include "io/file_system.h"
#include "store/digest.h"
#include "store/place/cache_folder.h"
#include "store/place/place.h"

namespace kilter::store {
namespace {

constexpr std::uint64_t kCacheBytesDefault = 10ULL << 30;
constexpr std::uint64_t kLookPart = 16;  // of the bound may be added between two looks
constexpr std::uint64_t kRangePart = 8;  // a range above this part of the bound is not kept
constexpr std::size_t kTrailerBytes = 32;

using Trailer = Digest;

/// Also of the version: another one's bytes are not these.
Trailer trailer_of(const std::string& version, Bytes bytes) {
  return blake3(as_bytes(to_hex(blake3(bytes)) + version));
}

std::string range_name(std::uint64_t offset_bytes, std::uint64_t count_bytes) {
  return fmt::format("{:x}-{:x}", offset_bytes, count_bytes);
}

struct CachedRange {
  std::string path;
  std::uint64_t bytes = 0;
  std::int64_t used_unix_ns = 0;
};

/// All ranges; a file that some process is writing, or left half written, is one too.
std::vector<CachedRange> cached_ranges(const std::string& folder) {
  io::FileSystem& files = io::real_file_system();
  std::vector<CachedRange> out;
  const auto objects = files.list(folder);
  if (!objects) return out;
  for (const io::FolderEntry& object : *objects) {
    if (object.stat.kind != io::FileKind::kFolder) continue;
    const std::string inner = io::join_path(folder, object.name);
    const auto ranges = files.list(inner);
    if (!ranges) continue;
    for (const io::FolderEntry& range : *ranges)
      if (range.stat.kind == io::FileKind::kFile)
        out.push_back(
            {io::join_path(inner, range.name), range.stat.bytes, range.stat.modified_unix_ns});
  }
  return out;
}

bool write_range(const std::string& path, Bytes bytes, const Trailer& trailer) {
  io::FileSystem& files = io::real_file_system();
  const std::string beside = path + "." + random_hex(16) + ".tmp";
  auto file = files.create(beside);
  if (!file) return false;
  const bool written = (*file)->write_at(0, bytes) && (*file)->write_at(bytes.size(), trailer);
  file->reset();
  // Not synced: a torn file fails its digest.
  if (written && files.rename(beside, path, io::Replace::kAllow)) return true;
  static_cast<void>(files.remove(beside));
  return false;
}

}  // namespace

RangeCache::RangeCache(const std::string& folder, std::uint64_t bytes_max)
    : folder_(io::join_path(folder, "ranges")), bytes_max_(bytes_max) {}

std::string RangeCache::folder_of(const std::string& object) const {
  return io::join_path(folder_, to_hex(blake3(as_bytes(object))).substr(0, 32));
}

bool RangeCache::find(const std::string& object, const std::string& version,
                      std::uint64_t offset_bytes, std::span<std::byte> out) {
  const std::string path = io::join_path(folder_of(object), range_name(offset_bytes, out.size()));
  const auto file = io::real_file_system().open_read(path);
  if (!file || (*file)->bytes() != out.size() + kTrailerBytes) return false;
  Trailer trailer{};
  if (!(*file)->read_at(0, out) || !(*file)->read_at(out.size(), trailer)) return false;
  if (trailer != trailer_of(version, out)) return false;
  static_cast<void>(::futimens((*file)->fd(), nullptr));  // used now
  return true;
}

void RangeCache::add(const std::string& object, const std::string& version,
                     std::uint64_t offset_bytes, Bytes bytes) {
  const std::uint64_t total = bytes.size() + kTrailerBytes;
  if (total > bytes_max_ / kRangePart) return;
  make_room(total);
  const std::string folder = folder_of(object);
  make_private_folders(folder);
  write_range(io::join_path(folder, range_name(offset_bytes, bytes.size())), bytes,
              trailer_of(version, bytes));
}

bool RangeCache::forget(const std::string& object) {
  const std::string folder = folder_of(object);
  if (!io::real_file_system().stat(folder)) return false;
  return io::remove_tree(io::real_file_system(), folder).has_value();
}

/// Looks at the folder now and then; between two looks only what this process adds is known.
void RangeCache::make_room(std::uint64_t bytes) {
  const std::lock_guard guard(mutex_);
  added_bytes_ += bytes;
  if (looked_ && added_bytes_ <= bytes_max_ / kLookPart) return;
  looked_ = true;
  added_bytes_ = bytes;
  std::vector<CachedRange> ranges = cached_ranges(folder_);
  std::uint64_t total = 0;
  for (const CachedRange& range : ranges) total += range.bytes;
  const std::uint64_t wanted = bytes_max_ - bytes_max_ / kLookPart * 2;
  if (total <= wanted) return;
  std::ranges::sort(ranges, {}, &CachedRange::used_unix_ns);
  for (const CachedRange& range : ranges) {
    if (total <= wanted) return;
    static_cast<void>(io::real_file_system().remove(range.path));
    static_cast<void>(io::real_file_system().remove(io::parent_path(range.path)));  // if empty
    total -= range.bytes;
  }
}

std::shared_ptr<RangeCache> range_cache_of_environment() {
  std::uint64_t bytes = kCacheBytesDefault;
  const std::string stated = environment_text("KILTER_CACHE_BYTES");
  if (!stated.empty() && !parse_bytes(stated, &bytes)) bytes = kCacheBytesDefault;
  const std::string folder = cache_folder_of_environment();
  if (bytes == 0 || folder.empty()) return nullptr;
  return std::make_shared<RangeCache>(folder, bytes);
}

}  // namespace kilter::store

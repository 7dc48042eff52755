#include "store/write/seen_files.h"

#include <algorithm>
#include <vector>

#include "base/byte_reader.h"
#include "base/text.h"
#include "base/try.h"
#include "store/place/cache_folder.h"
#include "store/place/place.h"

namespace kilter::store {
namespace {

// A file of this cache: magic, entries oldest first, BLAKE3 of all before. Little-endian. It can be
// deleted at any time; another layout gets another magic.
constexpr std::string_view kSeenMagic = "kltseen1";
constexpr std::size_t kSeenEntryBytes = 5 * 8 + 32 + 4;
constexpr std::size_t kSeenDigestBytes = 32;

template <typename T>
void append_number(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    out += static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xFF);
}

/// The entries' bytes; empty where the file is none of ours.
std::string read_seen(const std::string& path) {
  auto file = io::real_file_system().open_read(path);
  const std::uint64_t most =
      kSeenMagic.size() + SeenFiles::kEntriesMax * kSeenEntryBytes + kSeenDigestBytes;
  if (!file || (*file)->bytes() < kSeenMagic.size() + kSeenDigestBytes || (*file)->bytes() > most)
    return {};
  std::string text((*file)->bytes(), '\0');
  if (!(*file)->read_at(0, std::as_writable_bytes(std::span(text)))) return {};
  const std::size_t end = text.size() - kSeenDigestBytes;
  const Digest digest = blake3(as_bytes(std::string_view(text).substr(0, end)));
  if (!std::ranges::equal(as_bytes(std::string_view(text).substr(end)), digest)) return {};
  if (!text.starts_with(kSeenMagic) || (end - kSeenMagic.size()) % kSeenEntryBytes != 0) return {};
  return text.substr(kSeenMagic.size(), end - kSeenMagic.size());
}

void forget_oldest_stores(const std::string& folder) {
  io::FileSystem& files = io::real_file_system();
  auto entries = files.list(folder);
  if (!entries || entries->size() <= SeenFiles::kStoresMax) return;
  std::ranges::sort(*entries, std::ranges::greater(),
                    [](const io::FolderEntry& entry) { return entry.stat.modified_unix_ns; });
  for (std::size_t i = SeenFiles::kStoresMax; i < entries->size(); ++i)
    static_cast<void>(files.remove(io::join_path(folder, (*entries)[i].name)));
}

}  // namespace

SeenFiles::Key SeenFiles::key_of(const io::FileStat& stat) {
  return {stat.device, stat.inode, stat.bytes, stat.modified_unix_ns, stat.changed_unix_ns};
}

SeenFiles SeenFiles::load(const std::string& folder, std::string_view store_text) {
  SeenFiles out;
  if (folder.empty()) return out;
  const std::string id = to_hex(blake3(as_bytes(store_text))).substr(0, 32);
  out.path_ = io::join_path(io::join_path(folder, "seen"), id);
  const std::string text = read_seen(out.path_);
  const Bytes bytes = as_bytes(text);
  for (std::size_t at = 0; at < bytes.size(); at += kSeenEntryBytes) {
    const auto number = [&](std::size_t i) { return load_le<std::uint64_t>(bytes, at + 8 * i); };
    const Key key{number(0), number(1), number(2), static_cast<std::int64_t>(number(3)),
                  static_cast<std::int64_t>(number(4))};
    Entry entry;
    const Bytes tree = bytes.subspan(at + 40, entry.seen.tree.size());
    std::copy(tree.begin(), tree.end(), entry.seen.tree.begin());
    entry.seen.file = load_le<std::uint32_t>(bytes, at + 72);
    entry.age = out.next_age_++;
    out.entries_.insert_or_assign(key, entry);
  }
  return out;
}

Result<SeenFiles> SeenFiles::of_user(const Store& store) {
  KILTER_ASSIGN(const auto text, store.place().read_small(std::string(kStoreFile)));
  return load(cache_folder_of_environment(), text.value_or(""));
}

std::optional<SeenFile> SeenFiles::find(const io::FileStat& stat) const {
  const auto found = entries_.find(key_of(stat));
  return found == entries_.end() ? std::nullopt : std::optional(found->second.seen);
}

void SeenFiles::add(const io::FileStat& stat, const SeenFile& seen, std::int64_t begun_unix_ns) {
  if (stat.inode == 0) return;
  if (std::max(stat.modified_unix_ns, stat.changed_unix_ns) > begun_unix_ns - kTooFreshNs) return;
  entries_.insert_or_assign(key_of(stat), Entry{seen, next_age_++});
  changed_ = true;
}

void SeenFiles::drop_oldest() {
  if (entries_.size() <= kEntriesMax) return;
  std::vector<std::uint64_t> ages;
  for (const auto& [key, entry] : entries_) ages.push_back(entry.age);
  const auto first_kept = ages.end() - kEntriesMax;
  std::ranges::nth_element(ages, first_kept);
  std::erase_if(entries_, [&](const auto& entry) { return entry.second.age < *first_kept; });
}

std::string SeenFiles::text() const {
  std::vector<const std::pair<const Key, Entry>*> order;
  for (const auto& entry : entries_) order.push_back(&entry);
  std::ranges::sort(order, {}, [](const auto* entry) { return entry->second.age; });
  std::string out(kSeenMagic);
  for (const auto* entry : order) {
    std::apply([&](auto... parts) { (append_number(out, parts), ...); }, entry->first);
    const SeenFile& seen = entry->second.seen;
    out.append(reinterpret_cast<const char*>(seen.tree.data()), seen.tree.size());
    append_number(out, seen.file);
  }
  const Digest digest = blake3(as_bytes(out));
  out.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  return out;
}

bool SeenFiles::save() {
  if (!changed_ || path_.empty()) return true;
  drop_oldest();
  io::FileSystem& files = io::real_file_system();
  const std::string folder = io::parent_path(path_);
  make_private_folders(folder);
  const std::string beside = path_ + "." + random_hex(16) + ".tmp";
  auto file = files.create(beside);
  if (!file) return false;
  // Not synced: a torn file fails its digest.
  const bool written = (*file)->write_at(0, as_bytes(text())).has_value();
  file->reset();
  if (written && files.rename(beside, path_, io::Replace::kAllow)) {
    changed_ = false;
    forget_oldest_stores(folder);
    return true;
  }
  static_cast<void>(files.remove(beside));
  return false;
}

}  // namespace kilter::store

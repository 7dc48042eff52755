#include "store/index/index_file.h"

#include <algorithm>

#include "base/checked.h"
#include "base/try.h"

namespace kilter::store {
namespace {

constexpr std::string_view kIndexMagic = "KILTINDX";
constexpr std::uint32_t kIndexVersion = 1;
constexpr std::size_t kIndexHeaderBytes = 128;
constexpr std::size_t kSectionsAt = 16;
constexpr std::size_t kIndexDigestAt = 96;
constexpr std::size_t kPackEntryBytes = 48;
constexpr std::size_t kChunkEntryBytes = kChunkRecordBytes + 8;
constexpr std::size_t kCommitEntryBytes = 56;
constexpr std::uint64_t kIndexBytesMax = 1ULL << 40;

void append_section(std::vector<std::byte>& out, std::uint64_t& offset, std::uint64_t count,
                    std::uint64_t entry_bytes) {
  append_u64(out, offset);
  append_u64(out, count);
  offset = round_up(offset + count * entry_bytes, 8);
}

std::vector<std::byte> index_sections(const IndexContent& content, std::string_view heap) {
  std::vector<std::byte> out;
  for (const IndexedPack& pack : content.packs) {
    append_bytes(out, pack.digest);
    append_u64(out, pack.bytes);
    append_u32(out, pack.chunk_count);
    append_u32(out, 0);
  }
  for (const IndexContent::Chunk& chunk : content.chunks) {
    append_record(out, chunk.record);
    append_u32(out, chunk.pack);
    append_u32(out, 0);
  }
  std::uint64_t heap_at = 0;
  for (const IndexContent::Commit& commit : content.commits) {
    append_bytes(out, commit.digest);
    append_u64(out, static_cast<std::uint64_t>(commit.time_unix_ns));
    append_u64(out, heap_at);
    append_u64(out, commit.text.size());
    heap_at += commit.text.size();
  }
  for (const Digest& digest : content.superseded) append_bytes(out, digest);
  append_bytes(out, as_bytes(heap));
  return out;
}

void sort_content(IndexContent& content) {
  std::ranges::sort(content.chunks, [](const auto& a, const auto& b) {
    if (a.record.digest != b.record.digest) return a.record.digest < b.record.digest;
    if (a.record.depth != b.record.depth) return a.record.depth < b.record.depth;
    return a.pack < b.pack;
  });
  std::ranges::sort(content.commits, [](const auto& a, const auto& b) {
    return std::pair(a.time_unix_ns, a.digest) < std::pair(b.time_unix_ns, b.digest);
  });
  std::ranges::sort(content.superseded);
}

}  // namespace

std::vector<std::byte> index_bytes(IndexContent& content) {
  sort_content(content);
  std::string heap;
  for (const IndexContent::Commit& commit : content.commits) heap += commit.text;
  const std::vector<std::byte> sections = index_sections(content, heap);
  std::vector<std::byte> out;
  append_bytes(out, as_bytes(kIndexMagic));
  append_u32(out, kIndexVersion);
  append_u32(out, 0);
  std::uint64_t offset = kIndexHeaderBytes;
  append_section(out, offset, content.packs.size(), kPackEntryBytes);
  append_section(out, offset, content.chunks.size(), kChunkEntryBytes);
  append_section(out, offset, content.commits.size(), kCommitEntryBytes);
  append_section(out, offset, content.superseded.size(), 32);
  append_section(out, offset, heap.size(), 1);
  append_bytes(out, blake3(sections));
  append_bytes(out, sections);
  return out;
}

std::string index_name(const Digest& digest) { return "index/" + to_hex(digest) + ".idx"; }

std::string pack_name(const Digest& digest) {
  const std::string hex = to_hex(digest);
  return "packs/" + hex.substr(0, 2) + "/" + hex + ".pack";
}

Result<std::shared_ptr<const IndexFile>> IndexFile::open(const io::ReadFile& file,
                                                         const Digest& name, bool whole) {
  auto index = std::make_shared<IndexFile>();
  index->name_ = name;
  const auto located = [&](Error error) { return fail(std::move(error).at_path(file.path())); };
  if (file.bytes() > kIndexBytesMax)
    return located(Error(ErrorCode::kLimitExceeded, "the index is larger than 1 TiB"));
  if (auto mapped = io::MappedFile::map(file)) {
    index->mapping_ = std::move(*mapped);
    index->bytes_ = index->mapping_.bytes();
  } else {
    index->copy_.resize(static_cast<std::size_t>(file.bytes()));
    KILTER_TRY(file.read_at(0, index->copy_));
    index->bytes_ = index->copy_;
  }
  if (auto parsed = index->parse(); !parsed) return located(std::move(parsed).error());
  if (whole)
    if (auto sound = index->check_whole(); !sound) return located(std::move(sound).error());
  return index;
}

Status IndexFile::parse() {
  if (bytes_.size() < kIndexHeaderBytes || as_text(bytes_.first(8)) != kIndexMagic)
    return fail(ErrorCode::kMalformed, "is no index of a store");
  const auto version = load_le<std::uint32_t>(bytes_, 8);
  if (version != kIndexVersion)
    return fail(Error(ErrorCode::kUnsupported, "the index is of another version")
                    .wanted("version 1", "version " + std::to_string(version))
                    .advise("use a newer Kilter"));
  const std::pair<Section*, std::uint64_t> sections[] = {{&packs_, kPackEntryBytes},
                                                         {&chunks_, kChunkEntryBytes},
                                                         {&commits_, kCommitEntryBytes},
                                                         {&superseded_, 32},
                                                         {&heap_, 1}};
  std::size_t at = kSectionsAt;
  for (const auto& [section, entry_bytes] : sections) {
    section->offset_bytes = load_le<std::uint64_t>(bytes_, at);
    section->count = load_le<std::uint64_t>(bytes_, at + 8);
    at += 16;
    const auto size = checked_mul(section->count, entry_bytes);
    if (!size || section->offset_bytes < kIndexHeaderBytes ||
        !range_fits(section->offset_bytes, *size, bytes_.size()))
      return fail(ErrorCode::kMalformed, "a section of the index lies outside the file");
  }
  return ok();
}

Status IndexFile::check_whole() const {
  if (blake3(bytes_.subspan(kIndexHeaderBytes)) == load_digest(bytes_, kIndexDigestAt) &&
      blake3(bytes_) == name_)
    return ok();
  return fail(Error(ErrorCode::kCorrupt, "the index does not match its name")
                  .advise("`kilter repair` makes it anew from the packs"));
}

IndexedPack IndexFile::pack(std::size_t i) const {
  const Bytes entry = bytes_.subspan(packs_.offset_bytes + i * kPackEntryBytes, kPackEntryBytes);
  return {load_digest(entry, 0), load_le<std::uint64_t>(entry, 32),
          load_le<std::uint32_t>(entry, 40)};
}

Result<ChunkPlace> IndexFile::chunk(std::size_t i) const {
  const Bytes entry = bytes_.subspan(chunks_.offset_bytes + i * kChunkEntryBytes, kChunkEntryBytes);
  ChunkPlace place;
  KILTER_ASSIGN(place.record, parse_record(entry.first(kChunkRecordBytes)));
  const auto number = load_le<std::uint32_t>(entry, kChunkRecordBytes);
  if (number >= packs_.count)
    return fail(ErrorCode::kMalformed, "a chunk of the index lies in a pack that is not there");
  place.pack = load_digest(bytes_, packs_.offset_bytes + number * kPackEntryBytes);
  return place;
}

Digest IndexFile::chunk_digest(std::size_t i) const {
  return load_digest(bytes_, chunks_.offset_bytes + i * kChunkEntryBytes);
}

std::size_t IndexFile::lower_bound(const Digest& digest) const {
  std::size_t low = 0;
  std::size_t high = chunks_.count;
  const std::byte* const base = bytes_.data() + chunks_.offset_bytes;
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if (std::memcmp(base + middle * kChunkEntryBytes, digest.data(), digest.size()) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

Result<IndexedCommit> IndexFile::commit(std::size_t i) const {
  const Bytes entry =
      bytes_.subspan(commits_.offset_bytes + i * kCommitEntryBytes, kCommitEntryBytes);
  const auto offset = load_le<std::uint64_t>(entry, 40);
  const auto size = load_le<std::uint64_t>(entry, 48);
  if (!range_fits(offset, size, heap_.count))
    return fail(ErrorCode::kMalformed, "a commit of the index lies outside the file");
  return IndexedCommit{load_digest(entry, 0),
                       static_cast<std::int64_t>(load_le<std::uint64_t>(entry, 32)),
                       as_text(bytes_.subspan(heap_.offset_bytes + offset, size))};
}

std::vector<Digest> IndexFile::superseded() const {
  std::vector<Digest> out;
  for (std::size_t i = 0; i < superseded_.count; ++i)
    out.push_back(load_digest(bytes_, superseded_.offset_bytes + i * 32));
  return out;
}

}  // namespace kilter::store

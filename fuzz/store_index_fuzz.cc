// An index file. Digests are set right first, as no fuzzer finds them. What opens answers every
// question about itself or refuses it, and what can be gathered says the same when it is written
// and opened again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "io/memory_file_system.h"
#include "store/index/index.h"

namespace kilter::store {
namespace {

constexpr std::size_t kHeaderBytes = 128;
constexpr std::size_t kDigestAt = 96;

void check(bool holds) {
  if (!holds) std::abort();
}

std::shared_ptr<const IndexFile> open_text(std::string_view text, bool whole) {
  const auto files = io::make_memory_file_system();
  files->put("f", text);
  const auto file = files->open_read("f");
  check(file.has_value());
  const auto index = IndexFile::open(**file, blake3(as_bytes(text)), whole);
  return index ? *index : nullptr;
}

void ask_everything(const Index& index, const IndexFile& file) {
  for (std::size_t i = 0; i < file.pack_count(); ++i) static_cast<void>(file.pack(i));
  for (std::size_t i = 0; i < file.chunk_count(); ++i) {
    const Digest digest = file.chunk_digest(i);
    const auto chunk = file.chunk(i);
    if (chunk) check(chunk->record.digest == digest);
    check(file.lower_bound(digest) <= file.chunk_count());
    if (const auto places = index.find_all(digest))
      for (const ChunkPlace& place : *places) check(place.record.digest == digest);
    static_cast<void>(index.contains(digest, {}));
  }
  for (std::size_t i = 0; i < file.commit_count(); ++i) static_cast<void>(file.commit(i));
  static_cast<void>(index.commits());
  static_cast<void>(index.packs());
  static_cast<void>(index.with_prefix("00", ChunkKind::kCommit, 5));
}

void write_again(const Index& index) {
  IndexContent content;
  if (!gather_index(index.files(), {}, content)) return;
  const std::vector<std::byte> written = index_bytes(content);
  const auto again = open_text(as_text(written), true);
  check(again != nullptr);
  check(again->pack_count() == content.packs.size());
  check(again->chunk_count() == content.chunks.size());
  check(again->commit_count() == content.commits.size());
  IndexContent same;
  check(gather_index({again}, {}, same).has_value());
  same.superseded = content.superseded;  // each merge names the file before
  check(index_bytes(same) == written);
  for (const IndexContent::Chunk& chunk : content.chunks) {
    const auto places = Index({again}).find_all(chunk.record.digest);
    check(places && !places->empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  if (size >= kHeaderBytes)
    std::ranges::copy(as_text(blake3(as_bytes(text).subspan(kHeaderBytes))),
                      text.begin() + kDigestAt);
  const auto file = open_text(text, false);
  check((open_text(text, true) == nullptr) == (file == nullptr));
  if (file == nullptr) return 0;
  const Index index({file});
  ask_everything(index, *file);
  write_again(index);
  return 0;
}

}  // namespace kilter::store

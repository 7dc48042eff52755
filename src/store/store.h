// An open store: its place, its index, its objects.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "kilter/progress.h"

#include "base/raw_bytes.h"
#include "store/format/objects.h"
#include "store/index/index.h"
#include "store/place/place.h"
#include "store/refs.h"

namespace kilter::store {

struct CodecBase;  // store/codecs/codec.h
using PlainChunk = std::shared_ptr<const RawBytes>;

/// All calls may come from several threads.
class Store {
 public:
  explicit Store(std::unique_ptr<Place> place);
  ~Store();

  /// Makes an empty store. Errors: kAlreadyExists.
  static Result<std::shared_ptr<Store>> create(std::unique_ptr<Place> place);
  /// Opens it, or makes an empty one; also where another makes it at the same time, or died while
  /// making it.
  static Result<std::shared_ptr<Store>> open_or_create(std::unique_ptr<Place> place);
  /// Errors: kNotFound where there is none; kUnsupported for a version or feature that this
  /// program does not know.
  static Result<std::shared_ptr<Store>> open(std::unique_ptr<Place> place);

  Place& place() const { return *place_; }
  std::string address() const { return place_->address(); }
  /// The present snapshot.
  std::shared_ptr<const Index> index() const;
  /// Looks what others have added.
  Status refresh();

  /// A chunk's plain bytes, decoded and checked against its name. `keep` asks to keep it for the
  /// next caller. Errors: kNotFound when no pack holds it; kCorrupt with pack and offset.
  Result<PlainChunk> read_chunk(const Digest& digest, bool keep = true);
  /// The same straight into memory of exactly the chunk's size, keeping nothing: for data that is
  /// read from end to end.
  Status read_chunk_into(const Digest& digest, std::span<std::byte> out);
  /// A payload as it lies in its pack, checked against its checksum.
  Result<RawBytes> read_payload(const ChunkPlace& place);
  /// Reads the chunk from this very place, through nothing that was kept. What it leans on may come
  /// from any place that is sound.
  Result<PlainChunk> decode_place(const ChunkPlace& place);
  /// The same for who has the base's bytes already (nullptr: a chunk that stands alone).
  Result<PlainChunk> decode_link(const ChunkPlace& place, const CodecBase* base);

  Result<Commit> read_commit(const Digest& digest);
  Result<std::shared_ptr<const Tree>> read_tree(const Digest& digest);

  /// Bytes of decoded chunks that are kept; default 64 MiB.
  void set_cache_bytes(std::uint64_t bytes);

 private:
  struct Reading;
  Result<std::shared_ptr<const io::ReadFile>> open_pack(const Digest& pack);
  Result<PlainChunk> read_once(const Digest& digest, bool keep);
  /// Of a chain: what is looked for in memory and kept there.
  enum class Keep : std::uint8_t { kNothing, kBases, kAll };
  Result<PlainChunk> decode_from(const ChunkPlace& place, Keep keep);
  Result<PlainChunk> try_decode(const ChunkPlace& place, Keep keep, std::vector<ChunkPlace>& avoid);
  PlainChunk find_kept(const Digest& digest);
  void keep_chunk(const Digest& digest, const PlainChunk& chunk);
  Status find_chain(std::vector<ChunkPlace>& chain, const std::vector<ChunkPlace>& avoid);

  std::unique_ptr<Place> place_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Index> index_;
  std::unique_ptr<Reading> reading_;
};

/// "kilter-store.json": what the folder is.
inline constexpr std::string_view kStoreFile = "kilter-store.json";

}  // namespace kilter::store

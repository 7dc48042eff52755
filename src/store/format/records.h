// Binary records of packs and indexes. Source: spec/store.md.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/byte_reader.h"
#include "store/codecs/codec.h"
#include "store/digest.h"

namespace kilter::store {

enum class ChunkKind : std::uint8_t { kData = 0, kTree = 1, kCommit = 2 };

inline constexpr std::uint64_t kPackHeaderBytes = 16;
inline constexpr std::uint64_t kPackTrailerBytes = 64;
inline constexpr std::uint64_t kPayloadAlignBytes = 64;
inline constexpr std::uint64_t kPackBytesTarget = 256ULL << 20;  ///< a pack is closed beyond it
inline constexpr std::uint64_t kPackBytesMax = 1ULL << 31;
inline constexpr std::uint32_t kPackChunksMax = 65'536;
inline constexpr std::uint64_t kObjectBytesMax = 256ULL << 20;  ///< of a tree or commit
inline constexpr std::uint8_t kDepthMax = 16;                   ///< other chunks behind one

/// How much was tried to make a chunk small.
enum class Tried : std::uint8_t { kFast = 0, kAll = 1 };

/// Where a chunk lies in its pack, and how.
struct ChunkRecord {
  Digest digest{};
  Digest base{};  ///< zeros if the form leans on nothing
  std::uint64_t offset_bytes = 0;
  std::uint32_t stored_bytes = 0;
  std::uint32_t bytes = 0;
  Form form = Form::kRaw;
  ChunkKind kind = ChunkKind::kData;
  Element element = Element::kBytes;
  std::uint8_t depth = 0;
  std::uint32_t crc32 = 0;  ///< of the payload; raw ones have none
  Tried tried = Tried::kFast;

  bool has_base() const { return form == Form::kDelta || form == Form::kCast; }
};

inline constexpr std::size_t kChunkRecordBytes = 96;

void append_record(std::vector<std::byte>& out, const ChunkRecord& record);
/// Of kChunkRecordBytes bytes. Errors: kMalformed for numbers that mean nothing.
Result<ChunkRecord> parse_record(Bytes bytes);

/// CRC-32 (IEEE 802.3, as in zip).
std::uint32_t payload_crc32(Bytes payload);

void append_u32(std::vector<std::byte>& out, std::uint32_t value);
void append_u64(std::vector<std::byte>& out, std::uint64_t value);
void append_bytes(std::vector<std::byte>& out, Bytes bytes);
void pad_to(std::vector<std::byte>& out, std::uint64_t multiple);
Digest load_digest(Bytes bytes, std::size_t at);

/// The first 16 bytes of a pack.
std::array<std::byte, kPackHeaderBytes> pack_header();
/// Directory and trailer of a pack whose payloads end at `payload_end_bytes` (a multiple of
/// kPayloadAlignBytes), and the name that follows from them. Records are sorted by offset.
struct PackEnd {
  std::vector<std::byte> bytes;
  Digest name{};
};
PackEnd pack_end(const std::vector<ChunkRecord>& records, std::uint64_t payload_end_bytes);

}  // namespace kilter::store

// The bytes of one chunk, from its place in a pack.
#pragma once

#include <span>

#include "kilter/error.h"

#include "base/raw_bytes.h"
#include "io/file_system.h"
#include "store/codecs/codec.h"
#include "store/index/index.h"

namespace kilter::store {

/// Says of an error which pack and offset it is about.
Error at_chunk(Error error, const ChunkPlace& place);
/// The bytes are not those of the chunk's name.
Error wrong_bytes(const ChunkPlace& place);

/// A payload as it lies in its pack. Raw bytes are left to be checked against the chunk's name
/// itself. Errors: kCorrupt with pack and offset; kIo.
Result<RawBytes> fetch_payload(const io::ReadFile& pack, const ChunkPlace& place);

/// The plain bytes, checked against the chunk's name. Errors: kCorrupt with pack and offset.
Result<RawBytes> decode_payload(const ChunkPlace& place, RawBytes payload, const CodecBase* base);

/// Both, of a chunk that stands alone, straight into `out`, which has its plain bytes' size: raw
/// bytes are not copied at all. After an error `out` holds anything.
Status decode_into(const io::ReadFile& pack, const ChunkPlace& place, std::span<std::byte> out);

}  // namespace kilter::store

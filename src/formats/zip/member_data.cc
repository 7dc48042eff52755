// The bytes of members: stored or inflated, checked or as they are.
#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>

#include "base/checked.h"
#include "base/try.h"
#include "formats/zip/archive.h"
#include "formats/zip/finding_list.h"
#include "formats/zip/zip_format.h"

namespace kilter::zip {
namespace {

constexpr std::size_t kChunkBytes = 1 << 20;
/// DEFLATE cannot expand further: 258 bytes from two bits. Source: RFC 1951, 3.2.5.
constexpr std::uint64_t kDeflateExpansionMax = 1032;

Error member_error(const io::ReadFile& file, const Member& member, ErrorCode code,
                   std::string message) {
  return Error(code, std::move(message)).at_path(file.path() + "!" + member.name);
}

Error crc_error(const io::ReadFile& file, const Member& member, std::uint32_t found) {
  return member_error(file, member, ErrorCode::kCorrupt, "checksum of the member does not match")
      .wanted(cat({"CRC-32 ", hex_text(member.crc32)}), hex_text(found));
}

Error size_error(const io::ReadFile& file, const Member& member, std::uint64_t found) {
  return member_error(file, member, ErrorCode::kCorrupt,
                      "the member's size is not what the directory states")
      .wanted(std::to_string(member.bytes) + " bytes", std::to_string(found) + " bytes");
}

std::uint32_t crc_of(Bytes bytes, std::uint32_t before = 0) {
  return libdeflate_crc32(before, bytes.data(), bytes.size());
}

/// zlib's inflater over a raw stream.
class Inflater {
 public:
  Inflater() { ready_ = inflateInit2(&stream_, -MAX_WBITS) == Z_OK; }
  ~Inflater() {
    if (ready_) inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  bool ready() const { return ready_; }
  bool ended() const { return ended_; }
  bool broken() const { return broken_; }
  bool hungry() const { return stream_.avail_in == 0; }

  void feed(Bytes input) {
    stream_.next_in =
        reinterpret_cast<Bytef*>(const_cast<std::byte*>(input.data()));  // zlib only reads it
    stream_.avail_in = static_cast<uInt>(input.size());
  }
  std::size_t take(std::span<std::byte> out) {
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    const int code = inflate(&stream_, Z_NO_FLUSH);
    ended_ = code == Z_STREAM_END;
    broken_ = code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR;
    return out.size() - stream_.avail_out;
  }

 private:
  z_stream stream_{};
  bool ready_ = false;
  bool ended_ = false;
  bool broken_ = false;
};

/// Streams decoded chunks to `use`, which returns false to stop. `decoded` counts them.
template <typename Use>
Status stream_stored(const io::ReadFile& file, const Member& member, const Use& use) {
  std::vector<std::byte> chunk;
  for (std::uint64_t done = 0; done < member.stored_bytes;) {
    chunk.resize(
        static_cast<std::size_t>(std::min<std::uint64_t>(kChunkBytes, member.stored_bytes - done)));
    KILTER_TRY(file.read_at(member.data_offset_bytes + done, chunk));
    done += chunk.size();
    if (!use(Bytes(chunk))) break;
  }
  return ok();
}

/// As stream_stored; true if the stream reached its end.
template <typename Use>
Result<bool> stream_deflated(const io::ReadFile& file, const Member& member, const Use& use) {
  Inflater inflater;
  if (!inflater.ready()) return fail(ErrorCode::kLimitExceeded, "no memory to inflate");
  std::vector<std::byte> input;
  std::vector<std::byte> output(kChunkBytes / 4);
  std::uint64_t done = 0;
  while (!inflater.ended()) {
    if (inflater.hungry()) {
      input.resize(static_cast<std::size_t>(
          std::min<std::uint64_t>(kChunkBytes / 4, member.stored_bytes - done)));
      if (input.empty()) return false;
      KILTER_TRY(file.read_at(member.data_offset_bytes + done, input));
      done += input.size();
      inflater.feed(input);
    }
    const std::size_t count = inflater.take(output);
    if (count > 0 && !use(Bytes(output).first(count))) return true;
    if (inflater.broken()) return false;
  }
  return true;
}

Status check_readable(const io::ReadFile& file, const Member& member) {
  if (!member.data_fits || !range_fits(member.data_offset_bytes, member.stored_bytes, file.bytes()))
    return fail(member_error(file, member, ErrorCode::kMalformed,
                             "the member's data does not lie in the file"));
  if (!member.readable())
    return fail(member_error(file, member, ErrorCode::kUnsupported,
                             (member.flags & kFlagEncrypted) != 0
                                 ? "the member is encrypted"
                                 : "the member is compressed by an unknown method")
                    .wanted("stored (0) or deflate (8)", std::to_string(member.method)));
  return ok();
}

Status inflate_whole(const io::ReadFile& file, const Member& member, std::vector<std::byte>* out) {
  if (member.bytes / kDeflateExpansionMax > member.stored_bytes)
    return fail(member_error(file, member, ErrorCode::kMalformed,
                             "the member states more bytes than DEFLATE can expand to"));
  std::vector<std::byte> stored(static_cast<std::size_t>(member.stored_bytes));
  KILTER_TRY(file.read_at(member.data_offset_bytes, stored));
  out->resize(static_cast<std::size_t>(member.bytes));
  const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> inflater(
      libdeflate_alloc_decompressor(), &libdeflate_free_decompressor);
  if (!inflater) return fail(ErrorCode::kLimitExceeded, "no memory to inflate");
  std::byte nothing{};
  std::size_t made = 0;
  const auto code =
      libdeflate_deflate_decompress(inflater.get(), stored.data(), stored.size(),
                                    out->empty() ? &nothing : out->data(), out->size(), &made);
  if (code == LIBDEFLATE_BAD_DATA)
    return fail(member_error(file, member, ErrorCode::kCorrupt, "the deflate stream is broken"));
  if (code != LIBDEFLATE_SUCCESS || made != out->size())
    return fail(member_error(file, member, ErrorCode::kCorrupt,
                             "the member inflates to another size than the directory states"));
  return ok();
}

}  // namespace

Result<std::vector<std::byte>> read_member(const io::ReadFile& file, const Member& member,
                                           std::uint64_t bytes_max) {
  KILTER_TRY(check_readable(file, member));
  if (member.bytes > bytes_max)
    return fail(
        member_error(file, member, ErrorCode::kLimitExceeded, "the member is too large")
            .wanted(std::to_string(bytes_max) + " bytes at most", std::to_string(member.bytes)));
  std::vector<std::byte> out;
  if (member.method == kMethodStored) {
    if (member.stored_bytes != member.bytes)
      return fail(size_error(file, member, member.stored_bytes));
    out.resize(static_cast<std::size_t>(member.bytes));
    KILTER_TRY(file.read_at(member.data_offset_bytes, out));
  } else {
    KILTER_TRY(inflate_whole(file, member, &out));
  }
  const std::uint32_t crc = crc_of(out);
  if (crc != member.crc32) return fail(crc_error(file, member, crc));
  return out;
}

Result<MemberBytes> read_member_anyway(const io::ReadFile& file, const Member& member,
                                       std::uint64_t bytes_max) {
  MemberBytes out;
  if (!member.data_fits ||
      !range_fits(member.data_offset_bytes, member.stored_bytes, file.bytes())) {
    out.fault = member_error(file, member, ErrorCode::kMalformed,
                             "the member's data does not lie in the file");
    return out;
  }
  bool cut = false;
  const auto keep = [&](Bytes chunk) {
    const std::uint64_t room = bytes_max - out.bytes.size();
    cut = chunk.size() > room;
    const Bytes kept =
        chunk.first(static_cast<std::size_t>(std::min<std::uint64_t>(room, chunk.size())));
    out.bytes.insert(out.bytes.end(), kept.begin(), kept.end());
    return !cut;
  };
  bool whole = true;
  if (member.method == kMethodDeflate) {
    KILTER_ASSIGN(whole, stream_deflated(file, member, keep));
  } else {
    KILTER_TRY(stream_stored(file, member, keep));
  }
  if (cut)
    out.fault = member_error(file, member, ErrorCode::kLimitExceeded, "the member is too large")
                    .wanted(std::to_string(bytes_max) + " bytes at most", "more");
  else if (!whole)
    out.fault = member_error(file, member, ErrorCode::kCorrupt, "the deflate stream is broken");
  else if (out.bytes.size() != member.bytes)
    out.fault = size_error(file, member, out.bytes.size());
  else if (const std::uint32_t crc = crc_of(out.bytes); crc != member.crc32)
    out.fault = crc_error(file, member, crc);
  return out;
}

Status check_member(const io::ReadFile& file, const Member& member) {
  KILTER_TRY(check_readable(file, member));
  std::uint32_t crc = 0;
  std::uint64_t count = 0;
  const auto use = [&](Bytes chunk) {
    crc = crc_of(chunk, crc);
    count += chunk.size();
    return count <= member.bytes;
  };
  if (member.method == kMethodDeflate) {
    KILTER_ASSIGN(const bool whole, stream_deflated(file, member, use));
    if (!whole)
      return fail(member_error(file, member, ErrorCode::kCorrupt, "the deflate stream is broken"));
  } else {
    KILTER_TRY(stream_stored(file, member, use));
  }
  if (count != member.bytes) return fail(size_error(file, member, count));
  if (crc != member.crc32) return fail(crc_error(file, member, crc));
  return ok();
}

}  // namespace kilter::zip

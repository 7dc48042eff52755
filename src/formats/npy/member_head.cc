#include "formats/npy/member_head.h"

#include <zlib.h>

#include <algorithm>

#include "base/try.h"

namespace kilter::npy {
namespace {

constexpr std::uint64_t kInputBytes = 16 << 10;

struct InflateEnd {
  void operator()(z_stream* stream) const { inflateEnd(stream); }
};

Result<std::vector<std::byte>> inflate_head(const io::ReadFile& file, const zip::Member& member,
                                            std::uint64_t bytes) {
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)  // negative: raw DEFLATE, as in zip
    return fail(ErrorCode::kLimitExceeded, "there is not enough memory to inflate");
  const std::unique_ptr<z_stream, InflateEnd> guard(&stream);
  std::vector<std::byte> input(kInputBytes), out(bytes);
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  std::uint64_t used = 0;
  int code = Z_OK;
  while (code == Z_OK && stream.avail_out > 0) {
    const std::uint64_t count = std::min(kInputBytes, member.stored_bytes - used);
    if (count == 0) break;
    KILTER_TRY(file.read_at(member.data_offset_bytes + used, std::span(input).first(count)));
    used += count;
    stream.next_in = reinterpret_cast<Bytef*>(input.data());
    stream.avail_in = static_cast<uInt>(count);
    code = inflate(&stream, Z_NO_FLUSH);
  }
  if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
    return fail(Error(ErrorCode::kMalformed, "the compressed data is broken")
                    .at_path(file.path() + "!" + member.name)
                    .at_offset(stream.total_out));
  out.resize(stream.total_out);
  return out;
}

}  // namespace

Result<std::vector<std::byte>> read_member_head(const io::ReadFile& file, const zip::Member& member,
                                                std::uint64_t bytes_max) {
  const std::uint64_t bytes = std::min(member.bytes, bytes_max);
  if (member.method == 8) return inflate_head(file, member, bytes);
  std::vector<std::byte> out(bytes);
  KILTER_TRY(file.read_at(member.data_offset_bytes, out));
  return out;
}

}  // namespace kilter::npy

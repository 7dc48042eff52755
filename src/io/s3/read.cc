#include "io/s3/read.h"

#include <fmt/format.h>

#include "base/base64.h"
#include "base/checked.h"
#include "base/hash.h"
#include "base/try.h"
#include "io/s3/replies.h"

namespace kilter::io::s3 {
namespace {

/// Judges a 2xx answer to a range.
Status check_range(const HttpReply& reply, std::uint64_t offset_bytes, std::span<std::byte> out) {
  const std::uint64_t last = offset_bytes + out.size() - 1;
  if (reply.status == 200) {  // a server may send all where all was asked for
    if (offset_bytes != 0) return fail(ErrorCode::kUnsupported, "the server ignored the range");
    if (reply.out_bytes != out.size())
      return fail(ErrorCode::kOutOfRange,
                  fmt::format("the object ends at byte {}", reply.out_bytes));
    return check_whole(reply, out);
  }
  const auto range = parse_content_range(reply.header("content-range"));
  if (!range || range->first != offset_bytes)
    return fail(ErrorCode::kIo, "with another range than asked for");
  if (range->last < last && range->total <= last)
    return fail(ErrorCode::kOutOfRange, fmt::format("the object ends at byte {}", range->total));
  if (range->last != last || reply.out_bytes != out.size())
    return fail(Error(ErrorCode::kIo, "with another count of bytes")
                    .wanted(std::to_string(out.size()), std::to_string(reply.out_bytes)));
  return out.size() == range->total ? check_whole(reply, out) : ok();
}

}  // namespace

std::string RangeReader::etag() const {
  const std::lock_guard lock(mutex_);
  return etag_;
}

Status RangeReader::agree(std::string_view etag) {
  if (etag.empty()) return ok();
  const std::lock_guard lock(mutex_);
  if (etag_.empty()) etag_ = etag;
  if (etag_ == etag) return ok();
  return fail(Error(ErrorCode::kIo, "the object changed while it was being read")
                  .at_path(fmt::format("s3://{}/{}", client_.address().bucket, key_))
                  .wanted(etag_, std::string(etag)));
}

Status RangeReader::read(std::uint64_t offset_bytes, std::span<std::byte> out) {
  const auto end = checked_add<std::uint64_t>(offset_bytes, out.size());
  if (!end) return fail(ErrorCode::kOutOfRange, "the range ends past any object");
  Call call{.method = "GET", .key = key_};
  call.headers = {{"range", fmt::format("bytes={}-{}", offset_bytes, *end - 1)},
                  {"x-amz-checksum-mode", "ENABLED"}};
  const std::string known = etag();
  if (!known.empty()) call.headers.emplace_back("if-match", known);
  call.out = out;
  call.check = [offset_bytes, out](const HttpReply& reply) {
    return check_range(reply, offset_bytes, out);
  };
  auto answer = client_.call(call);
  if (answer) return agree(answer->reply.header("etag"));
  Failure failure = std::move(answer).error();
  if (failure.status == 412) {
    failure.error.code = ErrorCode::kIo;
    failure.error.hint = "the object changed while it was being read";
  }
  return fail(std::move(failure.error).at_offset(offset_bytes));
}

Result<ObjectStore::Text> read_whole(Client& client, const std::string& key,
                                     std::uint64_t bytes_max) {
  Call call{.method = "GET", .key = key};
  call.headers = {{"x-amz-checksum-mode", "ENABLED"}};
  call.text_bytes_max = bytes_max;
  call.check = [](const HttpReply& reply) -> Status {
    // Without a length a cut connection looks like the end.
    const auto stated = parse_count(reply.header("content-length"));
    if (stated ? *stated != reply.text.size() : reply.header("transfer-encoding").empty())
      return fail(ErrorCode::kIo, "with another count of bytes than it states");
    return check_whole(reply, as_bytes(reply.text));
  };
  KILTER_ASSIGN(Answer answer, to_result(client.call(call)));
  return ObjectStore::Text{.text = std::move(answer.reply.text),
                           .etag = std::string(answer.reply.header("etag"))};
}

Result<ContentRange> parse_content_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  const auto dash = text.find('-');
  const auto slash = text.find('/');
  if (!text.starts_with(kUnit) || dash == text.npos || slash == text.npos || slash < dash ||
      dash < kUnit.size())
    return fail(ErrorCode::kMalformed, "no range of bytes");
  ContentRange out;
  KILTER_ASSIGN(out.first, parse_count(text.substr(kUnit.size(), dash - kUnit.size())));
  KILTER_ASSIGN(out.last, parse_count(text.substr(dash + 1, slash - dash - 1)));
  KILTER_ASSIGN(out.total, parse_count(text.substr(slash + 1)));
  if (out.last < out.first || out.last >= out.total)
    return fail(ErrorCode::kMalformed, "no range of bytes");
  return out;
}

Status check_whole(const HttpReply& reply, Bytes bytes) {
  const std::string_view stated = reply.header("x-amz-checksum-sha256");
  // "…-3" is the checksum of an upload's parts, not of the object.
  if (stated.empty() || stated.find('-') != stated.npos) return ok();
  const std::string found = base64_encode(sha256(bytes));
  if (found == stated) return ok();
  return fail(Error(ErrorCode::kIo, "with bytes that fail its checksum")
                  .wanted(std::string(stated), found));
}

}  // namespace kilter::io::s3

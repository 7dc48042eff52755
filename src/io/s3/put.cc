#include "io/s3/put.h"

#include <fmt/format.h>

#include <random>

#include "base/base64.h"
#include "base/hash.h"
#include "base/try.h"
#include "io/s3/http_time.h"
#include "io/s3/multipart.h"
#include "io/s3/parts.h"

namespace kilter::io::s3 {
namespace {

Status check_stored(const HttpReply& reply, const std::string& sha256_base64) {
  const std::string_view stored = reply.header("x-amz-checksum-sha256");
  if (stored.empty() || stored == sha256_base64) return ok();
  return fail(Error(ErrorCode::kIo, "the server stored other bytes")
                  .wanted(sha256_base64, std::string(stored)));
}

Result<ObjectInfo> put_at_once(Client& client, const std::string& key, Bytes bytes,
                               const PutCondition& condition) {
  const Digest256 digest = sha256(bytes);  // once: it is a good part of the work
  const std::string checksum = base64_encode(digest);
  const PutMark mark = make_put_mark();
  Call call{.method = "PUT", .key = key};
  call.headers = {{"content-type", "application/octet-stream"},
                  {"x-amz-checksum-sha256", checksum}};
  if (condition.any()) call.headers.push_back(mark.header());
  add_condition(condition, &call.headers);
  call.body = bytes;
  call.body_sha256 = digest;
  call.check = [&checksum](const HttpReply& reply) { return check_stored(reply, checksum); };
  auto answer = client.call(call);
  ObjectInfo info{.name = {}, .bytes = bytes.size(), .etag = {}};
  if (!answer)
    return settle_put(client, key, std::move(answer).error(), condition, mark, std::move(info));
  info.etag = answer->reply.header("etag");
  info.modified_unix_seconds = parse_http_date(answer->reply.header("date")).value_or(0);
  return info;
}

bool condition_failed(const Failure& failure, const PutCondition& condition) {
  if (!condition.any()) return false;
  // If-Match on an object that is gone is answered as a missing key.
  const bool gone = failure.status == 404 && failure.code == "NoSuchKey";
  return failure.status == 412 || failure.code == "ConditionalRequestConflict" ||
         (gone && !condition.if_etag.empty());
}

/// Some endpoints say 501, some call the header an invalid argument.
bool condition_unknown(const Failure& failure, const PutCondition& condition) {
  if (!condition.any()) return false;
  return failure.status == 501 || failure.code == "NotImplemented" ||
         (failure.status == 400 &&
          (failure.error.message.find("If-Match") != std::string::npos ||
           failure.error.message.find("If-None-Match") != std::string::npos));
}

}  // namespace

PutMark make_put_mark() {
  std::random_device random;
  std::string text;
  for (int i = 0; i < 4; ++i) text += fmt::format("{:08x}", random());
  return {text};
}

void add_condition(const PutCondition& condition, std::vector<NameValue>* headers) {
  if (condition.if_absent) headers->emplace_back("if-none-match", "*");
  if (!condition.if_etag.empty()) headers->emplace_back("if-match", condition.if_etag);
}

Result<ObjectInfo> settle_put(Client& client, const std::string& key, Failure failure,
                              const PutCondition& condition, const PutMark& mark, ObjectInfo info) {
  if (condition_unknown(failure, condition)) {
    failure.error.code = ErrorCode::kUnsupported;
    failure.error.hint = "this endpoint knows no conditional writes";
  }
  const bool lost_race = condition_failed(failure, condition);
  if (lost_race) {
    failure.error.code = ErrorCode::kAlreadyExists;
    failure.error.hint = "another writer was first";
  }
  const bool upload_gone = failure.code == "NoSuchUpload";
  if (failure.may_have_happened && (lost_race || upload_gone)) {
    Call look{.method = "HEAD", .key = key};
    const auto there = client.call(look);
    if (there && there->reply.header(mark.header().first) == mark.text) {
      info.etag = there->reply.header("etag");
      info.modified_unix_seconds =
          parse_http_date(there->reply.header("last-modified")).value_or(0);
      return info;
    }
  }
  if (failure.may_have_happened && condition.any() && failure.error.code == ErrorCode::kIo)
    failure.error.hint = "whether it was written is not known: read it to see";
  return fail(std::move(failure.error));
}

Result<ObjectInfo> put_object(Client& client, const std::string& key, const PutSource& source,
                              const PutCondition& condition, const S3Options& options,
                              const std::function<ThreadPool&()>& pool) {
  KILTER_ASSIGN(const PartPlan plan,
                plan_parts(source.bytes, options.part_bytes, options.parallel));
  if (plan.part_count > 1) return put_in_parts(client, key, source, plan, condition, pool());
  std::vector<std::byte> buffer;
  KILTER_ASSIGN(const Bytes bytes, source.part(0, source.bytes, buffer));
  return put_at_once(client, key, bytes, condition);
}

}  // namespace kilter::io::s3

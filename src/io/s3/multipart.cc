#include "io/s3/multipart.h"

#include <algorithm>

#include "base/base64.h"
#include "base/hash.h"
#include "base/try.h"
#include "io/s3/http_time.h"
#include "io/s3/replies.h"

namespace kilter::io::s3 {
namespace {

/// A server may join parts for minutes before it answers.
constexpr unsigned kCompleteStallSeconds = 600;
/// After ConditionalRequestConflict S3 wants a new upload, not another try to complete.
constexpr int kUploadsMax = 3;

class Upload {
 public:
  Upload(Client& client, const std::string& key, const PutSource& source, const PartPlan& plan)
      : client_(client), key_(key), source_(source), plan_(plan), parts_(plan.part_count) {}

  Status begin() {
    Call call{.method = "POST", .key = key_};
    call.query = {{"uploads", ""}};
    call.headers = {{"content-type", "application/octet-stream"},
                    {"x-amz-checksum-algorithm", "SHA256"},
                    mark_.header()};
    KILTER_ASSIGN(const Answer answer, to_result(client_.call(call)));
    KILTER_ASSIGN(id_, parse_upload_id(answer.reply.text));
    return ok();
  }

  Status send(ThreadPool& pool) {
    return run_parts(pool, plan_.part_count, plan_.at_once,
                     [this](std::uint64_t part) { return send_part(part); });
  }

  CallResult complete(const PutCondition& condition) {
    const std::string body = complete_upload_xml(parts_);
    Call call{.method = "POST", .key = key_};
    call.query = {{"uploadId", id_}};
    call.headers = {{"content-type", "application/xml"}};
    add_condition(condition, &call.headers);
    call.body = as_bytes(body);
    call.stall_seconds_min = kCompleteStallSeconds;
    call.completes_upload = true;
    call.check = [](const HttpReply& reply) -> Status {
      if (parse_completed_etag(reply.text)) return ok();
      return fail(ErrorCode::kIo, "with no word on whether the upload is complete");
    };
    return client_.call(call);
  }

  const std::string& id() const { return id_; }
  const PutMark& mark() const { return mark_; }

 private:
  Status send_part(std::uint64_t part) {
    const std::uint64_t offset = part * plan_.part_bytes;
    std::vector<std::byte> buffer;
    KILTER_ASSIGN(const Bytes bytes,
                  source_.part(offset, std::min(plan_.part_bytes, source_.bytes - offset), buffer));
    const Digest256 digest = sha256(bytes);  // once: it is a good part of the work
    const std::string checksum = base64_encode(digest);
    Call call{.method = "PUT", .key = key_};
    call.query = {{"partNumber", std::to_string(part + 1)}, {"uploadId", id_}};
    call.headers = {{"x-amz-checksum-sha256", checksum}};
    call.body = bytes;
    call.body_sha256 = digest;
    call.check = [&checksum](const HttpReply& reply) -> Status {
      const std::string_view stored = reply.header("x-amz-checksum-sha256");
      if (!stored.empty() && stored != checksum)
        return fail(Error(ErrorCode::kIo, "the server stored other bytes")
                        .wanted(checksum, std::string(stored)));
      return reply.header("etag").empty() ? fail(ErrorCode::kIo, "without an ETag") : ok();
    };
    KILTER_ASSIGN(const Answer answer, to_result(client_.call(call)));
    parts_[part].etag = answer.reply.header("etag");
    // Named again at the end only where the server keeps it.
    parts_[part].sha256_base64 = answer.reply.header("x-amz-checksum-sha256");
    return ok();
  }

  Client& client_;
  const std::string& key_;
  const PutSource& source_;
  const PartPlan& plan_;
  const PutMark mark_ = make_put_mark();
  std::string id_;
  std::vector<PartDone> parts_;
};

Error aborted(Client& client, const std::string& key, const Upload& upload, Error error) {
  if (upload.id().empty() || abort_upload(client, key, upload.id())) return error;
  if (!error.hint.empty()) error.hint += "; ";
  error.hint += "an unfinished upload was left, which collecting or a lifecycle rule removes";
  return error;
}

}  // namespace

Status abort_upload(Client& client, const std::string& key, const std::string& upload_id) {
  Call call{.method = "DELETE", .key = key};
  call.query = {{"uploadId", upload_id}};
  call.cancellable = false;
  auto done = client.call(call);
  if (done || done.error().code == "NoSuchUpload") return ok();
  return fail(std::move(done).error().error);
}

Result<ObjectInfo> put_in_parts(Client& client, const std::string& key, const PutSource& source,
                                const PartPlan& plan, const PutCondition& condition,
                                ThreadPool& pool) {
  for (int index = 1;; ++index) {
    Upload upload(client, key, source, plan);
    Status sent = upload.begin();
    if (sent) sent = upload.send(pool);
    if (!sent) return fail(aborted(client, key, upload, std::move(sent).error()));
    auto completed = upload.complete(condition);
    ObjectInfo info{.name = {}, .bytes = source.bytes, .etag = {}};
    if (completed) {
      KILTER_ASSIGN(info.etag, parse_completed_etag(completed->reply.text));
      info.modified_unix_seconds = parse_http_date(completed->reply.header("date")).value_or(0);
      return info;
    }
    const bool conflict = completed.error().code == "ConditionalRequestConflict";
    auto settled = settle_put(client, key, std::move(completed).error(), condition, upload.mark(),
                              std::move(info));
    if (settled) return settled;
    Error error = aborted(client, key, upload, std::move(settled).error());
    if (!conflict || index == kUploadsMax) return fail(std::move(error));
  }
}

}  // namespace kilter::io::s3

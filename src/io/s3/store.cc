#include "io/s3/store.h"

#include <algorithm>

#include "base/try.h"
#include "io/s3/http_time.h"
#include "io/s3/put.h"
#include "io/s3/read.h"
#include "io/s3/replies.h"
#include "io/s3/settings.h"

namespace kilter::io::s3 {
namespace {

constexpr std::uint64_t kListPagesMax = 100'000;  // 100 million objects
constexpr unsigned kListStallSeconds = 120;

/// One page of names that begin with `prefix`, appended without the store's own prefix.
Result<std::string> list_page(Client& client, const std::string& prefix, const std::string& token,
                              std::vector<ObjectInfo>* out) {
  Call call{.method = "GET", .key = {}, .stall_seconds_min = kListStallSeconds};
  call.query = {{"list-type", "2"}, {"encoding-type", "url"}, {"prefix", prefix}};
  if (!token.empty()) call.query.emplace_back("continuation-token", token);
  ListPage page;
  call.check = [&page](const HttpReply& reply) -> Status {
    auto parsed = parse_list_page(reply.text);
    if (!parsed) return fail(std::move(parsed).error());
    page = std::move(*parsed);
    return ok();
  };
  KILTER_TRY(to_result(client.call(call)));
  const std::size_t own_bytes = client.address().key("").size();
  for (ObjectInfo& info : page.objects) {
    if (!info.name.starts_with(prefix))
      return fail(Error(ErrorCode::kMalformed, "the server listed a key that was not asked for")
                      .at_path(client.address().text())
                      .wanted("prefix " + prefix, info.name));
    info.name.erase(0, own_bytes);
    if (!info.name.empty() && !info.name.ends_with('/'))  // folders of gateways to file systems
      out->push_back(std::move(info));
  }
  return page.next_token;
}

}  // namespace

Store::Store(std::unique_ptr<Client> client, const S3Options& options)
    : client_(std::move(client)), options_(options) {}

Result<std::string> Store::checked_key(const std::string& name) const {
  std::string key = client_->address().key(name);
  KILTER_TRY(check_object_name(key));
  return key;
}

ThreadPool& Store::pool() {
  std::call_once(pool_made_,
                 [this] { pool_ = std::make_unique<ThreadPool>(std::max(options_.parallel, 1U)); });
  return *pool_;
}

Result<ObjectInfo> Store::head(const std::string& name) {
  KILTER_ASSIGN(const std::string key, checked_key(name));
  ObjectInfo info{.name = name, .bytes = 0, .etag = {}};
  Call call{.method = "HEAD", .key = key};
  call.check = [&info](const HttpReply& reply) -> Status {
    auto bytes = parse_count(reply.header("content-length"));
    if (!bytes) return fail(ErrorCode::kIo, "without a length");
    info.bytes = *bytes;
    info.etag = reply.header("etag");
    info.modified_unix_seconds = parse_http_date(reply.header("last-modified")).value_or(0);
    return ok();
  };
  KILTER_TRY(to_result(client_->call(call)));
  return info;
}

Status Store::read_at(const std::string& name, std::uint64_t offset_bytes, std::span<std::byte> out,
                      const std::string& if_etag) {
  KILTER_ASSIGN(const std::string key, checked_key(name));
  if (out.empty()) {
    KILTER_ASSIGN(const ObjectInfo info, head(name));
    if (offset_bytes <= info.bytes) return ok();
    return fail(Error(ErrorCode::kOutOfRange, "the range begins past the object")
                    .at_path(join_path(address(), name)));
  }
  RangeReader reader(*client_, key, if_etag);
  if (out.size() <= options_.part_bytes) return reader.read(offset_bytes, out);
  const std::uint64_t part_bytes = std::max<std::uint64_t>(options_.part_bytes, 1U << 16U);
  const std::uint64_t count = (out.size() + part_bytes - 1) / part_bytes;
  return run_parts(pool(), count, std::max(options_.parallel, 1U), [&](std::uint64_t part) {
    const std::uint64_t begin = part * part_bytes;
    const std::uint64_t bytes = std::min<std::uint64_t>(part_bytes, out.size() - begin);
    return reader.read(offset_bytes + begin, out.subspan(begin, bytes));
  });
}

Result<ObjectStore::Text> Store::read_text(const std::string& name, std::uint64_t bytes_max) {
  KILTER_ASSIGN(const std::string key, checked_key(name));
  return read_whole(*client_, key, bytes_max);
}

Result<ObjectInfo> Store::put(const std::string& name, Bytes bytes, const PutCondition& condition) {
  KILTER_ASSIGN(const std::string key, checked_key(name));
  const PutSource source{.bytes = bytes.size(),
                         .part = [bytes](std::uint64_t offset, std::uint64_t count,
                                         std::vector<std::byte>&) -> Result<Bytes> {
                           return bytes.subspan(offset, count);
                         }};
  KILTER_ASSIGN(ObjectInfo info, put_object(*client_, key, source, condition, options_,
                                            [this]() -> ThreadPool& { return pool(); }));
  info.name = name;
  return info;
}

Result<ObjectInfo> Store::put_file(const std::string& name, const ReadFile& file,
                                   const PutCondition& condition) {
  KILTER_ASSIGN(const std::string key, checked_key(name));
  const PutSource source{.bytes = file.bytes(),
                         .part = [&file](std::uint64_t offset, std::uint64_t count,
                                         std::vector<std::byte>& buffer) -> Result<Bytes> {
                           buffer.resize(count);
                           KILTER_TRY(file.read_at(offset, buffer));
                           return Bytes(buffer);
                         }};
  KILTER_ASSIGN(ObjectInfo info, put_object(*client_, key, source, condition, options_,
                                            [this]() -> ThreadPool& { return pool(); }));
  info.name = name;
  return info;
}

Result<std::vector<ObjectInfo>> Store::list(const std::string& prefix) {
  const std::string whole = client_->address().key(prefix);
  std::vector<ObjectInfo> out;
  std::string token;
  for (std::uint64_t page = 0; page < kListPagesMax; ++page) {
    KILTER_ASSIGN(std::string next, list_page(*client_, whole, token, &out));
    if (next.empty()) {
      std::sort(out.begin(), out.end(),
                [](const ObjectInfo& a, const ObjectInfo& b) { return a.name < b.name; });
      return out;
    }
    if (next == token)
      return fail(Error(ErrorCode::kMalformed, "the server's listing turns in a circle")
                      .at_path(address()));
    token = std::move(next);
  }
  return fail(Error(ErrorCode::kLimitExceeded, "the listing does not end").at_path(address()));
}

Status Store::remove(const std::string& name) {
  KILTER_ASSIGN(const std::string key, checked_key(name));
  auto done = client_->call({.method = "DELETE", .key = key});
  if (done || done.error().code == "NoSuchKey") return ok();
  return fail(std::move(done).error().error);
}

Result<std::uint64_t> Store::remove_stale_uploads(std::int64_t before_unix_seconds) {
  std::uint64_t removed = 0;
  UploadPage page;
  for (std::uint64_t index = 0; index < kListPagesMax; ++index) {
    Call call{.method = "GET", .key = {}, .stall_seconds_min = kListStallSeconds};
    call.query = {
        {"uploads", ""}, {"encoding-type", "url"}, {"prefix", client_->address().key("")}};
    if (!page.next_upload_id.empty()) {
      call.query.emplace_back("key-marker", page.next_key);
      call.query.emplace_back("upload-id-marker", page.next_upload_id);
    }
    KILTER_ASSIGN(const Answer answer, to_result(client_->call(call)));
    KILTER_ASSIGN(page, parse_upload_page(answer.reply.text));
    for (const UploadEntry& upload : page.uploads) {
      if (upload.begun_unix_seconds == 0 || upload.begun_unix_seconds >= before_unix_seconds ||
          !upload.key.starts_with(client_->address().key("")))
        continue;
      KILTER_TRY(abort_upload(*client_, upload.key, upload.upload_id));
      ++removed;
    }
    if (page.next_upload_id.empty()) return removed;
  }
  return fail(
      Error(ErrorCode::kLimitExceeded, "the list of uploads does not end").at_path(address()));
}

}  // namespace kilter::io::s3

namespace kilter::io {

Result<std::unique_ptr<ObjectStore>> open_s3(std::string_view address, const S3Options& options) {
  KILTER_ASSIGN(s3::BucketAddress bucket, s3::parse_bucket_address(address));
  KILTER_ASSIGN(
      s3::Settings settings,
      s3::resolve_settings(options, bucket.bucket, s3::process_environment(), real_file_system()));
  KILTER_ASSIGN(auto http,
                s3::make_curl_client({.connect_seconds = options.connect_seconds,
                                      .idle_connections_max = std::max(options.parallel, 1U),
                                      .ca_file = settings.ca_file}));
  auto client = std::make_unique<s3::Client>(std::move(http), s3::make_retry_world(),
                                             std::move(settings), std::move(bucket), options);
  return std::make_unique<s3::Store>(std::move(client), options);
}

}  // namespace kilter::io

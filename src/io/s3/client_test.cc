// What the store makes of a server's answers, which a script gives.
#include "io/s3/client.h"

#include <gtest/gtest.h>

#include <deque>

#include "base/base64.h"
#include "io/io_test_support.h"
#include "io/s3/store.h"

namespace kilter::io::s3 {
namespace {

constexpr std::int64_t kNow = 1369353600;  // 2013-05-24
constexpr const char* kSecret = "wJalrXUtnFEMI";

struct ScriptedHttp : HttpClient {
  std::deque<std::function<HttpOutcome(const HttpRequest&)>> script;
  std::vector<HttpRequest> requests;
  std::mutex mutex;
  HttpOutcome perform(const HttpRequest& request) override {
    const std::lock_guard lock(mutex);
    requests.push_back(request);
    if (script.empty()) return {.fault = HttpFault{HttpFaultKind::kPermanent, "script is over"}};
    auto next = std::move(script.front());
    script.pop_front();
    return next(request);
  }
};

struct CalmWorld : RetryWorld {
  std::vector<std::int64_t> pauses_ms;
  std::int64_t now_unix_seconds() override { return kNow; }
  double random() override { return 0.5; }
  bool sleep(std::chrono::milliseconds pause, const CancelToken*) override {
    pauses_ms.push_back(pause.count());
    return true;
  }
};

using Headers = std::vector<std::pair<std::string, std::string>>;

class ScriptedStore : public testing::Test {
 protected:
  explicit ScriptedStore(Credentials credentials = {"AKID", kSecret, "TOKEN"}) {
    auto http = std::make_unique<ScriptedHttp>();
    auto world = std::make_unique<CalmWorld>();
    http_ = http.get();
    world_ = world.get();
    options_.retries = 3;
    options_.cancel = &cancel_;
    Settings settings{.endpoint = parse_endpoint("http://h").value(),
                      .region = "us-east-1",
                      .credentials = std::move(credentials),
                      .ca_file = {}};
    store_ = std::make_unique<Store>(
        std::make_unique<Client>(std::move(http), std::move(world), std::move(settings),
                                 BucketAddress{"b", "p"}, options_),
        options_);
  }
  void answer(int status, std::string text = {}, Headers headers = {}) {
    http_->script.push_back([=](const HttpRequest& request) {
      HttpOutcome out{.reply = {.status = status, .headers = headers, .text = text}};
      if (request.out && status / 100 == 2) {
        out.reply.out_bytes = text.size();
        if (!text.empty()) std::memcpy(request.out->data(), text.data(), text.size());
      }
      return out;
    });
  }
  void error(int status, const std::string& code, Headers headers = {}) {
    answer(status, "<Error><Code>" + code + "</Code><Message>why</Message></Error>",
           std::move(headers));
  }
  void fault(HttpFaultKind kind) {
    http_->script.push_back(
        [kind](const HttpRequest&) { return HttpOutcome{.fault = HttpFault{kind, "broken"}}; });
  }
  std::string header_of(std::size_t request, std::string_view name) {
    for (const auto& [known, value] : http_->requests.at(request).headers)
      if (known == name) return value;
    return "";
  }

  ScriptedHttp* http_;
  CalmWorld* world_;
  CancelToken cancel_;
  S3Options options_;
  std::unique_ptr<Store> store_;
};

TEST_F(ScriptedStore, TriesAgainWhileTheServerIsBusy) {
  error(503, "SlowDown");
  fault(HttpFaultKind::kTransfer);
  answer(500);
  answer(204);
  EXPECT_OK(store_->remove("x"));
  EXPECT_EQ(world_->pauses_ms, (std::vector<std::int64_t>{50, 100, 200}));
}

TEST_F(ScriptedStore, GivesUpWithAllThatHelps) {
  for (int i = 0; i < 4; ++i) error(503, "SlowDown");
  const auto head = store_->read_text("x", 10);
  ASSERT_FALSE(head.has_value());
  EXPECT_EQ(head.error().code, ErrorCode::kIo);
  EXPECT_EQ(head.error().text(), "s3://b/p/x: GET was answered with 503 SlowDown: why (attempt 4)");
}

TEST_F(ScriptedStore, DoesNotRepeatWhatIsForbidden) {
  error(403, "SignatureDoesNotMatch");
  const Error error = store_->remove("x").error();
  EXPECT_EQ(error.code, ErrorCode::kPermission);
  EXPECT_NE(error.hint.find("AWS_SECRET_ACCESS_KEY"), std::string::npos);
  EXPECT_EQ(http_->requests.size(), 1U);
}

TEST_F(ScriptedStore, TriesUnknownHostsTwiceMore) {
  for (int i = 0; i < 5; ++i) fault(HttpFaultKind::kUnresolved);
  EXPECT_EQ(code_of(store_->remove("x")), ErrorCode::kIo);
  EXPECT_EQ(http_->requests.size(), 3U);
}

TEST_F(ScriptedStore, WaitsAsLongAsTheServerAsks) {
  answer(429, "", {{"retry-after", "7"}});
  answer(503, "", {{"retry-after", "999999"}});
  answer(503, "", {{"retry-after", "Fri, 24 May 2013 00:00:09 GMT"}});
  answer(204);
  EXPECT_OK(store_->remove("x"));
  EXPECT_EQ(world_->pauses_ms, (std::vector<std::int64_t>{7050, 60100, 9200}));
}

TEST_F(ScriptedStore, TakesTheServersClockOnce) {
  error(403, "RequestTimeTooSkewed", {{"date", "Fri, 24 May 2013 01:00:00 GMT"}});
  answer(204);
  EXPECT_OK(store_->remove("x"));
  EXPECT_EQ(header_of(0, "x-amz-date"), "20130524T000000Z");
  EXPECT_EQ(header_of(1, "x-amz-date"), "20130524T010000Z");
  error(403, "RequestTimeTooSkewed", {{"date", "Fri, 24 May 2013 01:00:00 GMT"}});
  error(403, "RequestTimeTooSkewed", {{"date", "Fri, 24 May 2013 01:00:00 GMT"}});
  EXPECT_EQ(code_of(store_->remove("x")), ErrorCode::kPermission);
  EXPECT_EQ(http_->requests.size(), 4U);
}

TEST_F(ScriptedStore, NamesTheRegionToSet) {
  error(301, "PermanentRedirect", {{"x-amz-bucket-region", "eu-west-1"}});
  const Error error = store_->remove("x").error();
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_NE(error.text().find("AWS_REGION=eu-west-1"), std::string::npos);
  answer(400, "", {{"x-amz-bucket-region", "eu-west-2"}});
  EXPECT_NE(store_->head("x").error().text().find("AWS_REGION=eu-west-2"), std::string::npos);
}

TEST_F(ScriptedStore, SignsAndShowsNoSecrets) {
  error(400, "Nonsense");
  const Error error = store_->remove("x").error();
  EXPECT_EQ(header_of(0, "x-amz-security-token"), "TOKEN");
  EXPECT_NE(header_of(0, "authorization").find("Credential=AKID/20130524/us-east-1/s3"),
            std::string::npos);
  EXPECT_EQ(http_->requests[0].url, "http://h/b/p/x");
  for (const char* secret : {kSecret, "TOKEN", "Signature", "AKID"})
    EXPECT_EQ(error.text().find(secret), std::string::npos);
}

TEST_F(ScriptedStore, StopsWhenCancelled) {
  cancel_.cancel();
  EXPECT_EQ(code_of(store_->remove("x")), ErrorCode::kCancelled);
  EXPECT_TRUE(http_->requests.empty());
}

TEST_F(ScriptedStore, KnowsItsOwnPutWhoseAnswerWasLost) {
  fault(HttpFaultKind::kTransfer);
  error(412, "PreconditionFailed");
  http_->script.push_back([this](const HttpRequest&) {
    return HttpOutcome{
        .reply = {.status = 200,
                  .headers = {{"x-amz-meta-kilter-put", header_of(0, "x-amz-meta-kilter-put")},
                              {"etag", "\"mine\""}}}};
  });
  const auto info = store_->put("ref", as_bytes("v"), {.if_absent = true});
  ASSERT_OK(info);
  EXPECT_EQ(info->etag, "\"mine\"");
}

TEST_F(ScriptedStore, DoesNotClaimThePutOfAnother) {
  fault(HttpFaultKind::kTransfer);
  error(412, "PreconditionFailed");
  answer(200, "", {{"x-amz-meta-kilter-put", "another"}});
  EXPECT_EQ(code_of(store_->put("ref", as_bytes("v"), {.if_absent = true})),
            ErrorCode::kAlreadyExists);
}

TEST_F(ScriptedStore, SaysWhereAPutsFateIsUnknown) {
  for (int i = 0; i < 4; ++i) fault(HttpFaultKind::kTransfer);
  const auto info = store_->put("ref", as_bytes("v"), {.if_absent = true});
  EXPECT_EQ(code_of(info), ErrorCode::kIo);
  EXPECT_NE(info.error().hint.find("not known"), std::string::npos);
}

TEST_F(ScriptedStore, UploadsAnewAfterAConflict) {
  const std::vector<std::byte> content(9U << 20U);
  for (int upload = 0; upload < 2; ++upload) {
    answer(200,
           "<InitiateMultipartUploadResult><UploadId>u</UploadId>"
           "</InitiateMultipartUploadResult>");
    answer(200, "", {{"etag", "\"1\""}});
    answer(200, "", {{"etag", "\"2\""}});
    if (upload == 0) {
      error(409, "ConditionalRequestConflict");
      answer(204);  // the abort
    }
  }
  answer(200, "<Error><Code>InternalError</Code></Error>");  // tried again
  answer(200, "<CompleteMultipartUploadResult><ETag>e-2</ETag></CompleteMultipartUploadResult>");
  const auto info = store_->put("x", content, {.if_absent = true});
  ASSERT_OK(info);
  EXPECT_EQ(info->etag, "e-2");
  EXPECT_EQ(http_->requests.size(), 10U);
}

TEST_F(ScriptedStore, TellsEndpointsWithoutConditions) {
  error(501, "NotImplemented");
  EXPECT_EQ(code_of(store_->put("ref", as_bytes("v"), {.if_absent = true})),
            ErrorCode::kUnsupported);
}

TEST_F(ScriptedStore, RepeatsAPutThatMeetsAnother) {
  error(409, "ConditionalRequestConflict");
  answer(200, "", {{"etag", "\"e\""}});
  EXPECT_OK(store_->put("ref", as_bytes("v"), {.if_etag = "\"old\""}));
  EXPECT_EQ(header_of(1, "if-match"), "\"old\"");
}

TEST_F(ScriptedStore, SendsAndChecksTheChecksum) {
  const std::string checksum = base64_encode(sha256(as_bytes("v")));
  answer(200, "", {{"etag", "\"e\""}, {"x-amz-checksum-sha256", "other"}});
  error(400, "BadDigest");
  answer(200, "", {{"etag", "\"e\""}, {"x-amz-checksum-sha256", checksum}});
  EXPECT_OK(store_->put("x", as_bytes("v"), {}));
  EXPECT_EQ(header_of(0, "x-amz-checksum-sha256"), checksum);
  EXPECT_EQ(http_->requests.size(), 3U);
}

TEST_F(ScriptedStore, ReadsAgainWhatCameShortOrDamaged) {
  answer(200, "12", {{"content-length", "3"}});
  answer(
      200, "124",
      {{"content-length", "3"}, {"x-amz-checksum-sha256", base64_encode(sha256(as_bytes("123")))}});
  answer(200, "123", {{"content-length", "3"}, {"etag", "\"e\""}});
  const auto text = store_->read_text("x", 10);
  ASSERT_OK(text);
  EXPECT_EQ(text->text, "123");
}

TEST_F(ScriptedStore, RefusesRangesThatWereNotAskedFor) {
  std::array<std::byte, 4> out{};
  answer(206, "1234", {{"content-range", "bytes 8-11/20"}});
  answer(206, "12", {{"content-range", "bytes 4-7/20"}});
  answer(206, "1234", {{"content-range", "bytes 4-7/20"}, {"etag", "\"e\""}});
  EXPECT_OK(store_->read_at("x", 4, out, {}));
  answer(206, "12", {{"content-range", "bytes 4-5/6"}});
  EXPECT_EQ(code_of(store_->read_at("x", 4, out, {})), ErrorCode::kOutOfRange);
  answer(200, "1234");
  EXPECT_EQ(code_of(store_->read_at("x", 4, out, {})), ErrorCode::kUnsupported);
  answer(206, "1234", {{"content-range", "bytes 4-7/20"}, {"etag", "\"new\""}});
  EXPECT_EQ(code_of(store_->read_at("x", 4, out, "\"old\"")), ErrorCode::kIo);
}

TEST_F(ScriptedStore, RefusesListingsThatLie) {
  answer(200,
         "<ListBucketResult><Contents><Key>q/other</Key><Size>1</Size></Contents>"
         "</ListBucketResult>");
  EXPECT_EQ(code_of(store_->list("")), ErrorCode::kMalformed);
  for (int i = 0; i < 2; ++i)
    answer(200,
           "<ListBucketResult><IsTruncated>true</IsTruncated>"
           "<NextContinuationToken>t</NextContinuationToken></ListBucketResult>");
  EXPECT_EQ(code_of(store_->list("")), ErrorCode::kMalformed);
}

TEST_F(ScriptedStore, RefusesNamesThatServersRewrite) {
  for (const char* name : {"", "../x", "a//b", "a/./b", "/a", "a/", "a\nb"})
    EXPECT_EQ(code_of(store_->remove(name)), ErrorCode::kInvalidArgument) << name;
  EXPECT_TRUE(http_->requests.empty());
}

class AnonymousStore : public ScriptedStore {
 protected:
  AnonymousStore() : ScriptedStore(Credentials()) {}
};

TEST_F(AnonymousStore, SignsNothing) {
  answer(204);
  EXPECT_OK(store_->remove("x"));
  EXPECT_EQ(header_of(0, "authorization"), "");
}

}  // namespace
}  // namespace kilter::io::s3

// The examples of "Authenticating Requests: Using the Authorization Header" in the S3 API
// reference; their signatures are given there.
#include "io/s3/sigv4.h"

#include <gtest/gtest.h>

#include "io/s3/http_time.h"
#include "io/s3/uri.h"

namespace kilter::io::s3 {
namespace {

constexpr std::string_view kExampleDate = "20130524T000000Z";
const std::string kNothingSha256 =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

SigningInput example(const std::string& method, const std::string& path) {
  return {.method = method,
          .encoded_path = path,
          .query = {},
          .headers = {{"host", "examplebucket.s3.amazonaws.com"},
                      {"x-amz-content-sha256", kNothingSha256},
                      {"x-amz-date", std::string(kExampleDate)}},
          .payload_sha256 = kNothingSha256};
}

std::string signature_of(const SigningInput& input) {
  const Credentials credentials{.key_id = "AKIAIOSFODNN7EXAMPLE",
                                .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                .session_token = {}};
  const std::string text = authorization(input, credentials, "us-east-1", kExampleDate);
  return text.substr(text.rfind('=') + 1);
}

TEST(SigV4, SignsTheDocumentedGetOfAnObject) {
  SigningInput input = example("GET", "/test.txt");
  input.headers.emplace_back("range", "bytes=0-9");
  EXPECT_EQ(signature_of(input),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  EXPECT_EQ(to_hex(sha256(as_bytes(canonical_request(input)))),
            "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972");
}

TEST(SigV4, SignsTheDocumentedPutOfAnObject) {
  SigningInput input = example("PUT", "/" + uri_encode("test$file.text"));
  input.payload_sha256 = to_hex(sha256(as_bytes("Welcome to Amazon S3.")));
  input.headers = {{"host", "examplebucket.s3.amazonaws.com"},
                   {"date", "Fri, 24 May 2013 00:00:00 GMT"},
                   {"x-amz-content-sha256", input.payload_sha256},
                   {"x-amz-date", std::string(kExampleDate)},
                   {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
  EXPECT_EQ(signature_of(input),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST(SigV4, SignsTheDocumentedBucketLifecycle) {
  SigningInput input = example("GET", "/");
  input.query = {{"lifecycle", ""}};
  EXPECT_EQ(signature_of(input),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST(SigV4, SignsTheDocumentedList) {
  SigningInput input = example("GET", "/");
  input.query = {{"prefix", "J"}, {"max-keys", "2"}};
  EXPECT_EQ(signature_of(input),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(SigV4, ComputesTheHmacOfRfc4231) {
  const std::string key20(20, '\x0b');
  EXPECT_EQ(to_hex(hmac_sha256(as_bytes(key20), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  const std::string key131(131, '\xaa');  // longer than a block
  EXPECT_EQ(to_hex(hmac_sha256(as_bytes(key131),
                               "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(SigV4, FoldsSpacesInHeaders) {
  SigningInput a = example("GET", "/x"), b = a;
  a.headers.emplace_back("x-amz-meta-a", "  one   two ");
  b.headers.emplace_back("x-amz-meta-a", "one two");
  EXPECT_EQ(canonical_request(a), canonical_request(b));
}

TEST(Uri, EncodesAllButTheUnreserved) {
  EXPECT_EQ(uri_encode("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(uri_encode("a b+c/d"), "a%20b%2Bc%2Fd");
  EXPECT_EQ(uri_encode("a b/c", Slashes::kKeep), "a%20b/c");
  EXPECT_EQ(uri_encode("\xc3\xa9"), "%C3%A9");
}

TEST(Uri, DecodesFormsAndRefusesHalfAnEscape) {
  EXPECT_EQ(form_decode("a+b%2Bc%2fd").value(), "a b+c/d");
  for (const char* bad : {"%", "%2", "a%g0", "%0g"})
    EXPECT_EQ(form_decode(bad).error().code, ErrorCode::kMalformed) << bad;
  EXPECT_EQ(form_decode("%41").value(), "A");
}

TEST(HttpTime, ReadsAndWritesTheDatesOfS3) {
  constexpr std::int64_t kSeconds = 1369353600;
  EXPECT_EQ(to_amz_date(kSeconds), "20130524T000000Z");
  EXPECT_EQ(parse_http_date("Fri, 24 May 2013 00:00:00 GMT"), kSeconds);
  EXPECT_EQ(parse_iso_date("2013-05-24T00:00:00.000Z"), kSeconds);
  EXPECT_EQ(parse_iso_date("2013-05-24T00:00:00Z"), kSeconds);
  for (const char* bad : {"", "Fri, 24 Mai 2013 00:00:00 GMT", "Fri, 31 Feb 2013 00:00:00 GMT",
                          "Fri, 24 May 2013 25:00:00 GMT", "Fri, 2x May 2013 00:00:00 GMT"})
    EXPECT_FALSE(parse_http_date(bad)) << bad;
  for (const char* bad : {"2013-05-24", "2013-13-24T00:00:00Z", "2013-05-24T00:00:00+01"})
    EXPECT_FALSE(parse_iso_date(bad)) << bad;
}

}  // namespace
}  // namespace kilter::io::s3

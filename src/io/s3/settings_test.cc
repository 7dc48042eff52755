#include "io/s3/settings.h"

#include <gtest/gtest.h>

#include <map>

#include "io/memory_file_system.h"
#include "io/s3/profile.h"

namespace kilter::io::s3 {
namespace {

constexpr std::string_view kConfig =
    "# comment\n[default]\nregion = eu-central-1\n"
    "[profile  lab]\nregion=lab-1 ; near\nendpoint_url = http://lab:9000\nservices = s\n"
    "[services s]\ns3 =\n  endpoint_url = http://lab-s3:9000\n"
    "[profile sso]\nsso_session = x\n[profile half]\naws_access_key_id = H\n";
constexpr std::string_view kKeys =
    "[default]\naws_access_key_id = D\naws_secret_access_key = D+secret/x=\n"
    "[lab]\naws_access_key_id = L\naws_secret_access_key = L#secret\naws_session_token = T\n";

class SettingsOf : public testing::Test {
 protected:
  SettingsOf() : files_(make_memory_file_system()) {
    files_->put("/home/.aws/config", kConfig);
    files_->put("/home/.aws/credentials", kKeys);
    variables_["HOME"] = "/home";
  }
  Result<Settings> resolve(const S3Options& options = {}) {
    return resolve_settings(
        options, "bucket", [this](const char* name) { return variables_[name]; }, *files_);
  }
  std::map<std::string, std::string> variables_;
  std::unique_ptr<MemoryFileSystem> files_;
};

TEST_F(SettingsOf, TheDefaultProfile) {
  const auto settings = resolve();
  ASSERT_TRUE(settings.has_value()) << settings.error().text();
  EXPECT_EQ(settings->region, "eu-central-1");
  EXPECT_EQ(settings->credentials.key_id, "D");
  EXPECT_EQ(settings->credentials.secret, "D+secret/x=");
  EXPECT_EQ(settings->endpoint.origin_of("bucket"), "https://bucket.s3.eu-central-1.amazonaws.com");
}

TEST_F(SettingsOf, ANamedProfileWithItsServices) {
  variables_["AWS_PROFILE"] = "lab";
  const auto settings = resolve();
  ASSERT_TRUE(settings.has_value()) << settings.error().text();
  EXPECT_EQ(settings->region, "lab-1");
  EXPECT_EQ(settings->credentials.key_id, "L");
  EXPECT_EQ(settings->credentials.secret, "L#secret");
  EXPECT_EQ(settings->credentials.session_token, "T");
  EXPECT_EQ(settings->endpoint.origin_of("bucket"), "http://lab-s3:9000");
}

TEST_F(SettingsOf, TheEnvironmentBeforeTheFiles) {
  variables_["AWS_ACCESS_KEY_ID"] = "E";
  variables_["AWS_SECRET_ACCESS_KEY"] = "ES";
  variables_["AWS_DEFAULT_REGION"] = "r2";
  variables_["AWS_ENDPOINT_URL"] = "http://general";
  EXPECT_EQ(resolve()->credentials.key_id, "E");
  EXPECT_EQ(resolve()->region, "r2");
  EXPECT_EQ(resolve()->endpoint.host, "general");
  variables_["AWS_REGION"] = "r1";
  variables_["AWS_ENDPOINT_URL_S3"] = "http://for-s3";
  EXPECT_EQ(resolve()->region, "r1");
  EXPECT_EQ(resolve()->endpoint.host, "for-s3");
  variables_["KILTER_S3_ENDPOINT"] = "http://127.0.0.1:9000/base/";
  EXPECT_EQ(resolve()->endpoint.host, "127.0.0.1:9000");
  EXPECT_EQ(resolve()->endpoint.encoded_path_of("b", "k y"), "/base/b/k%20y");
  EXPECT_EQ(resolve({.endpoint = "https://own:443"})->endpoint.host, "own");
  EXPECT_EQ(resolve({.profile = "lab"})->credentials.key_id, "L");
}

TEST_F(SettingsOf, NobodyIsAnonymous) {
  variables_["HOME"] = "/nowhere";
  ASSERT_TRUE(resolve().has_value());
  EXPECT_TRUE(resolve()->credentials.anonymous());
  EXPECT_EQ(resolve()->region, "us-east-1");
  variables_["HOME"] = "/home";
  EXPECT_TRUE(resolve({.anonymous = true})->credentials.anonymous());
}

TEST_F(SettingsOf, WhatCannotBeUsedIsSaid) {
  EXPECT_EQ(resolve({.profile = "none"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(resolve({.profile = "sso"}).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(resolve({.profile = "half"}).error().code, ErrorCode::kPermission);
  EXPECT_EQ(resolve({.region = "a b"}).error().code, ErrorCode::kInvalidArgument);
  files_->put("/home/.aws/credentials", "[default\nsecret-text\n");
  const Error error = resolve().error();
  EXPECT_EQ(error.code, ErrorCode::kMalformed);
  EXPECT_EQ(error.path, "/home/.aws/credentials");
  EXPECT_EQ(error.text().find("secret-text"), std::string::npos);
}

TEST(Profile, RefusesWithTheLineButNotItsText) {
  for (const char* bad : {"key = 1\n", "[a]\nno equals\n", "[a\n"}) {
    const auto file = parse_profile_file(bad);
    ASSERT_FALSE(file.has_value()) << bad;
    EXPECT_EQ(file.error().message.find("equals"), std::string::npos);
    EXPECT_EQ(file.error().message.substr(0, 5), "line ");
  }
  EXPECT_TRUE(parse_profile_file("").has_value());
  EXPECT_EQ(parse_profile_file("[a]\r\nk=v # c\r\n")->at("a").at("k"), "v");
}

TEST(Address, ReadsBucketAndPrefix) {
  EXPECT_EQ(parse_bucket_address("s3://b")->text(), "s3://b");
  const auto address = parse_bucket_address("s3://my.bucket/runs.kilter/");
  ASSERT_TRUE(address.has_value());
  EXPECT_EQ(address->text(), "s3://my.bucket/runs.kilter");
  EXPECT_EQ(address->key("x"), "runs.kilter/x");
  for (const char* bad : {"", "s3:/b", "s3://", "s3:///k", "s3://b?x", "s3://.b", "s3://b/a//c",
                          "s3://b/../c", "s3://b/a\n", "http://b"})
    EXPECT_FALSE(parse_bucket_address(bad).has_value()) << bad;
}

TEST(Address, ReadsEndpointsAndKeepsPasswordsOutOfErrors) {
  EXPECT_EQ(parse_endpoint("HTTP://Host:80/")->origin_of("b"), "http://host");
  EXPECT_EQ(parse_endpoint("host")->origin_of("b"), "https://host");
  for (const char* bad :
       {"", "ftp://h", "http://", "http://u:pass@h", "http://h/?q", "http://h x"}) {
    const auto endpoint = parse_endpoint(bad);
    ASSERT_FALSE(endpoint.has_value()) << bad;
    EXPECT_EQ(endpoint.error().text().find("pass"), std::string::npos);
  }
}

TEST(Address, PutsTheBucketWhereAmazonWantsIt) {
  EXPECT_EQ(aws_endpoint("us-east-1", "b").host_of("b"), "b.s3.us-east-1.amazonaws.com");
  EXPECT_EQ(aws_endpoint("us-east-1", "b").encoded_path_of("b", "k"), "/k");
  EXPECT_EQ(aws_endpoint("us-east-1", "b").encoded_path_of("b", ""), "/");
  EXPECT_EQ(aws_endpoint("us-east-1", "b.c").encoded_path_of("b.c", "k"), "/b.c/k");
  EXPECT_EQ(aws_endpoint("cn-north-1", "b").host, "s3.cn-north-1.amazonaws.com.cn");
}

}  // namespace
}  // namespace kilter::io::s3

#include "train/step_manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kilter::train {
namespace {

StepManifest sample() {
  StepManifest manifest;
  manifest.step = 1200;
  manifest.metadata = {{"loss", 1.93}, {"step", std::int64_t{1200}}};
  manifest.files = {{"model.safetensors", {{136, {}}, {4096, {}}}}, {"config.json", {}}};
  return manifest;
}

void refuses(std::string text, const std::string& what, const std::string& with, ErrorCode code) {
  const std::size_t at = text.find(what);
  ASSERT_NE(at, std::string::npos) << what;
  text.replace(at, what.size(), with);
  const auto parsed = parse_manifest(text);
  ASSERT_FALSE(parsed) << text;
  EXPECT_EQ(parsed.error().code, code) << parsed.error().text();
}

TEST(StepManifests, ComeBackAsTheyWereWritten) {
  const auto parsed = parse_manifest(manifest_text(sample()));
  ASSERT_TRUE(parsed) << parsed.error().text();
  EXPECT_EQ(parsed->step, 1200);
  EXPECT_EQ(parsed->metadata, sample().metadata);
  ASSERT_EQ(parsed->files.size(), 2U);
  EXPECT_EQ(parsed->files[0].bytes(), 4232U);
  EXPECT_EQ(manifest_text(*parsed), manifest_text(sample()));
}

TEST(StepManifests, RefuseWhatTheyShould) {
  const std::string text = manifest_text(sample());
  refuses(text, "\"version\":1", "\"version\":2", ErrorCode::kUnsupported);
  refuses(text, "kilter-step", "another-step", ErrorCode::kMalformed);
  refuses(text, "config.json", "../config.json", ErrorCode::kUnsafe);
  refuses(text, "config.json", "model.safetensors", ErrorCode::kMalformed);
  refuses(text, "[136,", "[0,", ErrorCode::kMalformed);
  refuses(text, "[136,", "[99999999999,", ErrorCode::kMalformed);
  refuses(text, "0000", "00g0", ErrorCode::kMalformed);
  refuses(text, "\"step\":1200", "\"step\":-1", ErrorCode::kMalformed);
}

}  // namespace
}  // namespace kilter::train

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "kilter/checkpoint.h"

#include "formats/format.h"
#include "formats/safetensors/header.h"
#include "formats/safetensors/safetensors_format.h"
#include "formats/test_files.h"

namespace kilter::formats {
namespace {

using test::safetensors_file;
using test::ScratchFolder;

/// One bad header; `data_bytes` zero bytes follow.
struct BadHeader {
  std::string_view header;
  std::size_t data_bytes;
  std::string_view rule;
  std::string_view tensor;
};

class Reader : public ::testing::Test {
 protected:
  std::string file(const std::string& header, std::size_t data_bytes) {
    return folder_.put("m.safetensors", safetensors_file(header, std::string(data_bytes, '\0')));
  }
  Result<Checkpoint> open(const std::string& header, std::size_t data_bytes) {
    return open_checkpoint(file(header, data_bytes));
  }
  Error error_of(const std::string& header, std::size_t data_bytes) {
    auto opened = open(header, data_bytes);
    return opened ? Error(ErrorCode::kInternal, "opened") : opened.error();
  }
  ScratchFolder folder_;
};

TEST_F(Reader, ReadsTensorsMetadataAndBytes) {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"I16","shape":[2],"data_offsets":[4,8]},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
      R"("empty":{"dtype":"U8","shape":[0,3],"data_offsets":[4,4]}})";
  const std::string path = folder_.put(
      "m.safetensors", safetensors_file(header, std::string_view("\0\0\x80\x3f\1\0\2\0", 8)));
  const auto checkpoint = open_checkpoint(path);
  ASSERT_TRUE(checkpoint) << checkpoint.error().text();
  ASSERT_EQ(checkpoint->tensors().size(), 3U);
  EXPECT_EQ(checkpoint->tensors()[0].name, "b");
  EXPECT_EQ(checkpoint->tensors()[1].dtype, DType::kF32);
  EXPECT_EQ(checkpoint->data().metadata,
            (std::vector<std::pair<std::string, std::string>>{{"format", "pt"}}));
  const auto bytes = checkpoint->read_tensor("a");
  ASSERT_TRUE(bytes) << bytes.error().text();
  float value = 0;
  std::memcpy(&value, bytes->data(), 4);
  EXPECT_EQ(value, 1.0F);
  EXPECT_TRUE(checkpoint->read_tensor("empty")->empty());
}

TEST_F(Reader, AcceptsWhitespaceAroundTheHeader) {
  EXPECT_TRUE(open("  \n{} \t\r\n  ", 0));
  EXPECT_TRUE(open(R"(   {"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}   )", 1));
}

TEST_F(Reader, AcceptsWhatTheReferenceAccepts) {
  EXPECT_TRUE(open(R"({"__metadata__":null})", 0));
  EXPECT_TRUE(open(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"note":[{}]}})", 1));
  EXPECT_TRUE(
      open(R"({"a":{"dtype":"U8","shape":[0,9223372036854775807],"data_offsets":[0,0]}})", 0));
}

TEST_F(Reader, RefusesEveryBrokenRule) {
  const BadHeader bad[] = {
      {"", 0, "header", ""},
      {"[]", 0, "header", ""},
      {"{", 0, "header", ""},
      {"{}x", 0, "header", ""},
      {R"({"a":1})", 0, "entry", "a"},
      {R"({"a":{"dtype":"U8","shape":[1]}})", 1, "entry", "a"},
      {R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, "entry", "a"},
      {R"({"a":{"dtype":"F7","shape":[1],"data_offsets":[0,1]}})", 1, "dtype", "a"},
      {R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,1]}})", 1, "dtype", "a"},
      {R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, "shape", "a"},
      {R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1, "shape", "a"},
      {R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1, "shape", "a"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1, "offsets", "a"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}})", 1, "offsets", "a"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[2,1]}})", 2, "offsets", "a"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,1]}})", 1, "size", "a"},
      {R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0, "size",
       "a"},
      {R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", 1, "sub-byte", "a"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2, "hole", "a"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
       3, "overlap", "b"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 1, "truncated", "a"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 3, "trailing-bytes", ""},
      {R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}})",
       3, "shape", "a"},
      {R"({"a":{"dtype":"U8","shape":[1000000000000000000],"data_offsets":[0,1000000000000000000]}})",
       3, "truncated", "a"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
       1, "duplicate-key", "a"},
      {R"({"__metadata__":{"a":1}})", 0, "metadata", ""},
      {R"({"__metadata__":[]})", 0, "metadata", ""},
      {R"({"__metadata__":{"a":"1","a":"2"}})", 0, "duplicate-key", "a"},
  };
  for (const BadHeader& row : bad) {
    const std::string path = file(std::string(row.header), row.data_bytes);
    const auto probe = make_probe(io::real_file_system(), path);
    ASSERT_TRUE(probe);
    const auto opened =
        safetensors_format().open({&io::real_file_system(), path, &*probe, OpenOptions()});
    ASSERT_FALSE(opened) << row.header;
    EXPECT_EQ(opened.error().code, ErrorCode::kMalformed) << row.header;
    EXPECT_EQ(opened.error().path, path) << row.header;
    EXPECT_EQ(opened.error().tensor, row.tensor) << opened.error().text();
    std::vector<Finding> findings;
    ASSERT_TRUE(
        safetensors_format().check({&io::real_file_system(), path, &*probe, true, {}}, &findings));
    ASSERT_FALSE(findings.empty()) << row.header;
    EXPECT_EQ(findings[0].rule, fmt::format("safetensors.{}", row.rule)) << row.header;
  }
}

TEST_F(Reader, SaysHowMuchIsMissing) {
  const Error error = error_of(
      R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[8],"data_offsets":[4,12]}})",
      7);
  EXPECT_EQ(error.tensor, "b");
  EXPECT_NE(error.text().find("5 bytes are missing"), std::string::npos) << error.text();
  EXPECT_NE(error.text().find("1 of 2 tensors"), std::string::npos) << error.text();
  EXPECT_NE(error.text().find("--rescue"), std::string::npos) << error.text();
}

TEST_F(Reader, KeepsWhatIsWholeWhenLenient) {
  OpenOptions lenient;
  lenient.lenient = true;
  const auto opened = open_checkpoint(
      file(
          R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[8],"data_offsets":[4,12]}})",
          7),
      lenient);
  ASSERT_TRUE(opened) << opened.error().text();
  ASSERT_EQ(opened->tensors().size(), 1U);
  EXPECT_EQ(opened->tensors()[0].name, "a");
  ASSERT_EQ(opened->data().findings.size(), 1U);
  EXPECT_EQ(opened->data().findings[0].tensor, "b");
}

TEST_F(Reader, NamesTheNearestTensors) {
  const auto opened = open(R"({"h.0.weight":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1);
  ASSERT_TRUE(opened);
  const auto missing = opened->read_tensor("h.0.wieght");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_NE(missing.error().hint.find("\"h.0.weight\""), std::string::npos)
      << missing.error().text();
}

TEST_F(Reader, WithstandsTruncationAtEveryByte) {
  const std::string whole = safetensors_file(
      R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
      std::string(12, '\1'));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string path = folder_.put("cut.safetensors", whole.substr(0, size));
    const auto opened = open_checkpoint(path);
    ASSERT_FALSE(opened) << size;
    EXPECT_EQ(opened.error().path, path) << size;
  }
}

TEST_F(Reader, FlagsAZipAtTheEnd) {
  const std::string end = std::string("PK\5\6", 4) + std::string(18, '\0');
  const std::string path = folder_.put(
      "m.safetensors",
      safetensors_file(R"({"a":{"dtype":"U8","shape":[22],"data_offsets":[0,22]}})", end));
  const auto probe = make_probe(io::real_file_system(), path);
  std::vector<Finding> findings;
  ASSERT_TRUE(
      safetensors_format().scan({&io::real_file_system(), path, &*probe, true, {}}, &findings));
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].rule, "safetensors.polyglot-zip");
  EXPECT_EQ(findings[0].severity, Severity::kSuspicious);
}

TEST_F(Reader, OpensTheRealFiles) {
  const auto root = test::real_data();
  if (!root) GTEST_SKIP() << "no real files here: set KILTER_REAL_DATA";
  const std::pair<const char*, std::size_t> files[] = {
      {"safetensors/hadamards.safetensors", 66},
      {"safetensors/runai_test.safetensors", 10},
      {"safetensors/runai_test_empty.safetensors", 0},
      {"safetensors/silero_vad_16k.safetensors", 15},
      {"diff_pairs/mnist.safetensors", 20},
      {"diff_pairs/sd15_lora.safetensors", 256}};
  for (const auto& [name, count] : files) {
    const auto opened = open_checkpoint(*root + "/" + name);
    ASSERT_TRUE(opened) << opened.error().text();
    EXPECT_EQ(opened->tensors().size(), count) << name;
  }
}

}  // namespace
}  // namespace kilter::formats

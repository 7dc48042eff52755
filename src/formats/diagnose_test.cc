#include <gtest/gtest.h>

#include "kilter/checkpoint.h"

#include "formats/format.h"
#include "formats/nearest_names.h"
#include "formats/test_files.h"

namespace kilter::formats {
namespace {

using namespace std::string_view_literals;

class Diagnose : public ::testing::Test {
 protected:
  Diagnosis diagnosis_of(std::string_view content) {
    const std::string path = folder_.put("file", content);
    auto probe = make_probe(io::real_file_system(), path);
    EXPECT_TRUE(probe);
    return diagnose(io::real_file_system(), *probe).value_or(Diagnosis());
  }
  std::string kind_of(std::string_view content) { return diagnosis_of(content).kind; }
  test::ScratchFolder folder_;
};

TEST_F(Diagnose, TellsTheRealSizeOfAnLfsPointer) {
  const Diagnosis found = diagnosis_of(
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4265146304\n");
  EXPECT_EQ(found.kind, "lfs-pointer");
  EXPECT_NE(found.message.find("4265146304"), std::string::npos);
  EXPECT_NE(found.message.find("4 GiB"), std::string::npos) << found.message;
  EXPECT_EQ(*found.missing_bytes, 4265146304ULL - 75);
  EXPECT_NE(found.hint.find("git lfs pull"), std::string::npos);
}

TEST_F(Diagnose, KnowsErrorPages) {
  EXPECT_EQ(kind_of("<!DOCTYPE html>\n<html>"), "html");
  EXPECT_EQ(kind_of("\xef\xbb\xbf \n<HTML><body>"), "html");
  EXPECT_EQ(kind_of("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>"), "xml");
  EXPECT_EQ(kind_of(R"({"error": "Repository not found"})"), "json-error");
}

TEST_F(Diagnose, KnowsWhatWasNeverWritten) {
  EXPECT_EQ(kind_of(""), "empty");
  EXPECT_EQ(kind_of(std::string(1000, '\0')), "zero-filled");
  EXPECT_EQ(kind_of(std::string(1 << 20, '\0')), "zero-filled");
  std::string late(1 << 20, '\0');
  late[200'000] = 1;  // between the samples of the ends
  EXPECT_NE(kind_of(late.replace(150'000, 100'000, 100'000, '\1')), "zero-filled");
}

TEST_F(Diagnose, KnowsTextDamage) {
  EXPECT_EQ(kind_of("\xef\xbf\xbdNUMPY\1\0"sv), "text-mangled");
  EXPECT_EQ(kind_of("\xc2\x93NUMPY\1\0"sv), "text-mangled");
  std::string crlf = "\x80\x02";
  for (int i = 0; i < 5000; ++i) crlf += i % 100 == 0 ? "\r\n" : "ab";
  EXPECT_EQ(kind_of(crlf), "text-mangled");
}

TEST_F(Diagnose, KnowsCutDownloads) {
  EXPECT_EQ(kind_of("PK\3\4 and then nothing more"sv), "truncated");
  const Diagnosis cut = diagnosis_of("\0\1\0\0\0\0\0\0{\"a\":"sv);
  EXPECT_EQ(cut.kind, "truncated");
  EXPECT_EQ(*cut.missing_bytes, 256U - 5U);
}

TEST_F(Diagnose, NamesForeignFormats) {
  const std::pair<std::string_view, const char*> rows[] = {
      {"GGUF\3\0\0\0"sv, "GGUF"},        {"\x89HDF\r\n\x1a\n"sv, "HDF5"},
      {"7z\xbc\xaf\x27\x1c"sv, "7-Zip"}, {"Rar!\x1a\x07\x01\0"sv, "RAR"},
      {"\x1f\x8b\x08\0"sv, "gzip"},      {"lmgg\1\2\3\4"sv, "ggml"},
      {"\0\0\0\0TFL3"sv, "Lite"},
  };
  for (const auto& [content, name] : rows) {
    const Diagnosis found = diagnosis_of(content);
    EXPECT_EQ(found.kind, "foreign") << name;
    EXPECT_NE(found.message.find(name), std::string::npos) << found.message;
  }
}

TEST_F(Diagnose, SpeaksThroughOpenCheckpoint) {
  const auto opened = open_checkpoint(folder_.put("m.safetensors", "GGUF\3\0\0\0"sv));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(opened.error().text().find("known format Kilter does not read yet: GGUF"),
            std::string::npos);
}

TEST_F(Diagnose, KnowsTheRealForeignFiles) {
  const auto root = test::real_data();
  if (!root) GTEST_SKIP() << "no real files here: set KILTER_REAL_DATA";
  const std::pair<const char*, const char*> rows[] = {
      {"gguf/ggml-vocab-gpt-2.gguf", "GGUF"},
      {"ggml_legacy/for-tests-ggml-tiny.en.bin", "ggml"},
      {"keras_h5/tiny_XCEPTION_KDEF.hdf5", "HDF5"},
      {"tf_ckpt/saved_model_counter/saved_model.pb", "SavedModel"},
      {"tokenizer/t5_spiece.model", "SentencePiece"},
  };
  for (const auto& [name, title] : rows) {
    const auto probe = make_probe(io::real_file_system(), *root + "/" + name);
    ASSERT_TRUE(probe) << name;
    EXPECT_EQ(recognize(*probe).format, nullptr) << name;
    const auto found = diagnose(io::real_file_system(), *probe);
    ASSERT_TRUE(found) << name;
    EXPECT_NE(found->message.find(title), std::string::npos) << name << ": " << found->message;
  }
}

TEST(OpenCheckpoint, RefusesAddressesOfOtherPlacesClearly) {
  for (const char* address : {"hf://org/name", "s3://bucket/x"}) {
    const auto opened = open_checkpoint(address);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported) << address;
  }
  // Stores are opened by the floor that knows them.
  const auto store = open_checkpoint("runs.kilter@v1.0");
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(store.error().hint.empty());
  const auto absent = open_checkpoint("no/such/file.safetensors");
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(absent.error().path, "no/such/file.safetensors");
}

TEST(NearestNames, CountEditsUpToALimit) {
  EXPECT_EQ(edit_distance("weight", "wieght", 8), 2U);
  EXPECT_EQ(edit_distance("abc", "abc", 8), 0U);
  EXPECT_EQ(edit_distance("", "abcdefghij", 3), 4U);
  EXPECT_EQ(edit_distance("kitten", "sitting", 8), 3U);
}

}  // namespace
}  // namespace kilter::formats

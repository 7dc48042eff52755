#include "formats/folder/documents.h"

#include <gtest/gtest.h>

#include "formats/test_files.h"

namespace kilter::formats {
namespace {

Severity worst_of(std::string_view path, std::string_view text) {
  std::vector<Finding> findings;
  scan_document(path, text, &findings);
  Severity worst = Severity::kNote;
  for (const Finding& finding : findings) worst = std::max(worst, finding.severity);
  return worst;
}

TEST(Documents, PassesOrdinaryTexts) {
  EXPECT_EQ(worst_of("config.json", R"({"model_type": "llama", "rope": {"theta": 1e4}})"),
            Severity::kNote);
  EXPECT_EQ(worst_of("trainer_state.json", R"({"loss": NaN, "best": -Infinity, "x": "NaN"})"),
            Severity::kNote);
  EXPECT_EQ(worst_of("README.md", "---\nlicense: mit\n---\nUse os.system() with care."),
            Severity::kNote);
  EXPECT_EQ(worst_of("merges.txt", "#version: 0.2\nt h\n"), Severity::kNote);
  EXPECT_EQ(
      worst_of(
          "tokenizer_config.json",
          R"({"chat_template": "{% for m in messages %}{{ m['content'].strip() }}{% endfor %}{{ raise_exception('x') }}"})"),
      Severity::kNote);
}

TEST(Documents, FindsInjectedTemplates) {
  const std::string_view bad[] = {
      R"({"chat_template": "{{ ''.__class__.__mro__[1].__subclasses__() }}"})",
      R"({"chat_template": [{"name": "default", "template": "{{ cycler.__init__.__globals__.os.popen('id') }}"}]})",
      R"({"deep": {"er": {"chat_template": "{{ x|attr('\\x5f\\x5fclass') }}"}}})",
  };
  for (const auto text : bad)
    EXPECT_EQ(worst_of("tokenizer_config.json", text), Severity::kDangerous) << text;
  EXPECT_EQ(worst_of("chat_template.jinja", "{{ lipsum.__globals__ }}"), Severity::kDangerous);
}

TEST(Documents, FindsCodeThatLoadersRun) {
  EXPECT_EQ(worst_of("config.json", R"({"auto_map": {"AutoModel": "modeling.Model"}})"),
            Severity::kSuspicious);
  EXPECT_EQ(worst_of("config.json", R"({"trust_remote_code": true})"), Severity::kSuspicious);
  EXPECT_EQ(worst_of("modeling.py", "import torch\n# os.system('x')\n"), Severity::kSuspicious);
  EXPECT_EQ(worst_of("modeling.py", "import os\nos.system('curl x | sh')\n"), Severity::kDangerous);
  EXPECT_EQ(worst_of("a.yaml", "x: !!python/object/apply:os.system [id]"), Severity::kDangerous);
  EXPECT_EQ(worst_of("install", "#!/bin/sh\nrm -rf x"), Severity::kSuspicious);
}

TEST(Documents, FindsIndexesThatLeadOut) {
  EXPECT_EQ(worst_of("model.safetensors.index.json",
                     R"({"weight_map": {"a": "model-1.safetensors", "b": "../../etc/passwd"}})"),
            Severity::kDangerous);
}

TEST(Documents, SaysWhatIsBroken) {
  EXPECT_EQ(worst_of("config.json", R"({"a": )"), Severity::kMalformed);
  EXPECT_EQ(worst_of("config.json", R"({"chat_template": "{{ x.__globals__ }}", )"),
            Severity::kDangerous);
}

TEST(Documents, LeavesBinariesAndPointersToOthers) {
  test::ScratchFolder folder;
  io::FileSystem& files = io::real_file_system();
  std::vector<Finding> findings;
  for (const std::string_view content :
       {std::string_view("a\0b", 3), std::string_view("\xff\xfe text"), std::string_view(""),
        std::string_view("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        std::string_view("<!DOCTYPE html><html>")}) {
    const std::string path = folder.put("x.txt", content);
    EXPECT_FALSE(scan_document_file(files, path, *make_probe(files, path), &findings)) << content;
  }
  const std::string path = folder.put("x.json", R"({"error": "a field of a real config"})");
  EXPECT_TRUE(scan_document_file(files, path, *make_probe(files, path), &findings));
  EXPECT_TRUE(findings.empty());
}

TEST(Documents, KnowsBinariesThatAreOnlyData) {
  test::ScratchFolder folder;
  io::FileSystem& files = io::real_file_system();
  const auto accepted = [&](std::string_view content) {
    std::vector<Finding> findings;
    const std::string path = folder.put("x.model", content);
    return scan_document_file(files, path, *make_probe(files, path), &findings);
  };
  const std::string piece("\x0a\x0a\x0a\x03<s>\x15\0\0\0\0", 12), trainer("\x12\x02\x18\x01", 4);
  EXPECT_TRUE(accepted(piece + piece + trainer));
  EXPECT_FALSE(accepted(piece + "x"));
  EXPECT_FALSE(accepted(piece + piece.substr(0, 5)));
  EXPECT_FALSE(accepted(trainer));
  const std::string png("\x89PNG\r\n\x1a\n\0\0\0\0", 12);
  EXPECT_TRUE(accepted(png));
  EXPECT_FALSE(accepted(png + "PK\5\6"));
  if (const auto root = test::real_data()) {
    std::vector<Finding> findings;
    const std::string path = *root + "/tokenizer/t5_spiece.model";
    EXPECT_TRUE(scan_document_file(files, path, *make_probe(files, path), &findings));
  }
}

}  // namespace
}  // namespace kilter::formats

#include "formats/zip/scan_zip.h"

#include <gtest/gtest.h>

#include "formats/zip/zip_test_support.h"

namespace kilter::zip {
namespace {

// os.system('id'), as protocol 0 and protocol 2 write it. Never run.
const std::string kPayload0 = "cos\nsystem\n(S'id'\ntR.";
const std::string kPayload2 = std::string("\x80\x02", 2) + "cos\nsystem\nU\x02id\x85R.";

std::vector<Finding> scan(const std::string& bytes, const RunContext& run = {},
                          const ScanLimits& limits = {}) {
  std::vector<Finding> findings;
  pickle::ScanContext context;
  context.path = "a.zip";
  context.wrapping = pickle::Wrapping::kOther;
  const auto status = scan_zip(memory_file(bytes), context, &findings, run, limits);
  EXPECT_TRUE(status) << status.error().text();
  return findings;
}

std::string zip_of(std::string name, std::string data, std::uint16_t method = 0) {
  return ZipBuilder().add(std::move(name), std::move(data), method).build();
}

TEST(ScanZip, FindsPicklesByContentUnderAnyName) {
  for (const std::string& payload : {kPayload0, kPayload2}) {
    for (const char* name : {"data.pkl", "weights.txt", "a/b/c"}) {
      const auto findings = scan(zip_of(name, payload));
      EXPECT_EQ(worst(findings), Severity::kDangerous) << name << rules_of(findings);
    }
  }
}

TEST(ScanZip, FindsAPickleThatHidesBehindAString) {
  const std::string hidden = "S'" + std::string(2000, 'x') + "'\n0" + kPayload0;
  EXPECT_EQ(worst(scan(zip_of("notes", hidden))), Severity::kDangerous);
}

TEST(ScanZip, FindsAPickleAmongTheStorages) {
  EXPECT_EQ(worst(scan(zip_of("archive/data/0", kPayload2))), Severity::kDangerous);
}

TEST(ScanZip, CallsOrdinaryBytesSafe) {
  ZipBuilder builder;
  builder.add("archive/data/0", std::string("\x80\x02\x00\x3f\x80\x01\x02\x03", 8));
  builder.add("config.json", "{\"a\": 1}").add("readme.txt", "cold\nday\nin the (park\n");
  builder.add("floats", std::string(4096, '\x3f')).add("empty", "");
  const auto findings = scan(builder.build());
  EXPECT_EQ(findings.size(), 0U) << rules_of(findings);
}

TEST(ScanZip, LooksIntoArchivesInsideArchives) {
  std::string bytes = zip_of("p", kPayload2);
  for (int depth = 0; depth < 4; ++depth)
    bytes = zip_of("inner.zip", bytes, depth % 2 == 0 ? 8 : 0);
  const auto findings = scan(bytes);
  EXPECT_EQ(worst(findings), Severity::kDangerous) << rules_of(findings);
}

TEST(ScanZip, StopsAtTheDepthLimitAndSaysSo) {
  std::string bytes = zip_of("p", kPayload2);
  for (int depth = 0; depth < 12; ++depth) bytes = zip_of("inner.zip", bytes);
  const auto findings = scan(bytes);
  EXPECT_TRUE(has_rule(findings, "archive.too-deep"));
  EXPECT_GE(worst(findings), Severity::kSuspicious);
}

TEST(ScanZip, ScansBytesWhoseCrcIsWrong) {
  ZipBuilder builder;
  builder.add("data.pkl", kPayload2);
  builder.members[0].crc32 = 1;
  const auto findings = scan(builder.build());
  EXPECT_TRUE(has_rule(findings, "zip.crc-mismatch")) << rules_of(findings);
  EXPECT_EQ(worst(findings), Severity::kDangerous);
}

TEST(ScanZip, ScansMembersMarkedAsEncrypted) {
  ZipBuilder builder;
  builder.add("data.pkl", kPayload2);
  builder.members[0].flags = kFlagEncrypted;
  EXPECT_EQ(worst(scan(builder.build())), Severity::kDangerous);
}

TEST(ScanZip, ScansWhatIsLeftWithoutADirectory) {
  std::string bytes = zip_of("data.pkl", kPayload2);
  bytes.resize(bytes.size() - 30);
  const auto findings = scan(bytes);
  EXPECT_TRUE(has_rule(findings, "zip.broken"));
  EXPECT_EQ(worst(findings), Severity::kDangerous);
}

TEST(ScanZip, ScansWhatStandsBeforeTheArchive) {
  const auto findings = scan(kPayload2 + zip_of("a", "b"));
  EXPECT_EQ(worst(findings), Severity::kDangerous) << rules_of(findings);
}

TEST(ScanZip, ReportsProgramsAndWhatItCannotLookInto) {
  ZipBuilder builder;
  builder.add("lib", std::string("\x7f") + "ELF\2\1\1").add("run", "#!/bin/sh\nid\n");
  builder.add("x.py", "import os\n").add("packed", std::string("\x1f\x8b\x08\x00", 4));
  const auto findings = scan(builder.build());
  EXPECT_EQ(std::count_if(findings.begin(), findings.end(),
                          [](const Finding& f) { return f.rule == "archive.program"; }),
            3);
  EXPECT_TRUE(has_rule(findings, "archive.not-scanned"));
}

TEST(ScanZip, ScansObjectArraysOfNumpy) {
  const std::string header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }";
  std::string npy("\x93NUMPY\1\0", 8);
  put_le(&npy, static_cast<std::uint16_t>(header.size()));
  EXPECT_EQ(worst(scan(zip_of("x.npy", npy + header + kPayload2))), Severity::kDangerous);
}

TEST(ScanZip, NotesTorchScriptAndSuspectsItsFileOperators) {
  ZipBuilder builder;
  builder.add("m/data.pkl", std::string("\x80\x02).", 4))
      .add("m/constants.pkl", std::string("\x80\x02).", 4));
  builder.add("m/code/__torch__.py", "def forward(self, x):\n  return torch.add(x, x)\n");
  EXPECT_EQ(worst(scan(builder.build())), Severity::kNote);
  builder.add("m/code/more.py", "def f(x):\n  torch.save(x, \"/tmp/x\")\n");
  const auto findings = scan(builder.build());
  EXPECT_TRUE(has_rule(findings, "torchscript.file-operator"));
  EXPECT_EQ(worst(findings), Severity::kSuspicious);
}

TEST(ScanZip, StopsWhenCancelled) {
  CancelToken cancel;
  cancel.cancel();
  RunContext run;
  run.cancel = &cancel;
  std::vector<Finding> findings;
  const auto status = scan_zip(memory_file(zip_of("a", "b")), {}, &findings, run);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
}

TEST(ScanZip, SurvivesEveryTruncation) {
  ZipBuilder builder;
  builder.add("m/data.pkl", kPayload2).add("inner", zip_of("p", kPayload0, 8), 8);
  const std::string bytes = builder.build();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto findings = scan(bytes.substr(0, size));
    EXPECT_GE(worst(findings), Severity::kMalformed) << size;
  }
}

}  // namespace
}  // namespace kilter::zip

#include "formats/tar/archive.h"

#include <gtest/gtest.h>

#include "formats/pickle/scan.h"
#include "formats/tar/tar_test_support.h"
#include "formats/zip/scan_zip.h"
#include "formats/zip/zip_test_support.h"

namespace kilter::tar {
namespace {

using zip::has_rule;
using zip::memory_file;
using zip::rules_of;
using zip::worst;

TEST(TarArchive, ReadsMembersAndTheirPlaces) {
  TarBuilder builder;
  builder.add("one", "first").add("two", std::string(600, 'x')).add("folder/", "", '5');
  const std::string bytes = builder.build();
  const auto archive = tar::read_archive(memory_file(bytes));
  ASSERT_TRUE(archive) << archive.error().text();
  EXPECT_EQ(rules_of(archive->findings), "");
  EXPECT_TRUE(archive->ended);
  ASSERT_EQ(archive->members.size(), 3U);
  EXPECT_EQ(archive->members[0].data_offset_bytes, 512U);
  EXPECT_EQ(archive->members[1].bytes, 600U);
  EXPECT_EQ(archive->members[2].kind, MemberKind::kFolder);
  EXPECT_EQ(archive->find("two"), 1U);
}

TEST(TarArchive, ReadsLongNamesOfPaxAndGnu) {
  const std::string name = "deep/" + std::string(150, 'n');
  const std::string record = " path=" + name + "\n";
  TarBuilder builder;
  builder.add("PaxHeader", std::to_string(record.size() + 3) + record, 'x').add("short", "a");
  builder.add("././@LongLink", name + '\0', 'L').add("short", "b");
  const auto archive = tar::read_archive(memory_file(builder.build()));
  ASSERT_TRUE(archive);
  ASSERT_EQ(archive->members.size(), 2U);
  EXPECT_EQ(archive->members[0].name, name);
  EXPECT_EQ(archive->members[1].name, name);
  EXPECT_TRUE(has_rule(archive->findings, "tar.duplicate-member"));
}

TEST(TarArchive, ReportsNamesLinksAndDevices) {
  TarBuilder builder;
  builder.add("../evil", "x").add("link", "", '2', "/etc/passwd").add("hard", "", '1', "one");
  builder.add("device", "", '3').add("strange", "", 'Z');
  const auto archive = tar::read_archive(memory_file(builder.build()));
  ASSERT_TRUE(archive);
  for (const char* rule : {"tar.unsafe-name", "tar.link", "tar.device", "tar.unknown-type"})
    EXPECT_TRUE(has_rule(archive->findings, rule)) << rule;
  EXPECT_EQ(worst(archive->findings), Severity::kDangerous);
}

TEST(TarArchive, ReportsWhatIsCutOffAtEveryByte) {
  TarBuilder builder;
  builder.add("one", "first").add("two", std::string(600, 'x'));
  const std::string bytes = builder.build();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto archive = tar::read_archive(memory_file(std::string_view(bytes).substr(0, size)));
    if (!archive) {
      EXPECT_EQ(archive.error().code, ErrorCode::kMalformed);
      EXPECT_EQ(archive.error().path, "a.zip");
      continue;
    }
    // One zero block is an end that every reader accepts.
    const bool has_end = size >= bytes.size() - 512;
    EXPECT_EQ(worst(archive->findings) >= Severity::kMalformed, !has_end) << size;
  }
}

TEST(TarArchive, RefusesABrokenChecksumAndImpossibleSizes) {
  TarBuilder builder;
  builder.add("one", "first").add("two", "second");
  std::string bytes = builder.build();
  bytes[1024] = 'T';
  const auto archive = tar::read_archive(memory_file(bytes));
  ASSERT_TRUE(archive);
  EXPECT_TRUE(has_rule(archive->findings, "tar.bad-header"));
  bytes[0] = 'O';
  EXPECT_FALSE(tar::read_archive(memory_file(bytes)));
  TarBuilder large;
  large.add("one", "first");
  large.size_field = "77777777777";
  const auto cut = tar::read_archive(memory_file(large.build()));
  ASSERT_TRUE(cut);
  EXPECT_TRUE(has_rule(cut->findings, "tar.truncated-member"));
  large.size_field = std::string("\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
  EXPECT_FALSE(tar::read_archive(memory_file(large.build())));
}

TEST(TarArchive, TakesZeroesForAnEmptyArchive) {
  const auto archive = tar::read_archive(memory_file(std::string(10240, '\0')));
  ASSERT_TRUE(archive);
  EXPECT_TRUE(archive->members.empty());
  EXPECT_FALSE(is_header(as_bytes(std::string(512, '\0'))));
}

TEST(TarArchive, SurvivesEveryHeaderByteSetToItsExtremes) {
  TarBuilder builder;
  builder.add("PaxHeader", "12 path=abc\n", 'x').add("one", "first");
  const std::string bytes = builder.build();
  for (std::size_t at = 0; at < 2048; ++at) {
    for (const char value : {'\0', '\xff', '7'}) {
      std::string changed = bytes;
      changed[at] = value;
      TarBuilder::seal(&changed, at / 512 * 512);
      (void)tar::read_archive(memory_file(changed));
    }
  }
}

TEST(TarScan, FindsPicklesAndArchivesInside) {
  const std::string payload = std::string("\x80\x02", 2) + "cos\nsystem\nU\x02id\x85R.";
  TarBuilder inner;
  inner.add("weights", payload);
  TarBuilder builder;
  builder.add("nested.tar", inner.build());
  std::vector<Finding> findings;
  ASSERT_TRUE(zip::scan_tar(memory_file(builder.build()), {}, &findings));
  EXPECT_EQ(worst(findings), Severity::kDangerous) << rules_of(findings);
}

}  // namespace
}  // namespace kilter::tar

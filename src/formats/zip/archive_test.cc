#include "formats/zip/archive.h"

#include <gtest/gtest.h>

#include "formats/zip/zip_test_support.h"

namespace kilter::zip {
namespace {

Archive read(const ZipBuilder& builder) {
  auto archive = read_archive(memory_file(builder.build()));
  EXPECT_TRUE(archive.has_value()) << archive.error().text();
  return archive ? std::move(*archive) : Archive();
}

ZipBuilder two_members() {
  ZipBuilder builder;
  builder.add("a/one", "first bytes").add("a/two", std::string(5000, 'x'), 8);
  return builder;
}

TEST(ZipArchive, ReadsStoredAndDeflatedMembers) {
  const std::string bytes = two_members().build();
  const auto file = memory_file(bytes);
  const auto archive = read_archive(file);
  ASSERT_TRUE(archive) << archive.error().text();
  EXPECT_EQ(rules_of(archive->findings), "");
  ASSERT_EQ(archive->members.size(), 2U);
  const auto one = read_member(file, archive->members[*archive->find("a/one")], 100);
  ASSERT_TRUE(one) << one.error().text();
  EXPECT_EQ(as_text(*one), "first bytes");
  const auto two = read_member(file, archive->members[*archive->find("a/two")], 5000);
  ASSERT_TRUE(two) << two.error().text();
  EXPECT_EQ(as_text(*two), std::string(5000, 'x'));
  EXPECT_TRUE(check_member(file, archive->members[0]));
  EXPECT_TRUE(check_member(file, archive->members[1]));
  EXPECT_FALSE(archive->find("a/three"));
}

TEST(ZipArchive, RefusesMembersAboveTheBudget) {
  const auto file = memory_file(two_members().build());
  const auto archive = read_archive(file);
  ASSERT_TRUE(archive);
  const auto two = read_member(file, archive->members[1], 4999);
  ASSERT_FALSE(two);
  EXPECT_EQ(two.error().code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(two.error().path, "a.zip!a/two");
}

TEST(ZipArchive, SeesThatALocalNameDiffers) {
  auto builder = two_members();
  builder.members[0].local_name = "a/eno";
  const auto archive = read(builder);
  ASSERT_EQ(archive.findings.size(), 1U);
  EXPECT_EQ(archive.findings[0].rule, "zip.local-name-differs");
  EXPECT_EQ(archive.findings[0].severity, Severity::kDangerous);
  EXPECT_EQ(archive.findings[0].evidence, "\"a/one\" and \"a/eno\"");
}

TEST(ZipArchive, SeesThatLocalMethodFlagsSizesAndCrcDiffer) {
  auto builder = two_members();
  builder.members[0].local_method = std::uint16_t{8};
  EXPECT_TRUE(has_rule(read(builder).findings, "zip.local-method-differs"));
  builder = two_members();
  builder.members[0].local_flags = kFlagEncrypted;
  EXPECT_TRUE(has_rule(read(builder).findings, "zip.local-flags-differ"));
  builder = two_members();
  builder.members[0].local_bytes = 7;
  EXPECT_TRUE(has_rule(read(builder).findings, "zip.size-differs"));
  builder = two_members();
  builder.members[0].bytes = 7;
  EXPECT_TRUE(has_rule(read(builder).findings, "zip.size-differs"));
}

TEST(ZipArchive, AcceptsSizesThatFollowTheData) {
  auto builder = two_members();
  for (TestMember& member : builder.members) member.flags = kFlagDescriptor | kFlagUtf8;
  EXPECT_EQ(rules_of(read(builder).findings), "");
}

TEST(ZipArchive, ReportsDuplicatesAndTakesTheLast) {
  ZipBuilder builder;
  builder.add("x", "safe").add("x", "other");
  const auto file = memory_file(builder.build());
  const auto archive = read_archive(file);
  ASSERT_TRUE(archive);
  EXPECT_TRUE(has_rule(archive->findings, "zip.duplicate-member"));
  EXPECT_EQ(worst(archive->findings), Severity::kDangerous);
  EXPECT_EQ(as_text(*read_member(file, archive->members[*archive->find("x")], 10)), "other");
}

TEST(ZipArchive, ReportsNamesThatLeadOut) {
  for (const char* name : {"../x", "/etc/passwd", "a/../../b", "C:\\x", "a\\b", "a/\nb"}) {
    ZipBuilder builder;
    builder.add(name, "data");
    EXPECT_TRUE(has_rule(read(builder).findings, "zip.unsafe-name")) << name;
  }
  ZipBuilder builder;
  builder.add("folder/", "").add("folder/file", "data");
  EXPECT_EQ(rules_of(read(builder).findings), "");
}

TEST(ZipArchive, ReportsEncryptionAndUnknownMethods) {
  auto builder = two_members();
  builder.members[0].flags = kFlagEncrypted;
  builder.members[1].method = 12;
  const auto archive = read(builder);
  EXPECT_TRUE(has_rule(archive.findings, "zip.encrypted"));
  EXPECT_TRUE(has_rule(archive.findings, "zip.unknown-method"));
  EXPECT_FALSE(archive.members[0].readable());
  EXPECT_FALSE(archive.members[1].readable());
}

TEST(ZipArchive, ReportsOverlappingMembers) {
  ZipBuilder builder;
  builder.add("a", "12345678").add("b", "12345678");
  builder.members[1].header_offset = 0;
  EXPECT_TRUE(has_rule(read(builder).findings, "zip.overlap"));
}

TEST(ZipArchive, ReportsMembersTheDirectoryHides) {
  auto builder = two_members();
  builder.add("hidden", "payload");
  builder.members[2].in_directory = false;
  const auto archive = read(builder);
  EXPECT_TRUE(has_rule(archive.findings, "zip.hidden-member"));
  EXPECT_EQ(worst(archive.findings), Severity::kDangerous);
}

TEST(ZipArchive, ReportsBytesBetweenMembers) {
  auto builder = two_members();
  builder.members[1].gap = "lost bytes";
  EXPECT_TRUE(has_rule(read(builder).findings, "zip.gap"));
  builder.members[1].gap = std::string(40, '\0');  // padding
  EXPECT_EQ(rules_of(read(builder).findings), "");
}

TEST(ZipArchive, ReadsAnArchiveBehindJunkAndSaysSo) {
  auto builder = two_members();
  const std::string bytes = "#!/bin/sh\n" + builder.build();  // offsets do not count the junk
  const auto file = memory_file(bytes);
  const auto archive = read_archive(file);
  ASSERT_TRUE(archive) << archive.error().text();
  EXPECT_EQ(archive->prefix_bytes, 10U);
  EXPECT_TRUE(has_rule(archive->findings, "zip.prefix-bytes"));
  EXPECT_TRUE(read_member(file, archive->members[0], 100));
}

TEST(ZipArchive, ReportsTrailingBytesAndComments) {
  auto builder = two_members();
  builder.trailing = "tail";
  EXPECT_TRUE(has_rule(read(builder).findings, "zip.trailing-bytes"));
  builder.trailing.clear();
  builder.comment = "made by hand";
  const auto archive = read(builder);
  EXPECT_EQ(archive.comment, "made by hand");
  EXPECT_EQ(worst(archive.findings), Severity::kNote);
}

TEST(ZipArchive, ReportsASecondDirectoryInsideTheComment) {
  ZipBuilder inner;
  inner.add("payload", "evil");
  auto outer = two_members();
  // The comment holds a whole other archive: readers that search from the end take that one.
  outer.comment = inner.build();
  const auto archive = read(outer);
  EXPECT_TRUE(has_rule(archive.findings, "zip.two-directories")) << rules_of(archive.findings);
}

TEST(ZipArchive, ReportsAWrongMemberCount) {
  auto builder = two_members();
  builder.count = 3;
  EXPECT_TRUE(has_rule(read(builder).findings, "zip.count-differs"));
}

TEST(ZipArchive, ReportsExpansionBombs) {
  ZipBuilder builder;
  builder.add("bomb", std::string(4 << 20, '\0'), 8);
  EXPECT_TRUE(has_rule(read(builder).findings, "zip.expansion"));
}

TEST(ZipArchive, ReportsHeadersAndDataOutsideTheFile) {
  auto builder = two_members();
  builder.members[0].header_offset = 0x7fffffff;
  auto archive = read(builder);
  EXPECT_TRUE(has_rule(archive.findings, "zip.out-of-file"));
  EXPECT_FALSE(archive.members[0].readable());
  builder = two_members();
  builder.members[1].stored_bytes = 0x7fffffff;
  archive = read(builder);
  EXPECT_TRUE(has_rule(archive.findings, "zip.out-of-file"));
  builder = two_members();
  builder.members[1].header_offset = 3;
  EXPECT_TRUE(has_rule(read(builder).findings, "zip.no-local-header"));
}

TEST(ZipArchive, SeesAFlippedBitInAMember) {
  std::string bytes = two_members().build();
  bytes[bytes.find("first")] ^= 1;
  const auto file = memory_file(bytes);
  const auto archive = read_archive(file);
  ASSERT_TRUE(archive);
  const auto checked = check_member(file, archive->members[0]);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(checked.error().path, "a.zip!a/one");
  EXPECT_FALSE(read_member(file, archive->members[0], 100));
  const auto anyway = read_member_anyway(file, archive->members[0], 100);
  ASSERT_TRUE(anyway);
  EXPECT_EQ(as_text(anyway->bytes), "girst bytes");
  EXPECT_TRUE(anyway->fault);
}

TEST(ZipArchive, FailsOnEveryTruncationWithoutADirectory) {
  const std::string bytes = two_members().build();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto file = memory_file(std::string_view(bytes).substr(0, size));
    const auto archive = read_archive(file);
    EXPECT_FALSE(archive) << size;
    if (archive) continue;
    EXPECT_EQ(archive.error().code, ErrorCode::kMalformed);
    EXPECT_EQ(archive.error().path, "a.zip");
    EXPECT_TRUE(archive.error().offset_bytes);
    EXPECT_TRUE(salvage_archive(file)) << size;
  }
}

TEST(ZipArchive, SurvivesEveryByteSetToItsExtremes) {
  auto builder = two_members();
  builder.members[1].flags = kFlagDescriptor;
  const std::string bytes = builder.build();
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const char value : {'\0', '\xff', '\x7f'}) {
      std::string changed = bytes;
      changed[at] = value;
      const auto file = memory_file(changed);
      auto archive = read_archive(file);
      if (!archive) archive = salvage_archive(file);
      ASSERT_TRUE(archive) << at;
      for (const Member& member : archive->members) {
        (void)check_member(file, member);
        (void)read_member(file, member, 1 << 20);
        (void)read_member_anyway(file, member, 1 << 20);
      }
    }
  }
}

TEST(ZipSalvage, FindsWholeMembersOfACutOffArchive) {
  for (const std::uint16_t flags : {std::uint16_t{0}, kFlagDescriptor}) {
    auto builder = two_members();
    builder.add("a/three", "third");
    for (TestMember& member : builder.members) member.flags = flags;
    const std::string bytes = builder.build();
    const auto file = memory_file(std::string_view(bytes).substr(0, bytes.find("third") + 2));
    EXPECT_FALSE(read_archive(file));
    const auto archive = salvage_archive(file);
    ASSERT_TRUE(archive);
    ASSERT_EQ(archive->members.size(), 2U) << flags;
    EXPECT_EQ(as_text(*read_member(file, archive->members[0], 100)), "first bytes");
    EXPECT_TRUE(check_member(file, archive->members[1]));
    EXPECT_TRUE(has_rule(archive->findings, "zip.truncated-member"));
  }
}

}  // namespace
}  // namespace kilter::zip

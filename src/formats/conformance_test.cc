// What every format of the table must withstand. A row's samples are small sound files; each test
// damages them in one way. Whatever comes, an error names the path, and nothing crashes or hangs.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include "kilter/checkpoint.h"

#include "formats/conformance_samples.h"
#include "formats/format.h"
#include "formats/test_files.h"
#include "io/memory_file_system.h"

namespace kilter::formats {
namespace {

using test::Sample;
using test::ScratchFolder;

class Conformance : public ::testing::TestWithParam<Sample> {
 protected:
  /// Opens strictly and leniently, checks and scans; every error must say where.
  void withstand(std::string_view content, const std::string& what) {
    const auto memory = io::make_memory_file_system();  // thousands of files: a disk takes minutes
    io::FileSystem& files = *memory;
    const std::string path = "/sample";
    memory->put(path, content);
    for (const auto& [suffix, more] : GetParam().beside) memory->put(path + suffix, more);
    for (const bool lenient : {false, true}) {
      OpenOptions options;
      options.lenient = lenient;
      options.header_bytes_max = 64 << 20;
      options.files = &files;
      const auto opened = open_checkpoint(path, options);
      if (!opened) {
        EXPECT_FALSE(opened.error().path.empty()) << what << ": " << opened.error().text();
        EXPECT_NE(opened.error().code, ErrorCode::kInternal) << what << opened.error().text();
        continue;
      }
      read_all(*opened, what);
    }
    const auto probe = make_probe(files, path);
    if (!probe) return;
    const Format* format = recognize(*probe).format;
    if (format == nullptr) {
      (void)diagnose(files, *probe);
      return;
    }
    std::vector<Finding> findings;
    const auto checked = format->check({&files, path, &*probe, true, {}}, &findings);
    const auto scanned = format->scan({&files, path, &*probe, true, {}}, &findings);
    for (const Finding& finding : findings) EXPECT_FALSE(finding.rule.empty()) << what;
    (void)checked, (void)scanned;
  }

  /// Small tensors are read whole; of large ones (views that repeat) only the ends.
  static void read_all(const Checkpoint& checkpoint, const std::string& what) {
    ASSERT_TRUE(checkpoint.data().index.validate()) << what;
    for (std::size_t i = 0; i < std::min<std::size_t>(checkpoint.tensors().size(), 50); ++i) {
      const std::uint64_t bytes = checkpoint.tensors()[i].bytes();
      std::vector<std::byte> block(std::min<std::uint64_t>(bytes, 1 << 16));
      (void)checkpoint.read_tensor(i, 0, block);
      (void)checkpoint.read_tensor(i, bytes - block.size(), block);
    }
  }

  ScratchFolder folder_;
};

TEST_P(Conformance, OpensItsSampleByContent) {
  const Sample& sample = GetParam();
  const std::string path = folder_.put("no-extension", sample.content);
  for (const auto& [suffix, more] : sample.beside) folder_.put("no-extension" + suffix, more);
  const auto probe = make_probe(io::real_file_system(), path);
  ASSERT_TRUE(probe);
  const Recognized recognized = recognize(*probe);
  ASSERT_NE(recognized.format, nullptr);
  EXPECT_EQ(recognized.format->name(), sample.format);
  EXPECT_FALSE(recognized.detection.evidence.empty());
  const auto opened = open_checkpoint(path);
  EXPECT_EQ(opened.has_value(), sample.opens);
  if (!opened) {
    EXPECT_EQ(opened.error().path, path) << opened.error().text();
    return;
  }
  EXPECT_EQ(opened->data().format, sample.format);
  EXPECT_EQ(opened->data().path, path);
  EXPECT_EQ(opened->tensors().size(), sample.tensor_count);
}

TEST_P(Conformance, WithstandsTruncationAtEveryByte) {
  const std::string& content = GetParam().content;
  const std::size_t step = content.size() > 1000 ? content.size() / 500 : 1;
  for (std::size_t size = 0; size < content.size(); size += step)
    withstand(content.substr(0, size), fmt::format("cut at {}", size));
}

TEST_P(Conformance, WithstandsMaximalLengthsEverywhere) {
  const std::string& content = GetParam().content;
  const std::size_t step = content.size() > 500 ? content.size() / 250 : 1;
  const std::string_view fills[] = {std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff", 8),
                                    std::string_view("\0\0\0\0\1\0\0\0", 8),
                                    std::string_view("\0\0\0\0\0\0\0\x80", 8),
                                    std::string_view("\xff\xff\xff\x7f", 4)};
  for (std::size_t at = 0; at + 8 <= content.size(); at += step) {
    for (const std::string_view fill : fills) {
      std::string damaged = content;
      damaged.replace(at, fill.size(), fill);
      withstand(damaged, fmt::format("{} bytes of length at {}", fill.size(), at));
    }
  }
}

TEST_P(Conformance, WithstandsFlippedBytes) {
  const std::string& content = GetParam().content;
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::string damaged = content;
    for (int i = 0; i < 1 + round % 4; ++i)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    withstand(damaged, fmt::format("flips, round {}", round));
  }
}

TEST_P(Conformance, WithstandsGarbageBehindItsMagic) {
  const std::string& content = GetParam().content;
  std::mt19937 random(2);
  for (const std::size_t keep : {2U, 4U, 8U, 16U, 64U}) {
    for (int round = 0; round < 20; ++round) {
      std::string damaged = content.substr(0, keep);
      while (damaged.size() < 2000) damaged += static_cast<char>(random());
      withstand(damaged, fmt::format("garbage behind {} bytes", keep));
    }
  }
}

TEST_P(Conformance, WithstandsATextModeTransfer) {
  std::string crlf, replaced;
  for (const char c : GetParam().content) {
    crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
    replaced += (static_cast<unsigned char>(c) & 0x80U) != 0 ? std::string("\xef\xbf\xbd")
                                                             : std::string(1, c);
  }
  withstand(crlf, "CRLF");
  withstand(replaced, "UTF-8 replacement");
}

TEST_P(Conformance, WithstandsNeighbours) {
  const std::string& content = GetParam().content;
  withstand(content + content, "twice");
  withstand(content + std::string(1000, '\0'), "zeros behind");
  withstand("garbage" + content, "garbage before");
  withstand(content + "PK\5\6", "a zip's end behind");
}

INSTANTIATE_TEST_SUITE_P(Formats, Conformance, ::testing::ValuesIn(test::samples()),
                         [](const auto& row) { return row.param.name; });

class AnyFile : public ::testing::Test {
 protected:
  Error error_of(const std::string& path) {
    auto opened = open_checkpoint(path);
    EXPECT_FALSE(opened) << path;
    return opened ? Error() : opened.error();
  }
  ScratchFolder folder_;
};

TEST_F(AnyFile, EveryRowOfTheTableHasASample) {
  for (const Format* format : format_table()) {
    // Folders have tests of their own.
    if (format->name() == "folder" || format->name() == "dcp" || format->name() == "deepspeed")
      continue;
    const auto all = test::samples();
    EXPECT_TRUE(std::any_of(all.begin(), all.end(), [&](const Sample& s) {
      return s.format == format->name();
    })) << format->name();
    EXPECT_EQ(find_format(format->name()), format);
    EXPECT_FALSE(format->title().empty());
  }
}

TEST_F(AnyFile, EmptyAbsentFolderAndUnreadableAreSaidPlainly) {
  EXPECT_NE(error_of(folder_.put("empty.pt", "")).text().find("empty"), std::string::npos);
  EXPECT_EQ(error_of(folder_.path("absent.pt")).code, ErrorCode::kNotFound);
  std::filesystem::create_directory(folder_.path("folder.safetensors"));
  const Error folder = error_of(folder_.path("folder.safetensors"));
  EXPECT_NE(folder.text().find("folder"), std::string::npos) << folder.text();
  if (::geteuid() != 0) {  // root reads everything
    const std::string locked = folder_.put("locked.pt", "x");
    std::filesystem::permissions(locked, std::filesystem::perms::none);
    EXPECT_EQ(error_of(locked).code, ErrorCode::kPermission);
  }
  EXPECT_EQ(error_of("/dev/null").code, ErrorCode::kUnsupported);
}

TEST_F(AnyFile, GarbageIsNeverTakenForACheckpoint) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    std::string content(1 + random() % 4000, '\0');
    for (char& c : content) c = static_cast<char>(random());
    const Error error = error_of(folder_.put("garbage", content));
    EXPECT_FALSE(error.path.empty());
  }
}

TEST_F(AnyFile, DeepNestingIsRefusedNotFollowed) {
  for (const std::string_view opener : {"[", "{\"a\":", "(", "]", "\x80\x02]", "("}) {
    std::string content;
    while (content.size() < 200'000) content += opener;
    EXPECT_FALSE(error_of(folder_.put("deep", content)).path.empty());
    EXPECT_FALSE(error_of(folder_.put("deep", test::safetensors_file(content, ""))).path.empty());
  }
}

}  // namespace
}  // namespace kilter::formats

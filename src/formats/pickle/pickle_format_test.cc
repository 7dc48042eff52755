#include "formats/pickle/pickle_format.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "io/memory_file_system.h"

namespace kilter::formats {
namespace {

using namespace std::string_literals;

const std::string kPath = "/x.pkl";

struct Opened {
  std::unique_ptr<io::MemoryFileSystem> files = io::make_memory_file_system();
  Probe probe;
  explicit Opened(const std::string& bytes) {
    files->put(kPath, bytes);
    probe = make_probe(*files, kPath).value();
  }
  int score() const { return pickle_format().detect(probe).score; }
  Result<CheckpointData> open(bool lenient = false) {
    OpenOptions options;
    options.lenient = lenient;
    return pickle_format().open({files.get(), kPath, &probe, options});
  }
  std::vector<Finding> check() {
    std::vector<Finding> findings;
    EXPECT_TRUE(pickle_format().check({files.get(), kPath, &probe, true, {}}, &findings));
    return findings;
  }
  std::vector<Finding> scan() {
    std::vector<Finding> findings;
    EXPECT_TRUE(pickle_format().scan({files.get(), kPath, &probe, true, {}}, &findings));
    return findings;
  }
};

// {'w': numpy.array([0, 1, 2], '<f4')} under protocol 3.
const std::string kArray =
    "\x80\x03}X\x01\x00\x00\x00wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
    "C\x01"
    "b\x87R(K\x01K\x03\x85"
    "cnumpy\ndtype\nX\x02\x00\x00\x00"
    "f4\x89\x88\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    "C\x0c\x00\x00\x00\x00\x00\x00\x80\x3f\x00\x00\x00\x40tbs."s;

TEST(PickleFormat, IsRecognizedByContentAlone) {
  EXPECT_GT(Opened("\x80\x04N."s).score(), 80);
  EXPECT_GT(Opened(kArray).score(), 80);
  EXPECT_GT(Opened("(lp0\nI1\na.").score(), 40);
  EXPECT_GT(Opened("cos\nsystem\n(S'x'\ntRgarbage").score(), 30);
  EXPECT_GT(Opened("\x80\x02"
                   "cos\nsystem\n(S'x'\ntR\xff"s)
                .score(),
            30);
}

TEST(PickleFormat, IsRecognizedBehindABrokenBeginning) {
  Opened file(
      "\x80\x02\xff\x80\x02"
      "cos\nsystem\n(S'id'\ntR.");
  EXPECT_GT(file.score(), 0);
  EXPECT_FALSE(file.open());
  bool dangerous = false;
  for (const Finding& finding : file.scan()) {
    dangerous = dangerous || finding.severity == Severity::kDangerous;
  }
  EXPECT_TRUE(dangerous);
}

TEST(PickleFormat, LeavesOtherFilesAlone) {
  EXPECT_EQ(Opened("").score(), 0);
  EXPECT_EQ(Opened("{\"a\": 1}").score(), 0);
  EXPECT_EQ(Opened("cat\ndog\nemu\n").score(), 0);
  EXPECT_EQ(Opened("version https://git-lfs.github.com/spec/v1\n").score(), 0);
  EXPECT_EQ(Opened("PK\x03\x04").score(), 0);
  EXPECT_EQ(Opened(std::string(4096, '\0')).score(), 0);
  const std::string magic =
      "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03."s;
  EXPECT_EQ(Opened(magic).score(), 0) << "torch's legacy files have a reader of their own";
}

TEST(PickleFormat, LeavesArraysInTheFile) {
  Opened file(kArray);
  const auto data = file.open();
  ASSERT_TRUE(data) << data.error().text();
  ASSERT_EQ(data->index.tensors.size(), 1U);
  EXPECT_EQ(data->index.tensors[0].name, "w");
  const StorageInfo& storage = data->index.storages[0];
  ASSERT_EQ(storage.coding, StorageCoding::kRaw);
  float values[3];
  std::memcpy(values, kArray.data() + storage.offset_bytes, sizeof(values));
  EXPECT_EQ(values[2], 2.0F);
}

TEST(PickleFormat, OpensSeveralPicklesAsAList) {
  Opened file("\x80\x02K\x01.\x80\x02K\x02."s);
  const auto data = file.open();
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_EQ(data->state[data->state.root()].items.size(), 2U);
  EXPECT_NE(data->format_detail.find("2 pickles"), std::string::npos);
}

TEST(PickleFormat, OpensCallsAsDataAndScansThem) {
  Opened file("cos\nsystem\n(S'id'\ntR.");
  const auto data = file.open();
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_EQ(data->state[data->state.root()].text, "os.system");
  const auto findings = file.scan();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].severity, Severity::kDangerous);
  EXPECT_EQ(findings[0].path, kPath);
}

TEST(PickleFormat, RefusesEveryTruncationByPathAndOffset) {
  for (std::size_t size = 1; size < kArray.size(); ++size) {
    Opened file(kArray.substr(0, size));
    const auto data = file.open();
    ASSERT_FALSE(data) << size;
    EXPECT_EQ(data.error().code, ErrorCode::kMalformed) << size;
    EXPECT_EQ(data.error().path, kPath) << size;
    EXPECT_TRUE(data.error().offset_bytes) << size;
    EXPECT_FALSE(file.check().empty()) << size;
    EXPECT_NE(file.scan().size(), 0U) << size;
  }
}

TEST(PickleFormat, RescuesWhatABrokenPickleHolds) {
  const std::string array = kArray.substr(9, kArray.size() - 11);
  Opened file("\x80\x03](" + array + array + "B\xff\xff\xff\x7fx"s);
  EXPECT_FALSE(file.open());
  const auto data = file.open(true);
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_EQ(data->index.tensors.size(), 2U);
  EXPECT_FALSE(data->findings.empty());
}

TEST(PickleFormat, RefusesFilesBeyondTheMemoryItMayUse) {
  Opened file(kArray);
  OpenOptions options;
  options.header_bytes_max = 16;
  const auto data = pickle_format().open({file.files.get(), kPath, &file.probe, options});
  ASSERT_FALSE(data);
  EXPECT_EQ(data.error().code, ErrorCode::kLimitExceeded);
}

// What joblib.dump({'a': numpy.zeros(2, 'u1')}) writes, with the array's raw bytes in the stream.
std::string joblib_file(const std::string& dtype, const std::string& raw) {
  return "\x80\x03}X\x01\x00\x00\x00"
         "acjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}("
         "X\x08\x00\x00\x00subclasscnumpy\nndarray\nX\x05\x00\x00\x00shapeK\x02\x85"
         "X\x05\x00\x00\x00orderX\x01\x00\x00\x00"
         "CX\x05\x00\x00\x00"
         "dtypecnumpy\ndtype\nX\x02\x00\x00\x00"s +
         dtype +
         "\x89\x88\x87R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
         "X\x0a\x00\x00\x00"
         "allow_mmap\x88ub"s +
         raw + "s.";
}

TEST(PickleFormat, OpensJoblibArrays) {
  const std::string bytes = joblib_file("u1", "\xfe\xff");
  Opened file(bytes);
  const auto data = file.open();
  ASSERT_TRUE(data) << data.error().text();
  ASSERT_EQ(data->index.tensors.size(), 1U);
  EXPECT_EQ(data->index.tensors[0].name, "a");
  EXPECT_EQ(bytes.substr(data->index.storages[0].offset_bytes, 2), "\xfe\xff");
  EXPECT_TRUE(file.scan().empty());
}

TEST(PickleFormat, JudgesJoblibArraysAlsoAsPlainOpcodes) {
  const std::string payload = "cos\nsystem\n(S'id'\ntR.";
  std::string bytes = joblib_file("u1", payload);
  const std::size_t at = bytes.find("K\x02\x85");
  bytes[at + 1] = static_cast<char>(payload.size());
  const auto findings = Opened(bytes).scan();
  ASSERT_FALSE(findings.empty());
  EXPECT_EQ(findings[0].severity, Severity::kDangerous);
}

}  // namespace
}  // namespace kilter::formats

// Files that nobody here made, where they are present.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "flow/source.h"
#include "formats/torch/torch_formats.h"
#include "formats/zip/zip_test_support.h"

namespace kilter::formats {
namespace {

namespace fs = std::filesystem;

fs::path real_data() {
  const char* set = std::getenv("KILTER_REAL_DATA");
  return set != nullptr ? fs::path(set) : fs::path(KILTER_SOURCE_DIR) / "../shared/data";
}

std::vector<fs::path> files_in(std::string_view folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(real_data() / folder, error))
    if (entry.is_regular_file()) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

struct Real {
  Probe probe;
  const Format* format = nullptr;
  CheckpointData data;

  static Result<Real> open(const fs::path& path) {
    Real real;
    real.probe = *make_probe(io::real_file_system(), path.string());
    int best = 0;
    for (const Format* format :
         {&torch_zip_format(), &torch_legacy_format(), &torch_tar_format()}) {
      const int score = format->detect(real.probe).score;
      if (score > best) real.format = format;
      best = std::max(best, score);
    }
    if (real.format == nullptr) return fail(ErrorCode::kUnsupported, "not recognized");
    OpenArguments arguments;
    arguments.files = &io::real_file_system();
    arguments.path = path.string();
    arguments.probe = &real.probe;
    auto data = real.format->open(arguments);
    if (!data) return fail(std::move(data).error());
    real.data = std::move(*data);
    return real;
  }

  template <typename T>
  std::vector<T> values(std::string_view name) const {
    const std::size_t at = *data.index.find(name);
    std::vector<T> out(data.index.tensors[at].element_count());
    const auto source = make_file_source(io::real_file_system(), data.root, false, data.index);
    EXPECT_TRUE(source->read_tensor(at, 0, std::as_writable_bytes(std::span(out))));
    return out;
  }
};

class RealTorchFiles : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(real_data() / "torch_zip"))
      GTEST_SKIP() << "no real files at " << real_data() << " (set KILTER_REAL_DATA)";
  }
};

TEST_F(RealTorchFiles, OpenAndCheckWithoutAFault) {
  int opened = 0;
  for (const char* folder : {"torch_zip", "torch_legacy", "torch_tar", "torch_pickled_class"}) {
    for (const fs::path& path : files_in(folder)) {
      if (path.filename() == "burn_broken.pt") continue;
      const auto real = Real::open(path);
      ASSERT_TRUE(real) << path << real.error().text();
      ++opened;
      EXPECT_FALSE(real->data.index.tensors.empty()) << path;
      EXPECT_EQ(zip::worst(real->data.findings), Severity::kNote)
          << path << zip::rules_of(real->data.findings);
      CheckArguments arguments;
      arguments.files = &io::real_file_system();
      arguments.path = path.string();
      arguments.probe = &real->probe;
      std::vector<Finding> findings;
      ASSERT_TRUE(real->format->check(arguments, &findings)) << path;
      EXPECT_EQ(zip::worst(findings), Severity::kNote) << path << zip::rules_of(findings);
      findings.clear();
      ASSERT_TRUE(real->format->scan(arguments, &findings)) << path;
      EXPECT_EQ(zip::worst(findings), Severity::kNote) << path << zip::rules_of(findings);
    }
  }
  EXPECT_GE(opened, 25);
}

TEST_F(RealTorchFiles, LeaveWhatIsNoCheckpointAlone) {
  const auto real = Real::open(real_data() / "torch_zip/burn_broken.pt");
  EXPECT_FALSE(real);
}

TEST_F(RealTorchFiles, HoldTheValuesTheirMakersState) {
  const auto faithful = Real::open(real_data() / "torch_tar/own_faithful_legacy.tar");
  ASSERT_TRUE(faithful) << faithful.error().text();
  EXPECT_EQ(faithful->values<float>("weight"), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(faithful->values<float>("bias_view"), (std::vector<float>{4, 5, 6}));
  EXPECT_EQ(faithful->values<std::int64_t>("steps"), (std::vector<std::int64_t>{7, 8}));
  const auto burn = Real::open(real_data() / "torch_tar/burn_tar_multi_dtype.tar");
  ASSERT_TRUE(burn) << burn.error().text();
  EXPECT_EQ(burn->values<float>("float_tensor"), (std::vector<float>{1.5, 2.5, 3.5}));
  EXPECT_EQ(burn->values<std::int64_t>("int_tensor"), (std::vector<std::int64_t>{10, 20, 30, 40}));
}

TEST_F(RealTorchFiles, ShareStoragesWhereTheSourceDid) {
  const auto shared = Real::open(real_data() / "torch_legacy/burn_legacy_shared_storage.pt");
  ASSERT_TRUE(shared) << shared.error().text();
  EXPECT_LE(shared->data.index.storages.size(), shared->data.index.tensors.size());
}

}  // namespace
}  // namespace kilter::formats

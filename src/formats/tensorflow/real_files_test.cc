// Bundles that TensorFlow itself wrote: those of other people's repositories.
#include <gtest/gtest.h>

#include <algorithm>

#include "kilter/checkpoint.h"

#include "formats/format.h"
#include "formats/test_files.h"

namespace kilter::tensorflow {
namespace {

class RealBundles : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto root = formats::test::real_data();
    if (!root) GTEST_SKIP() << "no real files: set KILTER_REAL_DATA";
    root_ = *root + "/tf_ckpt/";
  }
  std::vector<Finding> check(const std::string& path) {
    const auto probe = formats::make_probe(io::real_file_system(), path);
    std::vector<Finding> findings;
    if (!probe) return findings;
    EXPECT_EQ(formats::recognize(*probe).format->name(), "tensorflow");
    EXPECT_TRUE(formats::find_format("tensorflow")
                    ->check({&io::real_file_system(), path, &*probe, true, {}}, &findings));
    return findings;
  }
  std::string root_;
};

TEST_F(RealBundles, OpenAsSavedModelFolderAsVariablesAndAsPrefix) {
  for (const std::string name :
       {"basic_pitch_nmp", "saved_model_counter", "saved_model_half_plus_two_mkl"}) {
    for (const std::string rest :
         {"", "/variables", "/variables/variables.index", "/variables/variables"}) {
      const auto opened = open_checkpoint(root_ + name + rest);
      ASSERT_TRUE(opened) << name << rest << opened.error().text();
      EXPECT_EQ(opened->data().format, "tensorflow");
      EXPECT_FALSE(opened->tensors().empty());
    }
    EXPECT_TRUE(check(root_ + name).empty()) << name;
  }
  const auto pitch = open_checkpoint(root_ + "basic_pitch_nmp");
  ASSERT_TRUE(pitch);
  EXPECT_EQ(pitch->tensors().size(), 73U);
  const StateId names = pitch->data().state.find_path({"_CHECKPOINTABLE_OBJECT_GRAPH", "names"});
  ASSERT_NE(names, kNoState);
  EXPECT_GT(pitch->data().state[names].items.size(), 20U);
}

TEST_F(RealBundles, AMissingShardIsNamed) {
  const auto opened = open_checkpoint(root_ + "mtf_tiny_t5_incomplete");
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().path.find("model.ckpt-0.data-00001-of-00002"), std::string::npos)
      << opened.error().text();
  OpenOptions lenient;
  lenient.lenient = true;
  const auto rest = open_checkpoint(root_ + "mtf_tiny_t5_incomplete", lenient);
  ASSERT_TRUE(rest) << rest.error().text();
  EXPECT_EQ(rest->tensors().size(), 1U);
  EXPECT_EQ(rest->data().findings.size(), 104U);
}

}  // namespace
}  // namespace kilter::tensorflow

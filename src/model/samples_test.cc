// Every key set of tests/model_samples against the tables.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "kilter/identity.h"

#include "model/test_samples.h"

namespace kilter::model {
namespace {

std::vector<std::string> sample_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(test::kSamples))
    if (entry.path().extension() == ".keys") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string answer_to(const Identity& identity, const std::string& what) {
  if (what == "architecture") return identity.architecture.value;
  if (what == "variant") return identity.variant.value;
  if (what == "instance") return identity.instance.value;
  if (what == "type") return identity.type.value;
  if (what == "adapter") return identity.adapter.value;
  if (what == "licence") return identity.licence.value;
  if (what == "parameters") return std::to_string(identity.parameter_count);
  if (what.starts_with("part.")) {
    for (const Count& part : identity.by_part)
      if (part.name == what.substr(5)) return std::to_string(part.tensor_count);
    return "no such part";
  }
  for (const auto& [name, value] : identity.sizes)
    if ("size." + name == what) return value;
  return "not stated";
}

std::string explain(const Identity& identity) {
  std::string text;
  for (const std::string& line : identity.architecture.evidence) text += "  " + line + "\n";
  for (const auto& [name, value] : identity.sizes) text += "  " + name + " " + value + "\n";
  return text;
}

class ModelSamples : public testing::TestWithParam<std::string> {};

TEST_P(ModelSamples, IsRecognizedAsWhatItIs) {
  const test::Sample sample = test::SampleReader().read(GetParam());
  ASSERT_FALSE(sample.data.index.tensors.empty());
  ASSERT_FALSE(sample.expected.empty());
  const Identity identity = identify(sample.data);
  for (const auto& [what, value] : sample.expected)
    EXPECT_EQ(answer_to(identity, what), value) << what << "\n" << explain(identity);
  if (identity.architecture.value == "unknown")
    EXPECT_EQ(identity.architecture.confidence, 0);
  else
    EXPECT_FALSE(identity.architecture.evidence.empty());
  std::uint64_t tensors = 0;
  for (const Count& part : identity.by_part) tensors += part.tensor_count;
  EXPECT_EQ(tensors, sample.data.index.tensors.size());
}

// A wrapper's prefix changes no answer: the place of a component is found, not assumed.
TEST_P(ModelSamples, IsRecognizedUnderATrainersPrefix) {
  test::Sample sample = test::SampleReader().read(GetParam());
  const Identity plain = identify(sample.data);
  if (plain.instance.value == "adapter" || plain.instance.value == "tensors") return;
  for (TensorInfo& tensor : sample.data.index.tensors)
    tensor.name = "state_dict.module." + tensor.name;
  const Identity wrapped = identify(sample.data);
  EXPECT_EQ(wrapped.architecture.value, plain.architecture.value);
  EXPECT_EQ(wrapped.variant.value, plain.variant.value);
  EXPECT_EQ(wrapped.parameter_count, plain.parameter_count);
}

// Order in the file means nothing.
TEST_P(ModelSamples, IsRecognizedInReverseOrder) {
  test::Sample sample = test::SampleReader().read(GetParam());
  const Identity plain = identify(sample.data);
  std::reverse(sample.data.index.tensors.begin(), sample.data.index.tensors.end());
  const Identity reversed = identify(sample.data);
  EXPECT_EQ(reversed.architecture.value, plain.architecture.value);
  EXPECT_EQ(reversed.variant.value, plain.variant.value);
  EXPECT_EQ(reversed.adapter.value, plain.adapter.value);
}

INSTANTIATE_TEST_SUITE_P(All, ModelSamples, testing::ValuesIn(sample_names()),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

}  // namespace
}  // namespace kilter::model

#include "ops/merge/tensor_merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ops/merge/merge_test_support.h"

namespace kilter::ops {
namespace {

using test::MergeBed;
using test::Values;
using ::testing::HasSubstr;

TEST(TensorMerge, EveryMethodHasItsName) {
  for (int i = 0; i <= static_cast<int>(MergeMethod::kRamPlus); ++i) {
    const auto method = static_cast<MergeMethod>(i);
    EXPECT_EQ(merge_method_from_name(merge_method_name(method)), method);
  }
  EXPECT_EQ(merge_method_from_name("ties_merge"), std::nullopt);
}

TEST(TensorMerge, LinearIsTheWeightedMean) {
  MergeBed bed(MergeMethod::kLinear, {13, 77}, DType::kBF16);
  bed.with_models(3, {}, false);
  Values wanted(bed.elements());
  for (std::size_t i = 0; i < 3; ++i)
    bed.merge().terms[i].parameters.weight = static_cast<double>(i) + 0.5;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    wanted[i] =
        0.5 / 4.5 * bed.term(0)[i] + 1.5 / 4.5 * bed.term(1)[i] + 2.5 / 4.5 * bed.term(2)[i];
  EXPECT_EQ(bed.run_every_way(), test::narrowed(DType::kBF16, wanted));
}

TEST(TensorMerge, OneModelAloneIsCopied) {
  MergeBed bed(MergeMethod::kPassthrough, {4});
  bed.with_term({1, 2, 3, 4});
  const auto copied = bed.kernel();
  ASSERT_TRUE(copied.has_value());
  EXPECT_EQ(*copied, nullptr);
  bed.merge().terms[0].parameters.scale = -2;
  EXPECT_EQ(bed.run_values(), (Values{-2, -4, -6, -8}));
}

TEST(TensorMerge, ABaseAloneIsCopied) {
  MergeBed bed(MergeMethod::kTies, {2});
  bed.with_base({1, 2});
  const auto copied = bed.kernel();
  ASSERT_TRUE(copied.has_value());
  EXPECT_EQ(*copied, nullptr);
}

std::string failure_of(const MergeBed& bed) {
  const auto kernel = bed.kernel();
  EXPECT_FALSE(kernel.has_value());
  return kernel.has_value() ? "" : kernel.error().text();
}

TEST(TensorMerge, SaysWhatDoesNotFitAMethod) {
  MergeBed no_base(MergeMethod::kTies, {3});
  no_base.with_term({1, 2, 3});
  EXPECT_THAT(failure_of(no_base), HasSubstr("ties: needs a base model"));
  MergeBed two(MergeMethod::kSlerp, {1});
  two.with_base({1}).with_term({2}).with_term({3});
  EXPECT_THAT(failure_of(two), HasSubstr("slerp: takes exactly 1 model beside the base, not 2"));
  MergeBed base(MergeMethod::kLinear, {1});
  base.with_base({1}).with_term({2});
  EXPECT_THAT(failure_of(base), HasSubstr("takes no base"));
  MergeBed nothing(MergeMethod::kLinear, {1});
  nothing.with_term({1}, {.weight = 0.5}).with_term({1}, {.weight = -0.5});
  EXPECT_THAT(failure_of(nothing), HasSubstr("add up to 0"));
  MergeBed dense(MergeMethod::kDareTies, {1});
  dense.with_base({1}).with_term({1}, {.density = 1.5});
  EXPECT_THAT(failure_of(dense), HasSubstr("density of term0 is 1.5"));
  MergeBed wide(MergeMethod::kDella, {1});
  wide.with_base({1}).with_term({1}, {.density = 0.9, .epsilon = 0.2});
  EXPECT_THAT(failure_of(wide), HasSubstr("reach beyond (0, 1)"));
}

TEST(TensorMerge, TooLargeNumbersAreRefusedUnlessAllowed) {
  MergeBed bed(MergeMethod::kTaskArithmetic, {1}, DType::kF16);
  bed.with_base({60000}).with_term({65000}, {.weight = 4});
  const auto kernel = bed.kernel();
  ASSERT_TRUE(kernel.has_value());
  const auto base = test::narrowed(DType::kF16, {60000}),
             term = test::narrowed(DType::kF16, {65000});
  const std::vector<Bytes> inputs = {base, term};
  std::vector<std::byte> out(2);
  const Status refused = (*kernel)->run({0, out, inputs});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kOutOfRange);
  bed.merge().allow_too_large = true;
  EXPECT_TRUE(std::isinf(bed.run_values()[0]));
}

}  // namespace
}  // namespace kilter::ops

#include "flow/estimate.h"

#include <gtest/gtest.h>

#include "flow/engine_test_support.h"
#include "io/memory_file_system.h"

namespace kilter {
namespace {

TEST(Estimate, SaysBytesMemoryAndTimeAndWritesNothing) {
  auto files = io::make_memory_file_system();
  ASSERT_TRUE(files->make_folder("root"));
  test::Random random(5);
  test::Case made = test::make_case(*files, "root", random);
  const auto before = files->list("root");
  std::uint64_t bytes = 0;
  for (const auto& [name, content] : made.want) bytes += content.size();
  for (const unsigned threads : {1U, 2U, 8U}) {
    EngineOptions options;
    options.thread_count = threads;
    options.max_memory_bytes = 64ULL << 20;
    const auto estimate = estimate_plan(made.plan, *made.sink, options, {});
    ASSERT_TRUE(estimate) << estimate.error().text();
    EXPECT_EQ(estimate->written_bytes, bytes);
    EXPECT_EQ(estimate->sampled_bytes, bytes);  // a small output is made whole
    EXPECT_GT(estimate->seconds, 0);
    EXPECT_GT(estimate->memory_bytes, 0U);
    EXPECT_LE(estimate->memory_bytes, options.max_memory_bytes);
  }
  EXPECT_EQ(files->list("root")->size(), before->size());
}

TEST(Estimate, ReportsWhatSourcesReport) {
  auto files = io::make_memory_file_system();
  ASSERT_TRUE(files->make_folder("root"));
  test::Random random(6);
  test::Case made = test::make_case(*files, "root", random);
  const auto entries = files->list("root");
  for (const auto& entry : *entries)
    if (entry.stat.kind == io::FileKind::kFile) {
      ASSERT_TRUE(files->remove("root/" + entry.name));
    }
  EXPECT_FALSE(estimate_plan(made.plan, *made.sink, {}, {}));
}

}  // namespace
}  // namespace kilter

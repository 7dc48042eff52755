// Every call of a run fails in turn, and power is lost: the next run goes on and ends with the
// bytes of an undisturbed one.
#include "ops/unfinished_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "flow/memory_source.h"
#include "io/fault_file_system.h"
#include "io/memory_file_system.h"
#include "io/publish.h"

namespace kilter::ops {
namespace {

using testing::HasSubstr;

constexpr std::size_t kTensorBytes = 40'000;

/// Two files of two outputs each, with a header; no checksums.
class HalvesSink : public Sink {
 public:
  explicit HalvesSink(std::string header) : header_(std::move(header)) {}
  Result<std::vector<FileLayout>> layout(const Plan& plan) override {
    std::vector<FileLayout> out;
    for (std::size_t file = 0; file < 2; ++file) {
      FileLayout layout{"part-" + std::to_string(file), {}};
      layout.segments.push_back({SegmentKind::kLiteral, header_.size(), header_, 0});
      for (std::size_t i = 2 * file; i < 2 * file + 2; ++i)
        layout.segments.push_back({SegmentKind::kOutput, plan.outputs[i].bytes, "", i});
      out.push_back(std::move(layout));
    }
    return out;
  }

 private:
  std::string header_;
};

class Unfinished : public testing::Test {
 protected:
  void SetUp() override {
    TensorIndex index;
    std::vector<Bytes> storages;
    for (std::size_t i = 0; i < 4; ++i) {
      auto& bytes = data_.emplace_back(kTensorBytes);
      for (std::size_t k = 0; k < bytes.size(); ++k)
        bytes[k] = static_cast<std::byte>((k * 31 + i * 7 + k / 251) & 0xff);
      TensorInfo info;
      info.name = "t" + std::to_string(i);
      info.dtype = DType::kU8;
      info.shape = {static_cast<std::int64_t>(kTensorBytes)};
      info.strides = {1};
      info.storage = static_cast<std::uint32_t>(i);
      index.tensors.push_back(info);
      StorageInfo storage;
      storage.bytes = kTensorBytes;
      index.storages.push_back(storage);
    }
    for (const auto& bytes : data_) storages.emplace_back(bytes);
    auto source = make_memory_source(std::move(index), std::move(storages), "memory");
    ASSERT_TRUE(source) << source.error().text();
    for (std::size_t i = 0; i < 4; ++i) {
      PlanOutput output;
      output.name = "t" + std::to_string(i);
      output.dtype = DType::kU8;
      output.shape = {static_cast<std::int64_t>(kTensorBytes)};
      output.bytes = kTensorBytes;
      output.inputs = {{*source, InputKind::kTensor, i, 0}};
      plan_.outputs.push_back(std::move(output));
    }
    place_.is_folder = true;
    place_.parent = "root";
    place_.path = "root/out";
  }

  std::string wanted(std::size_t file, const std::string& header) const {
    std::string out = header;
    for (std::size_t i = 2 * file; i < 2 * file + 2; ++i)
      out.append(reinterpret_cast<const char*>(data_[i].data()), data_[i].size());
    return out;
  }

  /// As write_to() does it, with small steps, so that much can go wrong between them.
  Result<RunReport> run(io::FileSystem& files, const std::string& header = "header") {
    HalvesSink sink(header);
    auto layout = sink.layout(plan_);
    auto unfinished = UnfinishedOutput::open(files, place_, *layout);
    if (!unfinished) return fail(unfinished.error());
    EngineResume resume = unfinished->resume();
    resume.step_bytes = 8192;
    EngineOptions options;
    options.tile_bytes = 4096;
    options.max_memory_bytes = 16ULL << 20;
    options.thread_count = 2;
    options.queue = io::IoQueueKind::kThreads;
    options.resume = &resume;
    auto publication =
        io::Publication::folder(files, place_.path, io::Replace::kRefuse, io::Unfinished::kKeep);
    if (!publication) return fail(publication.error());
    auto report = run_plan(plan_, sink, files, **publication, place_.path, options, {});
    if (report) unfinished->finish();
    return report;
  }

  void expect_whole(io::FileSystem& files, const std::string& header = "header") {
    for (std::size_t i = 0; i < 2; ++i) {
      const auto text = io::read_text(files, "root/out/part-" + std::to_string(i), 1U << 20);
      ASSERT_TRUE(text) << text.error().text();
      ASSERT_TRUE(*text == wanted(i, header)) << "file " << i;
    }
    const auto left = files.list("root");
    ASSERT_TRUE(left);
    EXPECT_EQ(left->size(), 1U);
  }

  static std::unique_ptr<io::MemoryFileSystem> memory() {
    auto out = io::make_memory_file_system();
    out->put("root/.keep", "");
    EXPECT_TRUE(out->remove("root/.keep"));
    EXPECT_TRUE(out->sync_folder("root"));
    return out;
  }

  std::vector<std::vector<std::byte>> data_;
  Plan plan_;
  Place place_;
};

TEST_F(Unfinished, LeavesNothingWhenNothingGoesWrong) {
  const auto files = memory();
  const auto report = run(*files);
  ASSERT_TRUE(report) << report.error().text();
  EXPECT_EQ(report->resumed_bytes, 0U);
  expect_whole(*files);
}

TEST_F(Unfinished, WhicheverCallFailsTheNextRunGoesOn) {
  std::uint64_t resumed = 0, failed = 0;
  for (std::uint64_t call = 0;; ++call) {
    const auto files = memory();
    const auto faulty = io::make_fault_file_system(*files);
    faulty->fail_at(call, io::Fault::kIoError, true);
    if (const auto report = run(*faulty)) break;  // it has fewer calls
    ++failed;
    if (files->stat("root/out")) continue;  // it failed once all was published
    const auto again = run(*files);
    ASSERT_TRUE(again) << "call " << call << ": " << again.error().text();
    resumed += again->resumed_bytes;
    expect_whole(*files);
  }
  EXPECT_GT(failed, 40U);
  EXPECT_GT(resumed, 0U);
}

TEST_F(Unfinished, WhenPowerIsLostTheNextRunGoesOn) {
  std::uint64_t resumed = 0;
  for (std::uint64_t call = 0; call < 80; ++call) {
    const auto files = memory();
    const auto faulty = io::make_fault_file_system(*files);
    faulty->fail_at(call, io::Fault::kIoError, true);
    if (run(*faulty)) break;
    files->lose_power_partly(call * 17 + 1);
    if (files->stat("root/out")) continue;
    const auto again = run(*files);
    ASSERT_TRUE(again) << "call " << call << ": " << again.error().text();
    resumed += again->resumed_bytes;
    expect_whole(*files);
  }
  EXPECT_GT(resumed, 0U);
}

TEST_F(Unfinished, AnotherPlanIsRefusedAndNamed) {
  const auto files = memory();
  const auto faulty = io::make_fault_file_system(*files);
  for (std::uint64_t call = 30; !files->stat("root/.out.kilter-partial.json"); ++call) {
    ASSERT_LT(call, 200U);
    faulty->fail_at(faulty->call_count() + call, io::Fault::kIoError, true);
    ASSERT_FALSE(run(*faulty));
  }
  const auto other = run(*files, "another header");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kAlreadyExists);
  EXPECT_THAT(other.error().text(), HasSubstr(".out.kilter-partial"));
  ASSERT_TRUE(run(*files));
  expect_whole(*files);
}

TEST(PartialState, ReadsWhatItWritesAndRefusesTheRest) {
  const PartialState state{"ab", 3, 1ULL << 40};
  const auto again = parse_partial_state(write_partial_state(state));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->plan, "ab");
  EXPECT_EQ(again->file, 3U);
  EXPECT_EQ(again->offset_bytes, 1ULL << 40);
  for (const char* text : {"", "[]", "{}", R"({"kilter_partial":1,"plan":"","file":-1,"offset":0})",
                           R"({"kilter_partial":1,"plan":"","file":0,"offset":0.5})"})
    EXPECT_FALSE(parse_partial_state(text)) << text;
  EXPECT_EQ(
      parse_partial_state(R"({"kilter_partial":2,"plan":"","file":0,"offset":0})").error().code,
      ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace kilter::ops

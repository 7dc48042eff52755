#include "flow/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <thread>

#include "flow/engine_test_support.h"
#include "io/fault_file_system.h"
#include "io/io_test_support.h"
#include "io/memory_file_system.h"

namespace kilter {
namespace {

using test::Case;
using test::Random;
using ::testing::HasSubstr;

Result<RunReport> run_into(io::FileSystem& files, const std::string& folder, Case& made,
                           const EngineOptions& options, const RunContext& context = {}) {
  auto publication = io::Publication::folder(files, folder, io::Replace::kRefuse);
  if (!publication) return fail(publication.error());
  return run_plan(made.plan, *made.sink, files, **publication, folder, options, context);
}

void expect_output(io::FileSystem& files, const std::string& folder, const Case& made) {
  for (const auto& [name, content] : made.want) {
    const std::string found = test::content_of(files, folder + "/" + name);
    ASSERT_EQ(found.size(), content.size()) << name << found.substr(0, 100);
    if (found == content) continue;
    const auto at = std::mismatch(found.begin(), found.end(), content.begin()).first;
    FAIL() << name << " differs at byte " << at - found.begin();
  }
}

struct Setting {
  unsigned threads;
  std::uint64_t tile_bytes;
  bool direct;
  io::IoQueueKind queue;
  ReadAhead read_ahead;
  std::uint64_t memory = 64ULL << 20;
};

std::vector<Setting> settings() {
  std::vector<Setting> out;
  const std::uint64_t tiles[] = {4096, 65536, 8ULL << 20};
  for (const unsigned threads : {1U, 2U, 8U})
    for (const std::uint64_t tile : tiles)
      for (const bool direct : {false, true})
        out.push_back({threads, tile, direct,
                       direct ? io::IoQueueKind::kAuto : io::IoQueueKind::kThreads,
                       threads == 2 ? ReadAhead::kAlways : ReadAhead::kAuto});
  out.push_back({3, 0, true, io::IoQueueKind::kThreads, ReadAhead::kAlways, 16ULL << 20});
  out.push_back({0, 0, true, io::IoQueueKind::kAuto, ReadAhead::kNever, 512ULL << 20});
  return out;
}

EngineOptions options_of(const Setting& setting) {
  EngineOptions options;
  options.thread_count = setting.threads;
  options.tile_bytes = setting.tile_bytes;
  options.direct_io = setting.direct;
  options.queue = setting.queue;
  options.read_ahead = setting.read_ahead;
  options.max_memory_bytes = setting.memory;
  return options;
}

void compare_settings(io::FileSystem& files, const std::string& root, const Case& made_once,
                      Case& made) {
  int number = 0;
  for (const Setting& setting : settings()) {
    const std::string folder = root + "/out-" + std::to_string(number++);
    const auto report = run_into(files, folder, made, options_of(setting));
    ASSERT_TRUE(report.has_value()) << report.error().text();
    expect_output(files, folder, made_once);
    ASSERT_TRUE(io::remove_tree(files, folder).has_value());
    ASSERT_FALSE(::testing::Test::HasFailure())
        << "threads " << setting.threads << " tile " << setting.tile_bytes << " direct "
        << setting.direct;
  }
}

TEST(Engine, WritesTheSameBytesWhateverThreadsTilesAndQueues) {
  auto files = io::make_memory_file_system();
  ASSERT_TRUE(files->make_folder("root").has_value());
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    Random random(seed);
    const std::string root = "root/" + std::to_string(seed);
    ASSERT_TRUE(files->make_folder(root).has_value());
    Case made = test::make_case(*files, root, random);
    compare_settings(*files, root, made, made);
  }
}

TEST(Engine, WritesTheSameBytesOnARealDisk) {
  io::TempFolder folder;
  for (const std::uint64_t seed : {11U, 12U}) {
    Random random(seed);
    const std::string root = folder.path() + "/" + std::to_string(seed);
    ASSERT_TRUE(io::real_file_system().make_folder(root).has_value());
    test::CaseShape shape;
    shape.tensor_bytes_max = 400000;
    Case made = test::make_case(io::real_file_system(), root, random, shape);
    compare_settings(io::real_file_system(), root, made, made);
  }
}

TEST(Engine, ReportsWhatItWroteAndTellsProgress) {
  class Counter : public Progress {
   public:
    void begin(std::string_view verb, std::uint64_t total_bytes) override {
      EXPECT_EQ(verb, "test");
      total = total_bytes;
    }
    void update(std::uint64_t done_bytes) override {
      EXPECT_GE(done_bytes, done);
      done = done_bytes;
    }
    void end() override { ++ends; }
    std::uint64_t total = 0, done = 0;
    int ends = 0;
  };
  auto files = io::make_memory_file_system();
  ASSERT_TRUE(files->make_folder("root").has_value());
  Random random(4);
  Case made = test::make_case(*files, "root", random);
  Counter counter;
  EngineOptions options;
  options.tile_bytes = 4096;
  const auto report = run_into(*files, "out", made, options, {&counter, nullptr});
  ASSERT_TRUE(report.has_value()) << report.error().text();
  std::uint64_t total = 0;
  for (const auto& [name, content] : made.want) total += content.size();
  EXPECT_EQ(report->written_bytes, total);
  EXPECT_EQ(report->files.size(), made.want.size());
  EXPECT_EQ(counter.total, total);
  EXPECT_EQ(counter.done, total);
  EXPECT_EQ(counter.ends, 1);
}

/// Every name in the file system beneath `folder` that the output could have left.
std::size_t name_count(io::FileSystem& files, const std::string& folder) {
  const auto entries = files.list(folder);
  return entries ? entries->size() : 0;
}

TEST(Engine, LeavesNothingBehindWhicheverCallFails) {
  auto files = io::make_memory_file_system();
  ASSERT_TRUE(files->make_folder("root").has_value());
  ASSERT_TRUE(files->make_folder("target").has_value());
  Random random(21);
  test::CaseShape shape;
  shape.tensor_bytes_max = 3000;
  shape.output_count = 5;
  auto faulty = io::make_fault_file_system(*files);
  Case made = test::make_case(*faulty, "root", random, shape);
  EngineOptions options;
  options.tile_bytes = 4096;
  options.max_memory_bytes = 16ULL << 20;
  options.queue = io::IoQueueKind::kThreads;
  const std::uint64_t before = faulty->call_count();
  ASSERT_TRUE(run_into(*faulty, "target/out", made, options).has_value());
  const std::uint64_t calls = faulty->call_count() - before;
  expect_output(*files, "target/out", made);
  ASSERT_TRUE(io::remove_tree(*files, "target/out").has_value());
  ASSERT_GT(calls, 20U);
  std::uint64_t errors = 0;
  for (std::uint64_t i = 0; i < calls; ++i) {
    for (const io::Fault fault :
         {io::Fault::kIoError, io::Fault::kNoSpace, io::Fault::kShortTransfer}) {
      faulty->fail_at(faulty->call_count() + i, fault);
      const auto report = run_into(*faulty, "target/out", made, options);
      faulty->fail_at(~std::uint64_t{0}, io::Fault::kNone);
      if (report) {  // a short transfer is continued; sources keep their files open
        expect_output(*files, "target/out", made);
        ASSERT_TRUE(io::remove_tree(*files, "target/out").has_value());
      } else {
        EXPECT_EQ(report.error().code,
                  fault == io::Fault::kNoSpace ? ErrorCode::kNoSpace : ErrorCode::kIo);
        EXPECT_NE(fault, io::Fault::kShortTransfer) << report.error().text();
        ++errors;
      }
      ASSERT_EQ(name_count(*files, "target"), 0U) << "call " << i;
    }
  }
  EXPECT_GT(errors, calls);  // two of three faults, less the calls that opened the sources
}

/// Waits in the kernel until told; counts how often it ran.
class SlowKernel : public Kernel {
 public:
  explicit SlowKernel(CancelToken& token) : token_(token) {}
  std::string name() const override { return "slow"; }
  Status run(const KernelTile& tile) const override {
    if (tile.offset_bytes >= 100000) token_.cancel();
    std::memset(tile.out.data(), 1, tile.out.size());
    return ok();
  }

 private:
  CancelToken& token_;
};

/// One file of one output.
class OneSink : public Sink {
 public:
  Result<std::vector<FileLayout>> layout(const Plan& plan) override {
    FileLayout file{"out.bin", {}};
    for (std::size_t i = 0; i < plan.outputs.size(); ++i)
      file.segments.push_back({SegmentKind::kOutput, plan.outputs[i].bytes, {}, i});
    if (change) change(file);
    return std::vector<FileLayout>{file};
  }
  std::function<void(FileLayout&)> change;
};

/// A source of one u8 tensor of `bytes` bytes in `root/a.bin`, and a plan that copies it.
struct Simple {
  explicit Simple(std::uint64_t bytes) {
    EXPECT_TRUE(files->make_folder("target").has_value());
    files->put("root/a.bin", std::string(bytes, 'x'));
    index.files.push_back({"a.bin", bytes});
    StorageInfo storage;
    storage.bytes = storage.stored_bytes = bytes;
    index.storages.push_back(storage);
    TensorInfo tensor;
    tensor.name = "w";
    tensor.dtype = DType::kU8;
    tensor.shape = {static_cast<std::int64_t>(bytes)};
    tensor.strides = {1};
    index.tensors.push_back(tensor);
    plan.verb = "copy";
    PlanOutput output;
    output.name = "w";
    output.dtype = DType::kU8;
    output.shape = tensor.shape;
    output.bytes = bytes;
    output.inputs = {{make_file_source(*files, "root", true, index), InputKind::kTensor, 0, 0}};
    plan.outputs.push_back(output);
  }
  Result<RunReport> run(const EngineOptions& options = {}, const RunContext& context = {}) {
    auto publication = io::Publication::folder(*files, "target/out", io::Replace::kRefuse);
    if (!publication) return fail(publication.error());
    return run_plan(plan, sink, *files, **publication, "target", options, context);
  }
  Error error(const EngineOptions& options = {}) {
    const auto report = run(options);
    EXPECT_FALSE(report.has_value());
    EXPECT_EQ(name_count(*files, "target"), 0U);
    return report ? Error() : report.error();
  }
  std::unique_ptr<io::MemoryFileSystem> files = io::make_memory_file_system();
  TensorIndex index;
  Plan plan;
  OneSink sink;
};

TEST(Engine, GathersLargeTransposedTensorsInBlocks) {
  constexpr std::int64_t kRows = 512, kColumns = 40000;
  Simple simple(1);
  std::string plain(kRows * kColumns, '\0'), want(plain.size(), '\0');
  for (std::size_t i = 0; i < plain.size(); ++i)
    plain[i] = static_cast<char>(i * 0x9e3779b97f4a7c15ULL >> 57U);
  for (std::size_t c = 0; c < kColumns; ++c)
    for (std::size_t r = 0; r < kRows; ++r) want[r * kColumns + c] = plain[c * kRows + r];
  const std::string packed = test::deflated(plain);
  for (const bool is_deflated : {false, true}) {
    const std::string& stored = is_deflated ? packed : plain;
    simple.files->put("root/a.bin", stored);
    simple.index.files[0].bytes = stored.size();
    StorageInfo& storage = simple.index.storages[0];
    storage.coding = is_deflated ? StorageCoding::kDeflate : StorageCoding::kRaw;
    storage.stored_bytes = stored.size();
    storage.bytes = plain.size();
    simple.index.tensors[0].shape = {kRows, kColumns};
    simple.index.tensors[0].strides = {1, kRows};
    ASSERT_TRUE(simple.index.validate().has_value());
    PlanOutput& output = simple.plan.outputs[0];
    output.shape = simple.index.tensors[0].shape;
    output.bytes = plain.size();
    output.inputs[0].source = make_file_source(*simple.files, "root", true, simple.index);
    const std::vector<std::pair<unsigned, std::uint64_t>> threads_and_memory =
        is_deflated
            ? std::vector<std::pair<unsigned, std::uint64_t>>{{2, 16}, {8, 64}}
            : std::vector<std::pair<unsigned, std::uint64_t>>{{1, 16}, {2, 16}, {8, 64}, {2, 512}};
    for (const auto& [threads, memory] : threads_and_memory) {
      EngineOptions options;
      options.thread_count = threads;
      options.max_memory_bytes = memory << 20;
      const auto report = simple.run(options);
      ASSERT_TRUE(report.has_value()) << report.error().text();
      EXPECT_TRUE(test::content_of(*simple.files, "target/out/out.bin") == want)
          << threads << " threads, " << memory << " MiB";
      ASSERT_TRUE(io::remove_tree(*simple.files, "target/out").has_value());
    }
  }
}

/// A field of /proc/self/status in bytes; 0 where there is none.
std::uint64_t status_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(field + ":")) return std::stoull(line.substr(field.size() + 1)) * 1024;
  return 0;
}

TEST(Engine, StaysWithinItsBudget) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers take memory of their own";
#endif
  io::TempFolder folder;
  constexpr std::int64_t kRows = 2048, kColumns = 40000;  // 80 MiB
  test::write_file(io::real_file_system(), folder.path() + "/a.bin",
                   std::string(kRows * kColumns, 'x'));
  Simple simple(1);
  simple.index.files[0].bytes = kRows * kColumns;
  simple.index.storages[0].bytes = simple.index.storages[0].stored_bytes = kRows * kColumns;
  simple.index.tensors[0].shape = {kRows, kColumns};
  PlanOutput& output = simple.plan.outputs[0];
  output.bytes = kRows * kColumns;
  for (const bool transposed : {false, true}) {
    simple.index.tensors[0].strides =
        transposed ? std::vector<std::int64_t>{1, kRows} : std::vector<std::int64_t>{kColumns, 1};
    output.inputs[0].source =
        make_file_source(io::real_file_system(), folder.path(), true, simple.index);
    EngineOptions options;
    options.max_memory_bytes = 24ULL << 20;
    std::ofstream("/proc/self/clear_refs") << "5";  // the peak begins anew
    const std::uint64_t before = status_bytes("VmRSS");
    if (status_bytes("VmHWM") > before + (4 << 20)) GTEST_SKIP() << "the peak cannot be reset";
    auto publication = io::Publication::folder(io::real_file_system(), folder.path() + "/out",
                                               io::Replace::kRefuse);
    ASSERT_TRUE(publication.has_value());
    const auto report = run_plan(simple.plan, simple.sink, io::real_file_system(), **publication,
                                 folder.path(), options, {});
    ASSERT_TRUE(report.has_value()) << report.error().text();
    EXPECT_LE(status_bytes("VmHWM") - before, options.max_memory_bytes + (2 << 20));
    ASSERT_TRUE(io::remove_tree(io::real_file_system(), folder.path() + "/out").has_value());
  }
}

TEST(Engine, StopsWhenCancelledAndLeavesNothing) {
  Simple simple(1 << 20);
  CancelToken token;
  simple.plan.outputs[0].kernel = std::make_shared<SlowKernel>(token);
  EngineOptions options;
  options.tile_bytes = 4096;
  const auto report = simple.run(options, {nullptr, &token});
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(name_count(*simple.files, "target"), 0U);
}

class FailingKernel : public Kernel {
 public:
  std::string name() const override { return "failing"; }
  Status run(const KernelTile& tile) const override {
    // The later the tile the sooner it fails: the first in file order must win all the same.
    if (tile.offset_bytes == 4096 * 3) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (tile.offset_bytes < 4096 * 3) return ok();
    return fail(ErrorCode::kUnsupported, std::to_string(tile.offset_bytes));
  }
};

TEST(Engine, ReturnsTheFirstErrorInFileOrder) {
  for (const unsigned threads : {1U, 2U, 8U}) {
    Simple simple(1 << 20);
    simple.plan.outputs[0].kernel = std::make_shared<FailingKernel>();
    EngineOptions options;
    options.tile_bytes = 4096;
    options.thread_count = threads;
    const Error error = simple.error(options);
    EXPECT_EQ(error.message, std::to_string(4096 * 3));
    EXPECT_EQ(error.tensor, "w");
  }
}

TEST(Engine, NamesTensorAndFileWhenASourceIsCut) {
  Simple simple(1 << 20);
  simple.files->put("root/a.bin", "short");
  const Error error = simple.error();
  EXPECT_EQ(error.code, ErrorCode::kIo);
  EXPECT_EQ(error.tensor, "w");
  EXPECT_EQ(error.path, "root/a.bin");
}

TEST(Engine, ChecksRoomOnTheDiskBeforeWriting) {
  Simple simple(1 << 20);
  simple.files->set_free_bytes(1 << 19);
  const Error error = simple.error();
  EXPECT_EQ(error.code, ErrorCode::kNoSpace);
  EXPECT_EQ(error.expected, "1 MiB free");
  EXPECT_EQ(error.found, "512 KiB");
}

TEST(Engine, RefusesUnsoundLayouts) {
  const std::vector<std::pair<std::function<void(FileLayout&)>, std::string>> faults = {
      {[](FileLayout& f) { f.segments.clear(); }, "leaves a tensor out"},
      {[](FileLayout& f) { f.segments.push_back(f.segments[0]); }, "comes twice"},
      {[](FileLayout& f) { f.segments[0].bytes += 1; }, "another size than planned"},
      {[](FileLayout& f) { f.segments[0].index = 7; }, "not there"},
      {[](FileLayout& f) { f.segments.push_back({SegmentKind::kLiteral, 3, "ab", 0}); },
       "a literal has another size"},
      {[](FileLayout& f) { f.segments.push_back({SegmentKind::kZero, 1ULL << 63, {}, 0}); },
       "do not fit 63 bits"}};
  for (const auto& [change, message] : faults) {
    Simple simple(100);
    simple.sink.change = change;
    const Error error = simple.error();
    EXPECT_EQ(error.code, ErrorCode::kInternal);
    EXPECT_THAT(error.message, HasSubstr(message));
  }
  Simple simple(100);
  simple.sink.change = [](FileLayout& f) { f.name = "../out.bin"; };
  EXPECT_EQ(simple.error().code, ErrorCode::kUnsafe);
}

TEST(Engine, RefusesPlansWhoseInputsDoNotFit) {
  const std::vector<std::function<void(PlanOutput&)>> faults = {
      [](PlanOutput& o) { o.inputs.clear(); },
      [](PlanOutput& o) { o.inputs.push_back(o.inputs[0]); },
      [](PlanOutput& o) { o.inputs[0].source = nullptr; },
      [](PlanOutput& o) { o.inputs[0].index = 1; },
      [](PlanOutput& o) { o.bytes = 99; },
      [](PlanOutput& o) { o.inputs[0].kind = InputKind::kFile, o.inputs[0].offset_bytes = 1; },
      [](PlanOutput& o) {
        o.inputs[0].kind = InputKind::kStorage, o.inputs[0].offset_bytes = ~0ULL;
      },
      [](PlanOutput& o) { o.kernel = std::make_shared<FailingKernel>(), o.shape = {99}; },
      [](PlanOutput& o) {
        o.kernel = std::make_shared<FailingKernel>(), o.shape = {99}, o.bytes = 99;
      },
      [](PlanOutput& o) { o.kernel = std::make_shared<FailingKernel>(), o.shape = {-100}; }};
  for (const auto& change : faults) {
    Simple simple(100);
    change(simple.plan.outputs[0]);
    EXPECT_EQ(simple.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(Engine, SaysWhatBudgetItNeeds) {
  Simple simple(100);
  EngineOptions options;
  options.max_memory_bytes = (16ULL << 20) - 1;
  Error error = simple.error(options);
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error.expected, "at least 16 MiB");
  options.max_memory_bytes = 16ULL << 20;
  options.tile_bytes = 64ULL << 20;
  error = simple.error(options);
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.expected, HasSubstr("at least "));
  options.tile_bytes = 5000;
  EXPECT_EQ(simple.error(options).code, ErrorCode::kInvalidArgument);
  options.tile_bytes = 0;
  EXPECT_TRUE(simple.run(options).has_value());
}

TEST(Engine, RefusesAnOutputThatExists) {
  Simple simple(100);
  ASSERT_TRUE(simple.run().has_value());
  const auto again = simple.run();
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, ErrorCode::kAlreadyExists);
}

}  // namespace
}  // namespace kilter

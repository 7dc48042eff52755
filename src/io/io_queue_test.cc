#include "io/io_queue.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <numeric>
#include <random>
#include <thread>

#include "base/checked.h"
#include "io/buffer_pool.h"
#include "io/io_queue_base.h"
#include "io/io_test_support.h"

namespace kilter::io {
namespace {

using testing::HasSubstr;

std::string random_text(std::size_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

std::span<std::byte> bytes_of(std::string& text) { return std::as_writable_bytes(std::span(text)); }

/// Every queue over every file system: real files have descriptors, those of the twins have none.
struct Case {
  IoQueueKind kind;
  bool real;
};
std::string name_of(const Case& row) {
  return std::string(row.kind == IoQueueKind::kUring ? "Uring" : "Threads") +
         (row.real ? "Real" : "Memory");
}
void PrintTo(const Case& row, std::ostream* out) { *out << name_of(row); }

class AnyQueue : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    auto queue = make_io_queue(GetParam().kind, 8);
    if (!queue && GetParam().kind == IoQueueKind::kUring)
      GTEST_SKIP() << "the kernel refuses io_uring: " << queue.error().text();
    ASSERT_OK(queue);
    queue_ = std::move(*queue);
    EXPECT_EQ(queue_->kind(), GetParam().kind);
  }
  std::string at(const std::string& name) { return GetParam().real ? temp_ / name : name; }

  TempFolder temp_;
  std::unique_ptr<MemoryFileSystem> memory_ = make_memory_file_system();
  FileSystem& files_ = GetParam().real ? real_file_system() : *memory_;
  std::unique_ptr<IoQueue> queue_;
};

INSTANTIATE_TEST_SUITE_P(Every, AnyQueue,
                         testing::Values(Case{IoQueueKind::kUring, true},
                                         Case{IoQueueKind::kThreads, true},
                                         Case{IoQueueKind::kUring, false},
                                         Case{IoQueueKind::kThreads, false}),
                         [](const auto& row) { return name_of(row.param); });

TEST_P(AnyQueue, MovesManyRandomRangesFromSeveralThreads) {
  constexpr std::size_t kBytes = 3'000'001;
  const std::string text = random_text(kBytes, 1);
  auto writer = files_.create(at("a"));
  ASSERT_OK(writer);
  std::mt19937 random(2);
  std::atomic<int> failures = 0;
  std::vector<std::size_t> cuts{0, kBytes};
  for (int i = 0; i < 300; ++i) cuts.push_back(random() % kBytes);
  std::ranges::sort(cuts);
  std::vector<std::size_t> order(cuts.size() - 1);
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::shuffle(order, random);
  for (const std::size_t i : order)
    queue_->submit(IoWrite{writer->get(), cuts[i],
                           as_bytes(text).subspan(cuts[i], cuts[i + 1] - cuts[i]), i % 2 == 0,
                           [&](Status status) { failures += status ? 0 : 1; }});
  queue_->wait_idle();
  EXPECT_EQ(failures, 0);
  ASSERT_OK((*writer)->sync());

  const auto reader = files_.open_read(at("a"));
  ASSERT_OK(reader);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      std::mt19937 local(t);
      std::vector<std::pair<std::size_t, std::string>> parts(200);
      std::atomic<int> done = 0;
      for (auto& [offset, out] : parts) {
        offset = local() % kBytes;
        out.resize(std::min<std::size_t>(local() % 60000, kBytes - offset));
        queue_->submit(IoRead{reader->get(), offset, bytes_of(out), false,
                              [&](Status status) { done += status ? 1 : 1000000; }});
      }
      queue_->wait_idle();
      EXPECT_EQ(done, 200);
      for (const auto& [offset, out] : parts)
        EXPECT_TRUE(out == std::string_view(text).substr(offset, out.size())) << offset;
    });
  for (std::thread& thread : threads) thread.join();
}

TEST_P(AnyQueue, ReadsAndWritesDirectlyWithARoundedEnd) {
  constexpr std::size_t kBytes = 3 * 65536 + 777;
  const std::string text = random_text(kBytes, 3);
  BufferPool pool(65536, 4);
  auto writer = files_.create(at("a"));
  ASSERT_OK(writer);
  ASSERT_OK((*writer)->reserve(4 * 65536));
  std::vector<Buffer> buffers;
  for (std::size_t i = 0; i < 4; ++i) {
    buffers.push_back(*pool.take());
    const std::string_view part = std::string_view(text).substr(i * 65536, 65536);
    std::memcpy(buffers.back().span().data(), part.data(), part.size());
    queue_->submit(IoWrite{writer->get(), i * 65536, buffers.back().span(), true,
                           [](Status status) { EXPECT_OK(status); }});
  }
  queue_->wait_idle();
  ASSERT_OK((*writer)->truncate(kBytes));
  ASSERT_OK((*writer)->sync());
  EXPECT_TRUE(text_of(files_, at("a")) == text);

  const auto reader = files_.open_read(at("a"));
  ASSERT_OK(reader);
  for (std::size_t i = 0; i < 4; ++i) {
    std::memset(buffers[i].span().data(), 0, 65536);
    queue_->submit(IoRead{reader->get(), i * 65536, buffers[i].span(), true,
                          [](Status status) { EXPECT_OK(status); }});
  }
  queue_->wait_idle();
  for (std::size_t i = 0; i < 4; ++i) {
    const std::string_view part = std::string_view(text).substr(i * 65536, 65536);
    EXPECT_EQ(std::memcmp(buffers[i].span().data(), part.data(), part.size()), 0) << i;
  }
  if (GetParam().real && (*reader)->direct_fd() < 0)
    GTEST_SKIP() << "no O_DIRECT here: the plain descriptor was tested";
}

TEST_P(AnyQueue, TakesDirectTransfersThatAreNotAligned) {
  const std::string text = random_text(100'000, 4);
  ASSERT_OK(write_text(files_, at("a"), text));
  const auto reader = files_.open_read(at("a"));
  ASSERT_OK(reader);
  std::string out(50'001, ' ');
  queue_->submit(
      IoRead{reader->get(), 13, bytes_of(out), true, [](Status status) { EXPECT_OK(status); }});
  queue_->wait_idle();
  EXPECT_TRUE(out == std::string_view(text).substr(13, out.size()));
}

TEST_P(AnyQueue, ReportsRangesPastTheEnd) {
  ASSERT_OK(write_text(files_, at("a"), "0123456789"));
  const auto reader = files_.open_read(at("a"));
  ASSERT_OK(reader);
  std::string out(4, ' ');
  std::atomic<int> refused = 0;
  for (const std::uint64_t offset : {std::uint64_t{7}, std::uint64_t{100}, ~std::uint64_t{0}})
    queue_->submit(IoRead{reader->get(), offset, bytes_of(out), false, [&](Status status) {
                            refused += code_of(status) == ErrorCode::kOutOfRange ? 1 : 0;
                          }});
  queue_->submit(IoRead{reader->get(), 11, bytes_of(out), true, [&](Status status) {
                          refused += code_of(status) == ErrorCode::kOutOfRange ? 1 : 0;
                        }});
  queue_->wait_idle();
  EXPECT_EQ(refused, 4);
}

TEST_P(AnyQueue, ReportsAFileThatBecameShorter) {
  auto writer = files_.create(at("a"));
  ASSERT_OK(writer);
  ASSERT_OK((*writer)->write_at(0, as_bytes("0123456789")));
  const auto reader = files_.open_read(at("a"));
  ASSERT_OK(reader);
  ASSERT_OK((*writer)->truncate(4));
  std::string out(10, ' ');
  Status seen;
  queue_->submit(IoRead{reader->get(), 0, bytes_of(out), false,
                        [&](Status status) { seen = std::move(status); }});
  queue_->wait_idle();
  ASSERT_EQ(code_of(seen), ErrorCode::kIo);
  EXPECT_EQ(seen.error().path, at("a"));
  EXPECT_THAT(seen.error().text(), HasSubstr("shorter"));
}

TEST_P(AnyQueue, CallsBackForEmptyTransfersFromItsOwnThread) {
  ASSERT_OK(write_text(files_, at("a"), "x"));
  const auto reader = files_.open_read(at("a"));
  ASSERT_OK(reader);
  std::thread::id where;
  queue_->submit(IoRead{reader->get(), 1, {}, false, [&](Status status) {
                          EXPECT_OK(status);
                          where = std::this_thread::get_id();
                        }});
  queue_->wait_idle();
  EXPECT_NE(where, std::thread::id());
  EXPECT_NE(where, std::this_thread::get_id());
}

TEST_P(AnyQueue, LetsACallbackSubmitTheNextTransfer) {
  const std::string text = random_text(64 * 1000, 5);
  ASSERT_OK(write_text(files_, at("a"), text));
  const auto reader = files_.open_read(at("a"));
  ASSERT_OK(reader);
  std::string out(text.size(), ' ');
  // Sixteen chains, twice the depth: a callback that waited for a slot would stop them all.
  constexpr std::size_t kChains = 16, kStep = 1000;
  std::function<void(std::size_t)> next = [&](std::size_t offset) {
    if (offset >= text.size()) return;
    queue_->submit(IoRead{reader->get(), offset, bytes_of(out).subspan(offset, kStep), false,
                          [&, offset](Status status) {
                            EXPECT_OK(status);
                            next(offset + kChains * kStep);
                          }});
  };
  for (std::size_t i = 0; i < kChains; ++i) next(i * kStep);
  queue_->wait_idle();
  EXPECT_TRUE(out == text);
}

TEST_P(AnyQueue, FinishesWhatIsInFlightWhenItGoes) {
  ASSERT_OK(write_text(files_, at("a"), random_text(1'000'000, 6)));
  const auto reader = files_.open_read(at("a"));
  ASSERT_OK(reader);
  std::atomic<int> done = 0;
  std::vector<std::string> outs(50, std::string(20'000, ' '));
  for (std::size_t i = 0; i < outs.size(); ++i)
    queue_->submit(IoRead{reader->get(), i * 20'000, bytes_of(outs[i]), false,
                          [&](Status status) { done += status ? 1 : 0; }});
  queue_.reset();
  EXPECT_EQ(done, 50);
}

TEST_P(AnyQueue, CarriesTheFaultsOfTheFileSystemBelow) {
  ASSERT_OK(write_text(files_, at("a"), std::string(1000, 'x')));
  const auto faulty = make_fault_file_system(files_);
  const auto reader = faulty->open_read(at("a"));
  const auto writer = faulty->create(at("b"));
  ASSERT_OK(reader);
  ASSERT_OK(writer);
  std::string out(1000, ' ');
  Status read, written, halved;
  faulty->fail_at(2, Fault::kIoError);
  queue_->submit(IoRead{reader->get(), 0, bytes_of(out), false, [&](Status s) { read = s; }});
  queue_->wait_idle();
  faulty->fail_at(3, Fault::kNoSpace);
  queue_->submit(IoWrite{writer->get(), 0, as_bytes(out), false, [&](Status s) { written = s; }});
  queue_->wait_idle();
  faulty->fail_at(4, Fault::kShortTransfer, true);
  queue_->submit(IoRead{reader->get(), 0, bytes_of(out), false, [&](Status s) { halved = s; }});
  queue_->wait_idle();
  EXPECT_EQ(code_of(read), ErrorCode::kIo);
  EXPECT_EQ(code_of(written), ErrorCode::kNoSpace);
  EXPECT_OK(halved);
  EXPECT_EQ(out, std::string(1000, 'x'));
  EXPECT_GT(faulty->call_count(), 10U);
}

TEST(IoQueueChoice, FollowsTheEnvironmentForAuto) {
  ASSERT_EQ(::setenv("KILTER_IO", "threads", 1), 0);
  const auto forced = make_io_queue(IoQueueKind::kAuto, 4);
  ASSERT_EQ(::unsetenv("KILTER_IO"), 0);
  ASSERT_OK(forced);
  EXPECT_EQ((*forced)->kind(), IoQueueKind::kThreads);
  const auto uring = make_io_queue(IoQueueKind::kUring, 4);
  const auto chosen = make_io_queue(IoQueueKind::kAuto, 4);
  ASSERT_OK(chosen);
  EXPECT_EQ((*chosen)->kind(), uring ? IoQueueKind::kUring : IoQueueKind::kThreads);
  if (!uring) {
    EXPECT_EQ(uring.error().code, ErrorCode::kUnsupported);
  }
}

TEST(IoQueueChoice, TakesAnyDepth) {
  for (const unsigned depth : {0U, 1U, 100'000U}) {
    const auto queue = make_io_queue(IoQueueKind::kAuto, depth);
    ASSERT_OK(queue);
    (*queue)->wait_idle();
  }
}

/// Steps that no healthy disk shows, given to the bookkeeping itself.
class TransferSteps : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(write_text(real_file_system(), temp_ / "a", random_text(20'000, 7)));
    auto opened = real_file_system().open_read(temp_ / "a");
    ASSERT_OK(opened);
    file_ = std::move(*opened);
    buffer_ = *pool_.take();
  }
  Transfer read(std::uint64_t offset, std::size_t bytes, bool direct) {
    return Transfer(IoRead{file_.get(), offset, buffer_.span().first(bytes), direct,
                           [&](Status status) { seen_ = std::move(status); }});
  }

  TempFolder temp_;
  std::unique_ptr<ReadFile> file_;
  BufferPool pool_{32768, 1};
  Buffer buffer_;
  Status seen_ = fail(ErrorCode::kInternal, "not called");
};

TEST_F(TransferSteps, ContinueAfterShortTransfers) {
  Transfer transfer = read(1000, 10'000, false);
  EXPECT_EQ(transfer.count_bytes(), 10'000U);
  EXPECT_EQ(transfer.advance(4000), Transfer::Next::kStep);
  EXPECT_EQ(transfer.offset_bytes(), 5000U);
  EXPECT_EQ(transfer.data(), buffer_.span().data() + 4000);
  EXPECT_EQ(transfer.count_bytes(), 6000U);
  EXPECT_EQ(transfer.advance(-EINTR), Transfer::Next::kStep);
  EXPECT_EQ(transfer.count_bytes(), 6000U);
  EXPECT_EQ(transfer.advance(6000), Transfer::Next::kDone);
  transfer.finish();
  EXPECT_OK(seen_);
}

TEST_F(TransferSteps, LeaveTheDirectDescriptorWhereItIsRefused) {
  if (file_->direct_fd() < 0) GTEST_SKIP() << "no O_DIRECT here";
  for (const int number : {EINVAL, EOPNOTSUPP}) {
    Transfer transfer = read(0, 32768, true);
    EXPECT_EQ(transfer.fd(), file_->direct_fd());
    EXPECT_EQ(transfer.count_bytes(), 32768U);
    EXPECT_EQ(transfer.advance(-number), Transfer::Next::kStep);
    EXPECT_EQ(transfer.fd(), file_->fd());
    EXPECT_EQ(transfer.count_bytes(), 20'000U);
    EXPECT_EQ(transfer.advance(-number), Transfer::Next::kDone);
    transfer.finish();
    EXPECT_FALSE(seen_.has_value());
  }
}

TEST_F(TransferSteps, LeaveTheDirectDescriptorAfterAnUnalignedShortTransfer) {
  if (file_->direct_fd() < 0) GTEST_SKIP() << "no O_DIRECT here";
  Transfer transfer = read(0, 32768, true);
  EXPECT_EQ(transfer.advance(4096), Transfer::Next::kStep);
  EXPECT_EQ(transfer.fd(), file_->direct_fd());
  EXPECT_EQ(transfer.advance(512), Transfer::Next::kStep);
  EXPECT_EQ(transfer.fd(), file_->fd());
  EXPECT_EQ(transfer.count_bytes(), 20'000U - 4608U);
  EXPECT_EQ(transfer.advance(20'000 - 4608), Transfer::Next::kDone);
  transfer.finish();
  EXPECT_OK(seen_);
}

TEST_F(TransferSteps, FinishInTheCallingThreadAfterEagain) {
  Transfer transfer = read(0, 20'000, false);
  EXPECT_EQ(transfer.advance(8), Transfer::Next::kStep);
  ASSERT_EQ(transfer.advance(-EAGAIN), Transfer::Next::kBlocking);
  transfer.run_blocking();
  transfer.finish();
  EXPECT_OK(seen_);
  const std::string text = text_of(real_file_system(), temp_ / "a");
  EXPECT_EQ(std::memcmp(buffer_.span().data() + 8, text.data() + 8, text.size() - 8), 0);
}

TEST_F(TransferSteps, ReportTheSystemsErrors) {
  Transfer transfer = read(100, 1000, false);
  EXPECT_EQ(transfer.advance(-EIO), Transfer::Next::kDone);
  transfer.finish();
  ASSERT_EQ(code_of(seen_), ErrorCode::kIo);
  EXPECT_EQ(seen_.error().path, temp_ / "a");
  EXPECT_EQ(seen_.error().offset_bytes, 100U);
  const auto writer = real_file_system().create(temp_ / "b");
  ASSERT_OK(writer);
  Transfer write(IoWrite{writer->get(), 0, as_bytes("0123456789"), false,
                         [&](Status status) { seen_ = std::move(status); }});
  EXPECT_EQ(write.advance(4), Transfer::Next::kStep);
  EXPECT_EQ(write.advance(-ENOSPC), Transfer::Next::kDone);
  write.finish();
  ASSERT_EQ(code_of(seen_), ErrorCode::kNoSpace);
  EXPECT_THAT(seen_.error().message, HasSubstr("6 bytes (6 B) needed"));
}

/// What the kernel is asked to read never comes, as when it forgot the request; the file's own call
/// works.
class StuckFile : public ReadFile {
 public:
  StuckFile() { EXPECT_EQ(::pipe2(pipe_, O_CLOEXEC), 0); }
  ~StuckFile() override {
    ::close(pipe_[0]);
    ::close(pipe_[1]);
  }
  const std::string& path() const override { return path_; }
  std::uint64_t bytes() const override { return 4096; }
  Status read_at(std::uint64_t, std::span<std::byte> out) const override {
    std::ranges::fill(out, std::byte{7});
    return ok();
  }
  int fd() const override { return pipe_[0]; }

 private:
  int pipe_[2] = {-1, -1};
  std::string path_ = "stuck";
};

TEST(UringQueue, TakesBackWhatTheKernelForgets) {
  auto queue = make_uring_queue(8, std::chrono::milliseconds(20));
  if (!queue) GTEST_SKIP() << "the kernel refuses io_uring: " << queue.error().text();
  const StuckFile file;
  std::vector<std::vector<std::byte>> out(5, std::vector<std::byte>(100));
  std::atomic<int> done = 0;
  for (auto& part : out)
    (*queue)->submit(IoRead{.file = &file, .out = part, .done = [&](Status status) {
                              done += status.has_value() ? 1 : 0;
                            }});
  (*queue)->wait_idle();
  EXPECT_EQ(done, 5);
  for (const auto& part : out) EXPECT_EQ(part, std::vector<std::byte>(100, std::byte{7}));
}

}  // namespace
}  // namespace kilter::io

// What is fetched from a bucket, and what is kept of it.
#include "store/place/range_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>

#include "base/try.h"
#include "io/io_test_support.h"
#include "io/memory_file_system.h"
#include "io/memory_object_store.h"
#include "store/history/history.h"
#include "store/keep/check.h"
#include "store/place/object_place.h"
#include "store/read/commit_files.h"
#include "store/save.h"

namespace kilter::store {
namespace {

using io::succeeded;

/// Passes everything on and counts what is read.
class CountedObjects : public io::ObjectStore {
 public:
  std::string address() const override { return inner_->address(); }
  Result<io::ObjectInfo> head(const std::string& name) override { return inner_->head(name); }
  Status read_at(const std::string& name, std::uint64_t offset_bytes, std::span<std::byte> out,
                 const std::string& if_etag) override {
    read_bytes += out.size();
    KILTER_TRY(inner_->read_at(name, offset_bytes, out, if_etag));
    if (flip && !out.empty()) out[out.size() / 2] ^= std::byte{1};
    return ok();
  }
  Result<Text> read_text(const std::string& name, std::uint64_t bytes_max) override {
    return inner_->read_text(name, bytes_max);
  }
  Result<io::ObjectInfo> put(const std::string& name, Bytes bytes,
                             const io::PutCondition& condition) override {
    return inner_->put(name, bytes, condition);
  }
  Result<io::ObjectInfo> put_file(const std::string& name, const io::ReadFile& file,
                                  const io::PutCondition& condition) override {
    return inner_->put_file(name, file, condition);
  }
  Result<std::vector<io::ObjectInfo>> list(const std::string& prefix) override {
    return inner_->list(prefix);
  }
  Status remove(const std::string& name) override { return inner_->remove(name); }
  Result<std::uint64_t> remove_stale_uploads(std::int64_t before) override {
    return inner_->remove_stale_uploads(before);
  }

  std::atomic<std::uint64_t> read_bytes = 0;
  std::atomic<bool> flip = false;  ///< damages a bit of every range

 private:
  std::unique_ptr<io::MemoryObjectStore> inner_ = io::make_memory_object_store();
};

std::string random_text(std::size_t bytes, unsigned seed) {
  std::mt19937 engine(seed);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(engine() & 0xffU);
  return text;
}

std::uint64_t bytes_below(const std::string& folder) {
  std::uint64_t total = 0;
  const auto entries = io::real_file_system().list(folder);
  if (!entries) return 0;
  for (const io::FolderEntry& entry : *entries)
    total += entry.stat.kind == io::FileKind::kFolder
                 ? bytes_below(io::join_path(folder, entry.name))
                 : entry.stat.bytes;
  return total;
}

TEST(RangeCacheFolder, ReturnsWhatWasAdded) {
  const io::TempFolder folder;
  RangeCache cache(folder / "cache", 1 << 20);
  std::string out(5, '\0');
  const auto bytes = std::as_writable_bytes(std::span(out));
  EXPECT_FALSE(cache.find("a", "v1", 7, bytes));
  cache.add("a", "v1", 7, as_bytes("hello"));
  EXPECT_TRUE(RangeCache(folder / "cache", 1 << 20).find("a", "v1", 7, bytes));
  EXPECT_EQ(out, "hello");
  EXPECT_FALSE(cache.find("a", "v2", 7, bytes));
  EXPECT_FALSE(cache.find("a", "v1", 8, bytes));
  EXPECT_FALSE(cache.find("b", "v1", 7, bytes));
  EXPECT_TRUE(cache.forget("a"));
  EXPECT_FALSE(cache.forget("a"));
  EXPECT_FALSE(cache.find("a", "v1", 7, bytes));
}

TEST(RangeCacheFolder, StaysBelowItsBound) {
  const io::TempFolder folder;
  constexpr std::uint64_t kBound = 1 << 20;
  RangeCache cache(folder / "cache", kBound);
  const std::string range = random_text(10'000, 1);
  for (std::uint64_t i = 0; i < 300; ++i) {
    cache.add("object" + std::to_string(i % 7), "v", i * 10'000, as_bytes(range));
    ASSERT_LE(bytes_below(folder / "cache"), kBound);
  }
  EXPECT_GT(bytes_below(folder / "cache"), kBound / 2);
  std::string out(range.size(), '\0');
  EXPECT_TRUE(cache.find("object5", "v", 299 * 10'000, std::as_writable_bytes(std::span(out))));
}

TEST(RangeCacheFolder, TakesDamageForMissing) {
  const io::TempFolder folder;
  RangeCache cache(folder / "cache", 1 << 20);
  cache.add("a", "v", 0, as_bytes("hello"));
  io::FileSystem& files = io::real_file_system();
  const std::string ranges = folder / "cache/ranges";
  const std::string inner = io::join_path(ranges, files.list(ranges)->front().name);
  const std::string path = io::join_path(inner, files.list(inner)->front().name);
  std::string text = io::text_of(files, path);
  text[1] ^= 1;
  ASSERT_OK(files.remove(path));
  ASSERT_OK(io::write_text(files, path, text));
  std::string out(5, '\0');
  EXPECT_FALSE(cache.find("a", "v", 0, std::as_writable_bytes(std::span(out))));
}

TEST(RangeCacheFolder, DoesWithoutAFolder) {
  RangeCache cache("/proc/no-such-folder", 1 << 20);
  cache.add("a", "v", 0, as_bytes("hello"));
  std::string out(5, '\0');
  EXPECT_FALSE(cache.find("a", "v", 0, std::as_writable_bytes(std::span(out))));
}

/// A checkpoint of four tensors of random bytes in a bucket.
class RemoteStore : public testing::Test {
 protected:
  static constexpr std::uint64_t kTensorBytes = 2 << 20;

  void SetUp() override {
    std::string header = "{";
    for (std::uint64_t i = 0; i < 4; ++i)
      header += (i > 0 ? "," : "") + ("\"t" + std::to_string(i)) +
                R"(":{"dtype":"U8","shape":[2097152],"data_offsets":[)" +
                std::to_string(i * kTensorBytes) + "," + std::to_string((i + 1) * kTensorBytes) +
                "]}";
    header += "}";
    while (header.size() % 8 != 0) header += ' ';
    std::string length(8, '\0');
    const std::uint64_t header_bytes = header.size();
    std::memcpy(length.data(), &header_bytes, 8);
    data_at_ = 8 + header_bytes;
    file_ = length + header + random_text(4 * kTensorBytes, 5);
    files_->put("model.safetensors", file_);
    auto store = Store::create(make_object_place(objects_, options_));
    ASSERT_OK(store);
    SaveRequest request;
    request.source = {files_.get(), "model.safetensors", {}};
    auto saved = save_tree(**store, request);
    ASSERT_OK(saved);
    commit_ = saved->commit;
  }

  /// Opens the store anew and reads so much of the file.
  void read_back(std::uint64_t offset_bytes, std::uint64_t bytes) {
    auto store = Store::open(make_object_place(objects_, options_));
    ASSERT_OK(store);
    const auto commit = (*store)->read_commit(commit_);
    ASSERT_OK(commit);
    auto tree = (*store)->read_tree(commit->tree);
    ASSERT_OK(tree);
    const TreeReader reader(*store, *tree);
    std::string out(bytes, '\0');
    ASSERT_OK(reader.read(0, offset_bytes, std::as_writable_bytes(std::span(out))));
    EXPECT_TRUE(out == file_.substr(offset_bytes, bytes));
  }

  io::TempFolder folder_;
  std::shared_ptr<CountedObjects> objects_ = std::make_shared<CountedObjects>();
  std::unique_ptr<io::MemoryFileSystem> files_ = io::make_memory_file_system();
  ObjectPlaceOptions options_;
  std::string file_;
  std::uint64_t data_at_ = 0;
  Digest commit_{};
};

TEST_F(RemoteStore, FetchesOnlyWhatIsRead) {
  objects_->read_bytes = 0;
  read_back(data_at_ + kTensorBytes, kTensorBytes);
  EXPECT_GE(objects_->read_bytes, kTensorBytes);
  EXPECT_LT(objects_->read_bytes, kTensorBytes + (64U << 10));
}

TEST_F(RemoteStore, FetchesNothingTwice) {
  options_.cache = std::make_shared<RangeCache>(folder_ / "cache", 1ULL << 30);
  read_back(0, file_.size());
  objects_->read_bytes = 0;
  read_back(0, file_.size());
  EXPECT_EQ(objects_->read_bytes, 0U);
}

TEST_F(RemoteStore, KeepsNoDamageOfTheWay) {
  options_.cache = std::make_shared<RangeCache>(folder_ / "cache", 1ULL << 30);
  objects_->flip = true;
  {
    auto store = Store::open(make_object_place(objects_, options_));
    if (store) {
      EXPECT_FALSE((*store)->read_commit(commit_));
    }
  }
  objects_->flip = false;
  read_back(0, file_.size());
}

TEST_F(RemoteStore, ChecksTheBucketAndNotTheCache) {
  options_.cache = std::make_shared<RangeCache>(folder_ / "cache", 1ULL << 30);
  read_back(0, file_.size());
  objects_->read_bytes = 0;
  auto store = Store::open(make_object_place(objects_, options_));
  ASSERT_OK(store);
  CheckRequest request;
  request.data = true;
  const auto checked = check_store(**store, request);
  ASSERT_OK(checked);
  EXPECT_TRUE(checked->faults.empty());
  EXPECT_GE(objects_->read_bytes, file_.size());
}

}  // namespace
}  // namespace kilter::store

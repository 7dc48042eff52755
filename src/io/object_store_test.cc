// One suite for all object stores. The S3 side runs where KILTER_S3_TEST_ADDRESS names a bucket
// that may be written (tests/s3 starts a server for it) and says that it was skipped elsewhere.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <ostream>
#include <thread>

#include "base/hash.h"
#include "io/io_test_support.h"
#include "io/memory_object_store.h"
#include "io/s3/s3.h"

namespace kilter::io {
namespace {

struct StoreCase {
  const char* name;
  bool is_s3;

  friend void PrintTo(const StoreCase& one, std::ostream* out) { *out << one.name; }
};

class ObjectStores : public testing::TestWithParam<StoreCase> {
 protected:
  void SetUp() override {
    if (!GetParam().is_s3) {
      store_ = make_memory_object_store();
      return;
    }
    const char* address = std::getenv("KILTER_S3_TEST_ADDRESS");
    if (address == nullptr) GTEST_SKIP() << "KILTER_S3_TEST_ADDRESS names no bucket";
    static int count = 0;
    const std::string folder = std::string(address) + "/suite-" + std::to_string(::getpid()) + "-" +
                               std::to_string(count++);
    auto store = open_s3(folder, {.part_bytes = 5U << 20U});
    ASSERT_OK(store);
    store_ = std::move(*store);
  }
  ObjectInfo put(const std::string& name, std::string_view text) {
    auto info = store_->put(name, as_bytes(text));
    EXPECT_OK(info);
    return info.value_or(ObjectInfo{});
  }
  std::string text_at(const std::string& name) {
    auto text = store_->read_text(name, 1U << 20U);
    return text ? text->text : "error: " + text.error().text();
  }
  std::vector<std::string> names(const std::string& prefix) {
    std::vector<std::string> out;
    auto list = store_->list(prefix);
    EXPECT_OK(list);
    if (list)
      for (const ObjectInfo& info : *list) out.push_back(info.name);
    return out;
  }
  std::unique_ptr<ObjectStore> store_;
};

std::vector<std::byte> pattern(std::size_t bytes) {
  std::vector<std::byte> out(bytes);
  std::uint32_t state = 12345;
  for (std::byte& b : out) {
    state = state * 1664525U + 1013904223U;
    b = static_cast<std::byte>(state >> 24U);
  }
  return out;
}

TEST_P(ObjectStores, ReadBackWhatWasPut) {
  const ObjectInfo put_info = put("a/b.txt", "hello");
  EXPECT_EQ(put_info.name, "a/b.txt");
  EXPECT_EQ(put_info.bytes, 5U);
  EXPECT_FALSE(put_info.etag.empty());
  const auto head = store_->head("a/b.txt");
  ASSERT_OK(head);
  EXPECT_EQ(head->bytes, 5U);
  EXPECT_EQ(head->etag, put_info.etag);
  EXPECT_GT(head->modified_unix_seconds, 1'600'000'000);
  const auto text = store_->read_text("a/b.txt", 5);
  ASSERT_OK(text);
  EXPECT_EQ(text->text, "hello");
  EXPECT_EQ(text->etag, put_info.etag);
}

TEST_P(ObjectStores, KeepEmptyObjects) {
  put("empty", "");
  EXPECT_EQ(text_at("empty"), "");
  const auto head = store_->head("empty");
  ASSERT_OK(head);
  EXPECT_EQ(head->bytes, 0U);
  EXPECT_OK(store_->read_at("empty", 0, {}));
}

TEST_P(ObjectStores, SayWhatIsNotThere) {
  std::array<std::byte, 4> out{};
  EXPECT_EQ(code_of(store_->head("none")), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(store_->read_text("none", 10)), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(store_->read_at("none", 0, out)), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(store_->read_at("none", 0, {})), ErrorCode::kNotFound);
  EXPECT_OK(store_->remove("none"));
}

TEST_P(ObjectStores, ReadRanges) {
  put("x", "0123456789");
  std::array<std::byte, 4> out{};
  ASSERT_OK(store_->read_at("x", 3, out));
  EXPECT_EQ(as_text(out), "3456");
  EXPECT_EQ(code_of(store_->read_at("x", 8, out)), ErrorCode::kOutOfRange);
  EXPECT_EQ(code_of(store_->read_at("x", 10, out)), ErrorCode::kOutOfRange);
  EXPECT_EQ(code_of(store_->read_at("x", ~std::uint64_t{0} - 1, out)), ErrorCode::kOutOfRange);
}

TEST_P(ObjectStores, RefuseTextThatIsTooLong) {
  put("x", "0123456789");
  EXPECT_OK(store_->read_text("x", 10));
  EXPECT_EQ(code_of(store_->read_text("x", 9)), ErrorCode::kLimitExceeded);
}

TEST_P(ObjectStores, ReadOneVersionOnly) {
  const std::string old_etag = put("x", "old").etag;
  std::array<std::byte, 3> out{};
  ASSERT_OK(store_->read_at("x", 0, out, old_etag));
  put("x", "new");
  EXPECT_EQ(code_of(store_->read_at("x", 0, out, old_etag)), ErrorCode::kIo);
}

TEST_P(ObjectStores, PutOnlyIfAbsent) {
  ASSERT_OK(store_->put("ref", as_bytes("one"), {.if_absent = true}));
  EXPECT_EQ(code_of(store_->put("ref", as_bytes("two"), {.if_absent = true})),
            ErrorCode::kAlreadyExists);
  EXPECT_EQ(text_at("ref"), "one");
}

TEST_P(ObjectStores, PutOnlyOverTheVersionSeen) {
  const std::string first = put("ref", "one").etag;
  ASSERT_OK(store_->put("ref", as_bytes("two"), {.if_etag = first}));
  EXPECT_EQ(code_of(store_->put("ref", as_bytes("three"), {.if_etag = first})),
            ErrorCode::kAlreadyExists);
  EXPECT_EQ(text_at("ref"), "two");
  ASSERT_OK(store_->remove("ref"));
  EXPECT_EQ(code_of(store_->put("ref", as_bytes("four"), {.if_etag = first})),
            ErrorCode::kAlreadyExists);
}

TEST_P(ObjectStores, LetOneOfManyWritersWin) {
  std::atomic<int> winners{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      const std::string text = "writer " + std::to_string(i);
      if (store_->put("race", as_bytes(text), {.if_absent = true})) ++winners;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(winners, 1);
}

TEST_P(ObjectStores, TellThatConditionsAreKept) {
  const auto kept = honours_conditions(*store_, "refs/.probe");
  ASSERT_OK(kept);
  EXPECT_TRUE(*kept);
  EXPECT_TRUE(names("refs/").empty());
}

TEST_P(ObjectStores, ListByPrefixInOrder) {
  for (const char* name : {"packs/b", "packs/a", "packs/a b+c%2F&é", "packsx", "index/1"})
    put(name, name);
  EXPECT_EQ(names("packs/"), (std::vector<std::string>{"packs/a", "packs/a b+c%2F&é", "packs/b"}));
  EXPECT_EQ(names("packs").size(), 4U);
  EXPECT_EQ(names("").size(), 5U);
  EXPECT_TRUE(names("none/").empty());
  const auto list = store_->list("packs/a b");
  ASSERT_OK(list);
  ASSERT_EQ(list->size(), 1U);
  EXPECT_EQ(list->front().bytes, std::string_view("packs/a b+c%2F&é").size());
  EXPECT_GT(list->front().modified_unix_seconds, 1'600'000'000);
}

TEST_P(ObjectStores, RemoveObjects) {
  put("x", "1");
  ASSERT_OK(store_->remove("x"));
  EXPECT_EQ(code_of(store_->head("x")), ErrorCode::kNotFound);
}

TEST_P(ObjectStores, MoveLargeObjectsInParts) {
  const std::vector<std::byte> content = pattern((12U << 20U) + 77);
  const auto info = store_->put("large", content);
  ASSERT_OK(info);
  EXPECT_EQ(info->bytes, content.size());
  std::vector<std::byte> back(content.size());
  ASSERT_OK(store_->read_at("large", 0, back));
  EXPECT_EQ(blake3(back), blake3(content));
  std::vector<std::byte> middle(6U << 20U);
  ASSERT_OK(store_->read_at("large", 1001, middle));
  EXPECT_TRUE(std::equal(middle.begin(), middle.end(), content.begin() + 1001));
  EXPECT_EQ(code_of(store_->read_at("large", 8U << 20U, middle)), ErrorCode::kOutOfRange);
}

TEST_P(ObjectStores, PutFilesAndOpenObjectsAsFiles) {
  const auto files = make_memory_file_system();
  const std::vector<std::byte> content = pattern((10U << 20U) + 1);
  files->put("/in", as_text(content));
  const auto file = files->open_read("/in");
  ASSERT_OK(file);
  ASSERT_OK(store_->put_file("packs/p", **file, {.if_absent = true}));
  EXPECT_EQ(code_of(store_->put_file("packs/p", **file, {.if_absent = true})),
            ErrorCode::kAlreadyExists);
  const auto object = open_object(*store_, "packs/p");
  ASSERT_OK(object);
  ASSERT_EQ((*object)->bytes(), content.size());
  std::vector<std::byte> back(content.size());
  ASSERT_OK((*object)->read_at(0, back));
  EXPECT_EQ(blake3(back), blake3(content));
  EXPECT_EQ(code_of((*object)->read_at(content.size() - 1, std::span(back).first(2))),
            ErrorCode::kOutOfRange);
  put("packs/p", "other");
  EXPECT_EQ(code_of((*object)->read_at(0, std::span(back).first(2))), ErrorCode::kIo);
}

TEST_P(ObjectStores, RemoveStaleUploadsLeavesObjects) {
  put("x", "1");
  EXPECT_OK(store_->remove_stale_uploads(1'000'000'000));
  EXPECT_EQ(text_at("x"), "1");
}

INSTANTIATE_TEST_SUITE_P(All, ObjectStores,
                         testing::Values(StoreCase{"Memory", false}, StoreCase{"S3", true}),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(MemoryObjectStore, FailsTheNthCall) {
  const auto store = make_memory_object_store();
  store->fail_at(1, ObjectFault::kUnavailable);
  EXPECT_OK(store->put("a", as_bytes("1")));
  EXPECT_EQ(code_of(store->put("b", as_bytes("1"))), ErrorCode::kIo);
  EXPECT_EQ(code_of(store->head("b")), ErrorCode::kNotFound);
  EXPECT_EQ(store->call_count(), 3U);
  store->fail_at(3, ObjectFault::kForbidden, true);
  EXPECT_EQ(code_of(store->head("a")), ErrorCode::kPermission);
  EXPECT_EQ(code_of(store->head("a")), ErrorCode::kPermission);
}

TEST(MemoryObjectStore, LosesAnswersAndMeetsConflicts) {
  const auto store = make_memory_object_store();
  store->fail_at(0, ObjectFault::kLostAnswer);
  EXPECT_EQ(code_of(store->put("a", as_bytes("1"))), ErrorCode::kIo);
  EXPECT_OK(store->head("a"));
  store->fail_at(2, ObjectFault::kConflict);
  EXPECT_EQ(code_of(store->put("a", as_bytes("2"))), ErrorCode::kAlreadyExists);
}

TEST(MemoryObjectStore, TellsEndpointsThatKeepNoConditions) {
  const auto store = make_memory_object_store();
  for (const Conditions conditions : {Conditions::kRefused, Conditions::kIgnored}) {
    store->set_conditions(conditions);
    const auto kept = honours_conditions(*store, "probe");
    ASSERT_OK(kept);
    EXPECT_FALSE(*kept);
  }
  EXPECT_EQ(code_of(store->head("probe")), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace kilter::io

// The store as its users in C++ meet it: nothing but public headers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "kilter/store.h"

namespace {

namespace fs = std::filesystem;
using kilter::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

#define API_OK(result) ASSERT_TRUE(result) << result.error().text()

/// A safetensors file with one float32 tensor "w" and a small one "b".
std::string model_file(float first, std::size_t count = 4096) {
  std::vector<float> values(count + 2, 0.5F);
  values[0] = first;
  const std::size_t end = count * sizeof(float);
  std::string header = "{\"w\":{\"dtype\":\"F32\",\"shape\":[" + std::to_string(count) +
                       "],\"data_offsets\":[0," + std::to_string(end) +
                       "]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[" +
                       std::to_string(end) + "," + std::to_string(end + 8) + "]}}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string out(8, '\0');
  const std::uint64_t size = header.size();
  std::memcpy(out.data(), &size, 8);
  out += header;
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  return out;
}

void write_file(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

std::string read_back(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A run of three checkpoints in a store: steps 10, 20, 30 with losses 3, 1, 2.
class StoreApi : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              ("kilter_api_" +
               std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    const float losses[] = {3, 1, 2};
    for (int i = 0; i < 3; ++i) {
      const fs::path step = folder_ / "run" / ("checkpoint-" + std::to_string(10 * (i + 1)));
      write_file(step / "model.safetensors", model_file(losses[i]));
      write_file(step / "config.json", "{\"model_type\":\"bert\"}");
      write_file(step / "trainer_state.json", "{\"loss\":" + std::to_string(losses[i]) + "}");
    }
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string at(const char* name) const { return (folder_ / name).string(); }

  kilter::Store saved_run() {
    auto store = kilter::Store::open_or_create(at("runs.kilter"));
    EXPECT_TRUE(store) << store.error().text();
    const auto items = kilter::find_series({at("run/checkpoint-*")});
    EXPECT_TRUE(items) << items.error().text();
    for (const kilter::SeriesItem& item : *items) {
      const auto saved = store->save({.source = item.path, .author = "Ada"});
      EXPECT_TRUE(saved) << saved.error().text();
    }
    return *store;
  }

  fs::path folder_;
};

TEST_F(StoreApi, SavesASeriesInTheOrderOfItsSteps) {
  const kilter::Store store = saved_run();
  const auto log = store.log();
  API_OK(log);
  ASSERT_EQ(log->size(), 3U);
  EXPECT_EQ(kilter::meta_number(log->front().metadata, "step"), 30);
  EXPECT_EQ(kilter::meta_number(log->back().metadata, "loss"), 3);
  EXPECT_THAT(log->front().branches, ElementsAre("main"));
  EXPECT_THAT(log->front().parents, ElementsAre((*log)[1].digest));
  EXPECT_EQ(log->front().author, "Ada");

  const auto good = store.log({.where = "loss<2.5", .count_max = 1});
  API_OK(good);
  ASSERT_EQ(good->size(), 1U);
  EXPECT_EQ(good->front().digest, log->front().digest);
  const auto old = store.log({.from = "step:20"});
  API_OK(old);
  EXPECT_EQ(old->size(), 2U);
  EXPECT_EQ(store.log({.where = "loss <"}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(StoreApi, KeepsWhatTheCallerSays) {
  auto store = kilter::Store::create(at("s.kilter"));
  API_OK(store);
  kilter::SaveRequest request{.source = at("run/checkpoint-10/")};
  request.branch = "sweep";
  request.tags = {"v1"};
  request.author = "Ada <ada@example.org>";
  request.message = "first";
  request.metadata = {{"loss", 0.5},
                      {"step", 7},
                      {"good", true},
                      {"none", nullptr},
                      {"name", "[1,2]"},
                      {"bad", std::nan("")},
                      {"data", kilter::JsonText{"{\"a\":[1, 2]}"}}};
  request.lineage = {{"finetune", {{"rank", 16}}, {"runs.kilter@v0"}}};
  request.time_unix_ns = 1'000'000'000;
  request.skip = {"config.*"};
  const auto saved = store->save(request);
  API_OK(saved);
  EXPECT_EQ(saved->file_count, 2U);
  EXPECT_GT(saved->new_bytes, 16'000U);
  EXPECT_THAT(saved->warnings, IsEmpty());

  for (const auto& metadata : {saved->metadata, store->find("v1")->metadata}) {
    EXPECT_EQ(metadata.at("loss"), kilter::MetaValue(0.5));
    EXPECT_EQ(metadata.at("step"), kilter::MetaValue(std::int64_t{7}));
    EXPECT_EQ(metadata.at("good"), kilter::MetaValue(true));
    EXPECT_EQ(metadata.at("none"), kilter::MetaValue(nullptr));
    EXPECT_EQ(metadata.at("name"), kilter::MetaValue("[1,2]"));  // text that looks like an array
    EXPECT_EQ(metadata.at("bad"), kilter::MetaValue("nan"));
    EXPECT_EQ(metadata.at("data"), kilter::MetaValue(kilter::JsonText{"{\"a\":[1,2]}"}));
  }
  const auto shown = store->show("sweep");
  API_OK(shown);
  EXPECT_EQ(shown->info.message, "first");
  EXPECT_EQ(shown->info.time_unix_ns, 1'000'000'000);
  EXPECT_THAT(shown->info.tags, ElementsAre("v1"));
  EXPECT_EQ(shown->file_count, 2U);
  EXPECT_EQ(shown->format, "folder");
  ASSERT_EQ(shown->lineage.size(), 1U);
  EXPECT_EQ(shown->lineage[0].operation, "finetune");
  EXPECT_EQ(shown->lineage[0].parameters.at("rank"), kilter::MetaValue(std::int64_t{16}));
  EXPECT_THAT(shown->lineage[0].inputs, ElementsAre("runs.kilter@v0"));
}

TEST_F(StoreApi, RefusesWhatCannotBeSaved) {
  kilter::Store store = saved_run();
  const std::string source = at("run/checkpoint-10");
  EXPECT_EQ(store.save({.source = at("missing")}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store.save({.source = source, .branch = "a b"}).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(store.save({.source = source, .parent = "main"}).error().code,
            ErrorCode::kInvalidArgument);  // main has a tip
  EXPECT_EQ(store.save({.source = source, .branch = "new", .parent = "nowhere"}).error().code,
            ErrorCode::kNotFound);
  kilter::SaveRequest request{.source = source};
  request.metadata = {{"data", kilter::JsonText{"[1,"}}};
  const auto refused = store.save(request);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(refused.error().path, "data");
  kilter::CancelToken cancel;
  cancel.cancel();
  EXPECT_EQ(store.save({.source = source, .context = {nullptr, &cancel}}).error().code,
            ErrorCode::kCancelled);
  EXPECT_EQ(store.log()->size(), 3U);
  EXPECT_TRUE(store.save({.source = source, .branch = "new", .parent = "step:20"}));
  EXPECT_EQ(store.log({.from = "new"})->size(), 3U);
}

TEST_F(StoreApi, OpensStoresAndNothingElse) {
  EXPECT_EQ(kilter::Store::open(at("none.kilter")).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(kilter::Store::create(at("s.kilter")));
  EXPECT_EQ(kilter::Store::create(at("s.kilter")).error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(kilter::Store::open_or_create(at("run")).error().code, ErrorCode::kInvalidArgument);
  const auto file = kilter::Store::open_or_create(at("run/checkpoint-10/config.json"));
  EXPECT_EQ(file.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(file.error().text(), HasSubstr("is a file"));
  EXPECT_EQ(kilter::Store::open("ftp://x/y").error().code, ErrorCode::kUnsupported);
  // Another store appears under the same object as others write to it.
  const auto mine = kilter::Store::open(at("s.kilter"));
  auto other = kilter::Store::open(at("s.kilter"));
  API_OK(other);
  ASSERT_TRUE(other->save({.source = at("run/checkpoint-10")}));
  EXPECT_EQ(mine->log()->size(), 1U);
}

TEST_F(StoreApi, GivesFilesAndTensorsBack) {
  const kilter::Store store = saved_run();
  const auto files = store.files("best:loss");
  API_OK(files);
  ASSERT_EQ(files->size(), 3U);
  EXPECT_EQ(files->front().path, "config.json");
  const auto tensors = store.tensors("best:loss");
  API_OK(tensors);
  ASSERT_EQ(tensors->size(), 1U);
  EXPECT_EQ(tensors->front().name, "w");
  EXPECT_THAT(tensors->front().shape, ElementsAre(4096));

  const auto config = store.read_file("main~1", "config.json");
  API_OK(config);
  EXPECT_EQ(text_of(*config), "{\"model_type\":\"bert\"}");
  EXPECT_EQ(*store.read_file("main~1/config.json", ""), *config);
  std::vector<std::byte> part(5);
  ASSERT_TRUE(store.read_file("main", "config.json", 2, part));
  EXPECT_EQ(text_of(part), "model");
  EXPECT_EQ(store.read_file("main", "config.json", 20, part).error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ(store.read_file("main", "nothing").error().code, ErrorCode::kNotFound);

  const auto w = store.read_tensor("step:20", "w");
  API_OK(w);
  ASSERT_EQ(w->size(), 4096 * sizeof(float));
  float first = 0;
  std::memcpy(&first, w->data(), sizeof first);
  EXPECT_EQ(first, 1.0F);
  EXPECT_EQ(store.read_tensor("step:20", "b")->size(), 8U);  // too small to be stored by itself
  EXPECT_EQ(*store.read_tensor("step:20/model.safetensors", "w"), *w);
  EXPECT_EQ(store.read_tensor("step:20", "x").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store.read_tensor("step:21", "w").error().code, ErrorCode::kNotFound);
}

TEST_F(StoreApi, OpensACommitAsACheckpointThatOutlivesTheStore) {
  std::optional<kilter::Checkpoint> checkpoint;
  {
    const kilter::Store store = saved_run();
    auto opened = store.open_checkpoint("step:30/model.safetensors");
    API_OK(opened);
    checkpoint = *opened;
    const auto missing = store.open_checkpoint("step:30/none.pt");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
    EXPECT_THAT(missing.error().path, HasSubstr("runs.kilter@step:30/none.pt"));
  }
  EXPECT_EQ(checkpoint->data().format, "safetensors");
  EXPECT_EQ(checkpoint->tensors().size(), 2U);
  const auto w = checkpoint->read_tensor("w");
  API_OK(w);
  EXPECT_EQ(w->size(), 4096 * sizeof(float));
  EXPECT_TRUE(checkpoint->load());
}

TEST_F(StoreApi, TellsTensorsOfOneNameInSeveralFilesApart) {
  write_file(folder_ / "two" / "a" / "x.safetensors", model_file(1));
  write_file(folder_ / "two" / "b" / "y.safetensors", model_file(2));
  auto store = kilter::Store::open_or_create(at("two.kilter"));
  API_OK(store);
  ASSERT_TRUE(store->save({.source = at("two")}));
  const auto b = store->read_tensor("main/b", "w");
  API_OK(b);
  float first = 0;
  std::memcpy(&first, b->data(), sizeof first);
  EXPECT_EQ(first, 2.0F);
}

TEST_F(StoreApi, RestoresByteForByteAndInOtherFormats) {
  const kilter::Store store = saved_run();
  const auto restored = store.restore("best:loss", {.target = at("back")});
  API_OK(restored);
  EXPECT_EQ(restored->file_count, 3U);
  EXPECT_EQ(read_back(folder_ / "back/model.safetensors"), model_file(1));
  EXPECT_EQ(store.restore("main", {.target = at("back")}).error().code, ErrorCode::kAlreadyExists);
  ASSERT_TRUE(store.restore("main", {.target = at("back"), .force = true}));
  EXPECT_EQ(read_back(folder_ / "back/model.safetensors"), model_file(2));
  ASSERT_TRUE(store.restore("main/config.json", {.target = at("config.json")}));
  EXPECT_EQ(read_back(folder_ / "config.json"), "{\"model_type\":\"bert\"}");

  const auto some =
      store.restore("main/model.safetensors", {.target = at("b.safetensors"), .only = {"b"}});
  API_OK(some);
  EXPECT_EQ(kilter::open_checkpoint(at("b.safetensors"))->tensors().size(), 1U);
  ASSERT_TRUE(store.restore("main/model.safetensors", {.target = at("w.npz"), .as = "npz"}));
  EXPECT_EQ(kilter::open_checkpoint(at("w.npz"))->data().format, "npz");
  EXPECT_EQ(store.restore("main", {.target = at("x"), .only = {"none*"}}).error().code,
            ErrorCode::kInvalidArgument);
}

TEST_F(StoreApi, NamesCommits) {
  kilter::Store store = saved_run();
  ASSERT_TRUE(store.set_tag("v1", "best:loss"));
  EXPECT_EQ(store.set_tag("v1", "main").error().code, ErrorCode::kAlreadyExists);
  ASSERT_TRUE(store.set_branch("retry", "step:10"));
  EXPECT_EQ(store.set_branch("-x", "main").error().code, ErrorCode::kInvalidArgument);
  const auto refs = store.refs();
  API_OK(refs);
  ASSERT_EQ(refs->size(), 3U);
  EXPECT_EQ((*refs)[1].name, "retry");
  EXPECT_EQ((*refs)[2].kind, kilter::RefKind::kTag);
  EXPECT_EQ((*refs)[2].commit, store.find("step:20")->digest);
  ASSERT_TRUE(store.set_tag("v1", "main", true));
  EXPECT_EQ(store.find("v1")->digest, store.find("main")->digest);
  ASSERT_TRUE(store.remove_tag("v1"));
  EXPECT_EQ(store.remove_tag("v1").error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(store.remove_branch("retry"));
  EXPECT_EQ(store.refs()->size(), 1U);
}

TEST_F(StoreApi, SaysWhatChanged) {
  const kilter::Store store = saved_run();
  const auto diff = store.diff("step:10", "step:20");
  API_OK(diff);
  EXPECT_FALSE(diff->same);
  ASSERT_EQ(diff->tensors.size(), 1U);
  EXPECT_EQ(diff->tensors[0].change, kilter::Change::kChanged);
  EXPECT_EQ(diff->files[0].change, kilter::Change::kSame);  // config.json
  EXPECT_TRUE(store.diff("main", store, "step:30")->same);
}

TEST_F(StoreApi, GivesUpWhatNobodyNeeds) {
  kilter::Store store = saved_run();
  EXPECT_EQ(store.remove("main").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(store.retain({}).error().code, ErrorCode::kInvalidArgument);
  const kilter::RetainRequest rules{.best = {{1, "loss", false}}, .dry_run = true};
  const auto plan = store.retain(rules);
  API_OK(plan);
  ASSERT_EQ(plan->retired.size(), 1U);
  EXPECT_EQ(plan->kept.size(), 2U);
  EXPECT_FALSE(store.find("step:10")->retired);
  const auto removed = store.remove("step:10");
  API_OK(removed);
  EXPECT_EQ(removed->digest, plan->retired[0].digest);
  EXPECT_TRUE(store.find(removed->digest)->retired);
  EXPECT_EQ(store.files(removed->digest).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(store.show(removed->digest));
  const auto collected = store.collect();
  API_OK(collected);
  EXPECT_GT(collected->removed_bytes + collected->dead_bytes, 0U);
  const auto compacted = store.compact();
  API_OK(compacted);
  EXPECT_LE(compacted->after_bytes, compacted->before_bytes);
  const auto stats = store.stats();
  API_OK(stats);
  EXPECT_EQ(stats->commit_count, 3U);
  EXPECT_EQ(stats->retired_count, 1U);
  EXPECT_FALSE(stats->forms.empty());
  EXPECT_EQ(text_of(*store.read_file("step:20", "model.safetensors")), model_file(1));
}

TEST_F(StoreApi, FindsDamageAndMendsItFromACopy) {
  kilter::Store store = saved_run();
  ASSERT_TRUE(store.set_tag("v1", "step:20"));
  const auto pushed = store.push(at("copy.kilter"));
  API_OK(pushed);
  EXPECT_EQ(pushed->commit_count, 3U);
  EXPECT_EQ(pushed->moved.size(), 2U);
  EXPECT_TRUE(store.check({.data = true})->sound());

  std::string damaged;
  for (const auto& entry : fs::recursive_directory_iterator(folder_ / "runs.kilter/packs"))
    if (entry.path().extension() == ".pack") damaged = entry.path().string();
  std::string bytes = read_back(damaged);
  bytes[66] = static_cast<char>(bytes[66] ^ 1);  // of the first payload: "w"
  fs::permissions(damaged, fs::perms::owner_all);
  std::ofstream(damaged, std::ios::binary) << bytes;
  const auto report = kilter::Store::open(at("runs.kilter"))->check({.data = true});
  API_OK(report);
  ASSERT_FALSE(report->sound());
  EXPECT_EQ(report->faults[0].affected[0].tensor, "w");

  const auto mended = kilter::Store::repair(at("runs.kilter"), {.from = at("copy.kilter")});
  API_OK(mended);
  EXPECT_TRUE(mended->after.sound());
  EXPECT_EQ(mended->fetched_count, 1U);
  auto other = kilter::Store::create(at("third.kilter"));
  API_OK(other);
  const auto pulled = other->pull(at("runs.kilter"), {.ref = "v1"});
  API_OK(pulled);
  EXPECT_EQ(pulled->commit_count, 2U);
  EXPECT_EQ(other->pull(at("runs.kilter"), {.ref = "v2"}).error().code, ErrorCode::kNotFound);
}

TEST(MetadataValues, AreReadAsPeopleTypeThem) {
  EXPECT_EQ(kilter::parse_meta_value("12"), kilter::MetaValue(std::int64_t{12}));
  EXPECT_EQ(kilter::parse_meta_value("2e-5"), kilter::MetaValue(2e-5));
  EXPECT_EQ(kilter::parse_meta_value("null"), kilter::MetaValue(nullptr));
  EXPECT_EQ(kilter::parse_meta_value("\"3\""), kilter::MetaValue("3"));
  EXPECT_EQ(kilter::parse_meta_value("a b"), kilter::MetaValue("a b"));
  EXPECT_EQ(kilter::parse_meta_value("[1, 2]"), kilter::MetaValue(kilter::JsonText{"[1,2]"}));
  EXPECT_EQ(kilter::parse_meta_value("18446744073709551615"),
            kilter::MetaValue(1.8446744073709552e19));
  EXPECT_EQ(kilter::meta_value_text(1.5), "1.5");
  EXPECT_EQ(kilter::meta_value_text(nullptr), "null");
  EXPECT_EQ(kilter::meta_value_text(true), "true");
}

}  // namespace

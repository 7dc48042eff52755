// Saving and reading back.
#include <thread>

#include "kilter/checkpoint.h"

#include "store/history/history.h"
#include "store/restore.h"
#include "store/store_test_support.h"

namespace kilter::store::test {
namespace {

TEST(SaveToStore, GivesBackEveryByteOfEveryFile) {
  const auto files = io::make_memory_file_system();
  const std::string model = safetensors_of({{"a", weights(5000, 1)}, {"b", weights(70, 2)}});
  files->put("ckpt/model.safetensors", model);
  files->put("ckpt/config.json", "{\"model_type\":\"bert\"}");
  files->put("ckpt/empty", "");
  files->put("ckpt/sub/notes.txt", std::string(200'000, 'n'));
  const auto store = make_store(*files);
  const auto saved = save(*store, *files, "ckpt");
  STORE_OK(saved);
  EXPECT_EQ(saved->file_count, 4U);
  EXPECT_EQ(saved->tensor_count, 1U);  // "b" is small: it stays with the header
  const auto back = files_of(reopen(*files), saved->commit);
  STORE_OK(back);
  EXPECT_EQ(back->at("model.safetensors"), model);
  EXPECT_EQ(back->at("empty"), "");
  EXPECT_EQ(back->at("sub/notes.txt"), std::string(200'000, 'n'));
}

TEST(SaveToStore, KeepsASingleFileAsAFile) {
  const auto files = io::make_memory_file_system();
  files->put("model.safetensors", safetensors_of({{"a", weights(3000, 1)}}));
  const auto store = make_store(*files);
  const auto saved = save(*store, *files, "model.safetensors");
  STORE_OK(saved);
  const auto commit = store->read_commit(saved->commit);
  STORE_OK(commit);
  const auto tree = store->read_tree(commit->tree);
  STORE_OK(tree);
  EXPECT_TRUE((*tree)->single_file);
  EXPECT_EQ((*tree)->files[0].path, "model.safetensors");
}

TEST(SaveToStore, StoresNothingTwice) {
  const auto files = io::make_memory_file_system();
  const auto a = weights(50'000, 1);
  files->put("x/model.safetensors", safetensors_of({{"a", a}, {"b", weights(40'000, 2)}}));
  files->put("y/other.safetensors", safetensors_of({{"renamed", a}}));
  const auto store = make_store(*files);
  STORE_OK(save(*store, *files, "x"));
  const auto again = save(*store, *files, "x");
  STORE_OK(again);
  EXPECT_LT(again->totals.new_plain_bytes, 4096U);
  const auto other = save(*store, *files, "y");
  STORE_OK(other);
  EXPECT_LT(other->totals.new_plain_bytes, 4096U);
}

TEST(SaveToStore, CutsLargeTensorsIntoPiecesOfElements) {
  const auto files = io::make_memory_file_system();
  auto values = weights((1U << 20) + 5000, 3);
  files->put("m.safetensors", safetensors_of({{"a", values}}));
  const auto store = make_store(*files);
  STORE_OK(save(*store, *files, "m.safetensors"));
  values.resize(values.size() + 1000, 0.5F);  // grows at its end: the first piece stays
  files->put("m.safetensors", safetensors_of({{"a", values}}));
  const auto grown = save(*store, *files, "m.safetensors");
  STORE_OK(grown);
  EXPECT_LT(grown->totals.new_plain_bytes, 100'000U);
  EXPECT_EQ(files_of(store, grown->commit)->at("m.safetensors"), safetensors_of({{"a", values}}));
}

TEST(SaveToStore, ReadsStepAndNumbersFromTheFiles) {
  const auto files = io::make_memory_file_system();
  files->put("checkpoint-40/model.safetensors", safetensors_of({{"a", weights(2000, 1)}}));
  files->put("checkpoint-40/trainer_state.json",
             R"({"global_step": 40, "epoch": 2.0, "log_history": [{"step": 40, "loss": 1.25, )"
             R"("learning_rate": 0.001}]})");
  const auto store = make_store(*files);
  const auto saved = save(*store, *files, "checkpoint-40", {{"note", "mine"}});
  STORE_OK(saved);
  EXPECT_EQ(saved->content.metadata["step"], 40);
  EXPECT_EQ(saved->content.metadata["epoch"], 2.0);
  EXPECT_EQ(saved->content.metadata["loss"], 1.25);
  EXPECT_EQ(saved->content.metadata["note"], "mine");
}

TEST(SaveToStore, ContinuesTheBranchAndRefusesATakenTag) {
  const auto files = io::make_memory_file_system();
  files->put("m.safetensors", safetensors_of({{"a", weights(2000, 1)}}));
  const auto store = make_store(*files);
  const auto first = save(*store, *files, "m.safetensors");
  STORE_OK(first);
  const auto second = save(*store, *files, "m.safetensors");
  STORE_OK(second);
  EXPECT_THAT(second->content.parents, testing::ElementsAre(first->commit));
  ASSERT_TRUE(*move_ref(store->place(), RefKind::kTag, "v1", first->commit, std::nullopt));
  SaveRequest request;
  request.source = {files.get(), "m.safetensors", {}};
  request.tags = {"v1"};
  const auto refused = save_tree(*store, request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
  request.tags = {"../evil"};
  EXPECT_EQ(save_tree(*store, request).error().code, ErrorCode::kInvalidArgument);
}

TEST(SaveToStore, ReadersWorkOnCommitsAsOnFolders) {
  const auto files = io::make_memory_file_system();
  files->put("ckpt/model.safetensors", safetensors_of({{"a", weights(5000, 1)}}));
  files->put("ckpt/sub/x.txt", "x");
  const auto store = make_store(*files);
  const auto saved = save(*store, *files, "ckpt");
  STORE_OK(saved);
  const auto commit = store->read_commit(saved->commit);
  STORE_OK(commit);
  const auto tree = store->read_tree(commit->tree);
  STORE_OK(tree);
  const auto mounted = make_tree_file_system(std::make_shared<TreeReader>(store, *tree), "m@v1");
  OpenOptions options;
  options.files = mounted.get();
  const auto opened = open_checkpoint("m@v1", options);
  STORE_OK(opened);
  ASSERT_EQ(opened->tensors().size(), 1U);
  const auto bytes = opened->read_tensor("a");
  STORE_OK(bytes);
  const auto values = weights(5000, 1);
  EXPECT_EQ(blake3(*bytes), blake3(std::as_bytes(std::span(values))));
  EXPECT_EQ(mounted->list("m@v1")->size(), 2U);
  EXPECT_EQ(mounted->stat("m@v1/sub", true)->kind, io::FileKind::kFolder);
  EXPECT_EQ(mounted->create("m@v1/new").error().code, ErrorCode::kPermission);
  EXPECT_EQ(mounted->open_read("m@v1/none").error().code, ErrorCode::kNotFound);
}

TEST(SaveToStore, LosesNoCommitWhenTwoSaveAtOnce) {
  const auto files = io::make_memory_file_system();
  for (int i = 0; i < 4; ++i)
    files->put(fmt::format("m{}.safetensors", i),
               safetensors_of({{"a", weights(20'000, static_cast<unsigned>(i))}}));
  make_store(*files);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&files, i] {
      const auto store = reopen(*files);
      for (int k = 0; k < 5; ++k)
        EXPECT_TRUE(worked(save(*store, *files, fmt::format("m{}.safetensors", i), {{"step", k}})));
    });
  for (std::thread& thread : threads) thread.join();
  const auto store = reopen(*files);
  const auto history = History::load(*store);
  STORE_OK(history);
  EXPECT_EQ(history->ancestry(history->tip(RefKind::kBranch, "main")).size(), 20U);
}

TEST(OpeningAStore, RefusesWhatIsNone) {
  const auto files = io::make_memory_file_system();
  const auto code = [&](const std::string& text) {
    files->put("s/kilter-store.json", text);
    const auto opened = Store::open(make_folder_place(*files, "s"));
    return opened ? ErrorCode::kInternal : opened.error().code;
  };
  EXPECT_EQ(Store::open(make_folder_place(*files, "s")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(code("{"), ErrorCode::kMalformed);
  EXPECT_EQ(code(R"({"format":"x","version":1})"), ErrorCode::kMalformed);
  EXPECT_EQ(code(R"({"format":"kilter-store","version":2})"), ErrorCode::kUnsupported);
  EXPECT_EQ(code(R"({"format":"kilter-store","version":1,"requires":["y"]})"),
            ErrorCode::kUnsupported);
  EXPECT_EQ(code(R"({"format":"kilter-store","version":1,"requires":[]})"), ErrorCode::kInternal);
}

}  // namespace
}  // namespace kilter::store::test

#include "formats/torch/zip_sink.h"

#include <gtest/gtest.h>

#include "flow/engine.h"
#include "flow/source.h"
#include "formats/torch/rebuild.h"
#include "formats/torch/substitutes.h"
#include "formats/torch/torch_test_support.h"
#include "io/publish.h"

namespace kilter::torch {
namespace {

using zip::rules_of;

StateId add_text(StateTree* tree, std::string text, StateKind kind = StateKind::kString) {
  StateNode node;
  node.kind = kind;
  node.text = std::move(text);
  return tree->add(std::move(node));
}

StateId add_number(StateTree* tree, std::int64_t value, StateKind kind = StateKind::kInt) {
  StateNode node;
  node.kind = kind;
  node.integer = value;
  return tree->add(std::move(node));
}

StateId add_items(StateTree* tree, StateKind kind, std::vector<StateId> items,
                  std::string text = {}) {
  StateNode node;
  node.kind = kind;
  node.items = std::move(items);
  node.text = std::move(text);
  return tree->add(std::move(node));
}

/// Writes what `bytes` (a torch zip) holds back, with its storages shared, and gives the new file.
class RoundTrip {
 public:
  explicit RoundTrip(const std::string& bytes) : source_(formats::torch_zip_format(), bytes) {
    data_ = *source_.open();
    reader_ = make_file_source(*source_.files, "/m.pt", false, data_.index);
    plan_.verb = "convert";
    for (std::size_t s = 0; s < data_.index.storages.size(); ++s) add_storage(s);
    options_.stem = "out";
    options_.state = &data_.state;
  }

  formats::WriteOptions& options() { return options_; }
  CheckpointData& data() { return data_; }

  std::string write(unsigned threads = 1) {
    auto files = io::make_memory_file_system();
    EXPECT_TRUE(files->make_folder("/out"));
    auto sink = make_zip_sink(options_);
    auto publication = io::Publication::beside(*files, "/out", io::Replace::kRefuse);
    EngineOptions engine;
    engine.thread_count = threads;
    engine.direct_io = false;
    const auto report = run_plan(plan_, *sink, *files, **publication, "/out", engine, {});
    EXPECT_TRUE(report) << report.error().text();
    const auto text = io::read_text(*files, "/out/out.pt", 1 << 20);
    EXPECT_TRUE(text);
    return text.value_or("");
  }

 private:
  void add_storage(std::size_t s) {
    PlanOutput output;
    output.name = "storage" + std::to_string(s);
    output.dtype = DType::kF32;
    output.bytes = data_.index.storages[s].bytes;
    output.shape = {static_cast<std::int64_t>(output.bytes / 4)};
    output.inputs = {{reader_, InputKind::kStorage, s, 0}};
    for (const TensorInfo& tensor : data_.index.tensors) {
      if (tensor.storage != s) continue;
      output.views.push_back(
          {tensor.name, tensor.dtype, tensor.shape, tensor.strides, tensor.offset_elements});
      plan_.accounts.push_back({tensor.name, Fate::kCopied, tensor.name, ""});
    }
    for (const TensorInfo& tensor : data_.index.tensors)
      if (s == 0) options_.tensor_names.push_back(tensor.name);
    plan_.outputs.push_back(std::move(output));
  }

  Opened source_;
  CheckpointData data_;
  std::shared_ptr<const Source> reader_;
  Plan plan_;
  formats::WriteOptions options_;
};

std::string sample() {
  return torch_zip(pickle_of({{"w", {"0", 6, {2, 3}, {3, 1}}},
                              {"t", {"0", 6, {3, 2}, {1, 3}}},
                              {"b", {"1", 3, {3}, {1}}}}))
      .build();
}

TEST(TorchSink, WritesWhatItsReaderFindsNoFaultIn) {
  RoundTrip trip(sample());
  const Opened again(formats::torch_zip_format(), trip.write());
  const auto data = again.open();
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_EQ(rules_of(data->findings), "");
  EXPECT_EQ(rules_of(again.check()), "");
  EXPECT_EQ(rules_of(again.scan()), "");
  EXPECT_EQ(data->index.storages.size(), 2U);
  ASSERT_EQ(data->index.tensors.size(), 3U);
  EXPECT_EQ(data->index.tensors[1].strides, (std::vector<std::int64_t>{1, 3}));
  for (const StorageInfo& storage : data->index.storages) EXPECT_EQ(storage.offset_bytes % 64, 0U);
  const auto source = make_file_source(*again.files, "/m.pt", false, data->index);
  std::vector<float> out(6);
  ASSERT_TRUE(source->read_tensor(1, 0, std::as_writable_bytes(std::span(out))));
  EXPECT_EQ(out, (std::vector<float>{1, 4, 2, 5, 3, 6}));
}

TEST(TorchSink, WritesTheSameBytesForAnyNumberOfThreads) {
  const std::string once = RoundTrip(sample()).write(1);
  EXPECT_EQ(once, RoundTrip(sample()).write(1));
  EXPECT_EQ(once, RoundTrip(sample()).write(4));
}

TEST(TorchSink, WritesAllTensorsWithoutAState) {
  RoundTrip trip(sample());
  trip.options().state = nullptr;
  const auto data = Opened(formats::torch_zip_format(), trip.write()).open();
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_TRUE(data->index.find("w") && data->index.find("t") && data->index.find("b"));
}

TEST(TorchSink, AddsTensorsThatTheStateDoesNotMention) {
  RoundTrip trip(sample());
  StateTree number;
  number.set_root(add_number(&number, 7));
  trip.options().state = &number;
  const auto data = Opened(formats::torch_zip_format(), trip.write()).open();
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_EQ(data->state[data->state.find_path({"state"})].integer, 7);
  EXPECT_TRUE(data->index.find("tensors.w"));
}

TEST(TorchSink, KeepsEveryKindOfValue) {
  RoundTrip trip(sample());
  StateTree tree;
  const StateId shared = add_items(&tree, StateKind::kList, {add_number(&tree, 1)});
  std::vector<StateId> entries;
  const auto entry = [&](std::string key, StateId value) {
    entries.push_back(add_text(&tree, std::move(key)));
    entries.push_back(value);
  };
  for (const std::int64_t value : {std::int64_t{0}, std::int64_t{255}, std::int64_t{65535},
                                   std::int64_t{-1}, INT64_MAX, INT64_MIN, std::int64_t{1} << 31})
    entry("int" + std::to_string(value), add_number(&tree, value));
  entry("big", add_text(&tree, "-123456789012345678901234567890", StateKind::kBigInt));
  entry("bytes", add_text(&tree, std::string("a\0\xff", 3), StateKind::kBytes));
  entry("true", add_number(&tree, 1, StateKind::kBool));
  entry("none", add_number(&tree, 0, StateKind::kNone));
  entry("shared", shared);
  entry("again", shared);
  entry("tuple", add_items(&tree, StateKind::kTuple, {shared, add_text(&tree, "é")}));
  entry("set", add_items(&tree, StateKind::kSet, {add_number(&tree, 3)}));
  entry("dtype", add_text(&tree, "torch.float16", StateKind::kGlobal));
  StateNode complex;
  complex.kind = StateKind::kComplex;
  complex.number = 1.5;
  complex.imaginary = -2;
  entry("complex", tree.add(complex));
  const StateId root = add_items(&tree, StateKind::kDict, std::move(entries));
  tree[shared].items.push_back(root);  // a cycle
  tree.set_root(root);
  trip.options().state = &tree;
  const auto data = Opened(formats::torch_zip_format(), trip.write()).open();
  ASSERT_TRUE(data) << data.error().text();
  const StateTree& back = data->state;
  EXPECT_EQ(back[back.find_path({"int" + std::to_string(INT64_MIN)})].integer, INT64_MIN);
  EXPECT_EQ(back[back.find_path({"int" + std::to_string(INT64_MAX)})].integer, INT64_MAX);
  EXPECT_EQ(back[back.find_path({"int-1"})].integer, -1);
  EXPECT_EQ(back[back.find_path({"int2147483648"})].integer, std::int64_t{1} << 31);
  EXPECT_EQ(back[back.find_path({"big"})].text, "-123456789012345678901234567890");
  EXPECT_EQ(back[back.find_path({"bytes"})].text, std::string("a\0\xff", 3));
  EXPECT_EQ(back[back.find_path({"true"})].kind, StateKind::kBool);
  EXPECT_EQ(back[back.find_path({"none"})].kind, StateKind::kNone);
  EXPECT_EQ(back.find_path({"shared"}), back.find_path({"again"}));
  EXPECT_EQ(back[back.find_path({"shared"})].items[1], back.root());
  EXPECT_EQ(back[back[back.find_path({"tuple"})].items[1]].text, "é");
  EXPECT_EQ(back[back.find_path({"set"})].kind, StateKind::kSet);
  EXPECT_EQ(back[back.find_path({"dtype"})].text, "torch.float16");
  EXPECT_EQ(back[back.find_path({"complex"})].imaginary, -2);
}

TEST(TorchSink, SubstitutesWhatLoadingWouldRefuseAndSaysSo) {
  RoundTrip trip(sample());
  StateTree tree;
  StateNode object;
  object.kind = StateKind::kObject;
  object.text = "argparse.Namespace";
  object.state = add_items(&tree, StateKind::kDict, {add_text(&tree, "lr"), add_number(&tree, 3)});
  const StateId args = tree.add(std::move(object));
  const StateId type = add_text(&tree, "os.system", StateKind::kGlobal);
  tree.set_root(add_items(
      &tree, StateKind::kDict,
      {add_text(&tree, "args"), args, add_text(&tree, "f"), type, type, add_number(&tree, 1)}));
  trip.options().state = &tree;
  const std::string bytes = trip.write();
  EXPECT_EQ(bytes.find("cos\nsystem"), std::string::npos);
  const auto data = Opened(formats::torch_zip_format(), bytes).open();
  ASSERT_TRUE(data) << data.error().text();
  const StateTree& back = data->state;
  EXPECT_EQ(back[back.find_path({"args", "__class__"})].text, "argparse.Namespace");
  EXPECT_EQ(back[back.find_path({"args", "state", "lr"})].integer, 3);
  EXPECT_EQ(back[back.find_path({"f", "__global__"})].text, "os.system");
  EXPECT_EQ(back[back.find_path({"os.system#" + std::to_string(type)})].integer, 1);
  const auto told = formats::torch_substitutes(tree);
  ASSERT_EQ(told.size(), 2U);
  EXPECT_TRUE((told[0].node == args && told[1].node == type) ||
              (told[0].node == type && told[1].node == args));
}

TEST(TorchSink, RefusesATupleThatContainsItself) {
  RoundTrip trip(sample());
  StateTree tree;
  const StateId tuple = add_items(&tree, StateKind::kTuple, {});
  tree[tuple].items.push_back(tuple);
  tree.set_root(tuple);
  trip.options().state = &tree;
  Plan plan;
  const auto layout = make_zip_sink(trip.options())->layout(plan);
  ASSERT_FALSE(layout);
  EXPECT_EQ(layout.error().code, ErrorCode::kUnsupported);
}

TEST(TorchSink, RefusesDtypesThatTorchLacks) {
  Plan plan;
  PlanOutput output;
  output.name = "x";
  output.dtype = DType::kF6E2M3;
  output.shape = {4};
  output.bytes = 3;
  plan.outputs.push_back(output);
  const auto layout = make_zip_sink({})->layout(plan);
  ASSERT_FALSE(layout);
  EXPECT_EQ(layout.error().tensor, "x");
}

TEST(TorchSink, LaysOutMembersBeyondFourGibibytes) {
  Plan plan;
  for (const char* name : {"a", "b"}) {
    PlanOutput output;
    output.name = name;
    output.dtype = DType::kU8;
    output.bytes = (5ULL << 30) + 3;
    output.shape = {static_cast<std::int64_t>(output.bytes)};
    plan.outputs.push_back(output);
  }
  auto sink = make_zip_sink({});
  const auto layout = sink->layout(plan);
  ASSERT_TRUE(layout) << layout.error().text();
  std::uint64_t at = 0;
  const auto& segments = layout->front().segments;
  for (const Segment& segment : segments) {
    EXPECT_TRUE(segment.kind != SegmentKind::kOutput || at % 64 == 0);
    at += segment.bytes;
  }
  std::string directory(segments.back().bytes, '\0');
  ASSERT_TRUE(sink->fill_late(0, segments.back().index, {1, 2},
                              std::as_writable_bytes(std::span(directory))));
  // The second one's header lies past 4 GiB too: the zip64 field holds both sizes and the place.
  const std::size_t second = directory.find("model/data/1");
  ASSERT_NE(second, std::string::npos);
  EXPECT_EQ(directory.substr(second + 12, 4), std::string("\x01\x00\x18\x00", 4));
}

}  // namespace
}  // namespace kilter::torch

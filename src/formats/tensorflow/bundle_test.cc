#include "formats/tensorflow/bundle.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "formats/format.h"
#include "formats/tensorflow/ordered_code.h"
#include "formats/tensorflow/tensorflow_test_support.h"
#include "io/memory_file_system.h"

namespace kilter::tensorflow {
namespace {

using namespace std::string_literals;
using test::BundleBuilder;
using test::TestEntry;

class Bundles : public ::testing::Test {
 protected:
  Result<Checkpoint> open(const BundleBuilder& bundle, bool lenient = false,
                          bool compress = false) {
    memory_->put("/m.index", bundle.index(compress));
    memory_->put("/m.data-00000-of-00001", bundle.data);
    OpenOptions options;
    options.files = memory_.get();
    options.lenient = lenient;
    return open_checkpoint("/m.index", options);
  }

  std::string fault_of(const BundleBuilder& bundle) {
    const auto opened = open(bundle);
    EXPECT_FALSE(opened);
    return opened ? "" : opened.error().text();
  }

  std::string bytes_of(const Checkpoint& checkpoint, std::string_view name) {
    const auto bytes = checkpoint.read_tensor(name);
    EXPECT_TRUE(bytes) << bytes.error().text();
    return bytes ? std::string(as_text(*bytes)) : "";
  }

  std::vector<Finding> check() {
    const auto probe = formats::make_probe(*memory_, "/m.index");
    std::vector<Finding> findings;
    EXPECT_TRUE(formats::find_format("tensorflow")
                    ->check({memory_.get(), "/m.index", &*probe, true, {}}, &findings));
    return findings;
  }

  std::unique_ptr<io::MemoryFileSystem> memory_ = io::make_memory_file_system();
};

TEST_F(Bundles, HoldTensorsOfEveryNumericType) {
  BundleBuilder bundle;
  for (std::uint64_t type = 1; type <= 33; ++type) {
    if (type == 7 || type == 20 || type == 21) continue;
    const std::size_t sizes[] = {0, 4,  8, 4, 1, 2, 1, 0, 8, 8, 1, 1, 1, 4, 2, 2, 2,
                                 2, 16, 2, 0, 0, 4, 8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    bundle.add(fmt::format("t{}", type), type, {2}, std::string(2 * sizes[type], '\1'));
  }
  for (const bool compress : {false, true}) {
    const auto opened = open(bundle, false, compress);
    ASSERT_TRUE(opened) << opened.error().text();
    EXPECT_EQ(opened->tensors().size(), 30U);
    EXPECT_EQ(opened->tensors()[opened->data().index.find("t14").value()].dtype, DType::kBF16);
    EXPECT_EQ(opened->tensors()[opened->data().index.find("t29").value()].dtype, DType::kI4);
    EXPECT_TRUE(opened->data().state.empty());
    for (const Finding& finding : opened->data().findings)
      EXPECT_EQ(finding.rule, "tensorflow.dtype-as-bits") << finding.message;
    EXPECT_TRUE(std::none_of(opened->data().findings.begin(), opened->data().findings.end(),
                             [](const Finding& f) { return f.severity != Severity::kNote; }));
  }
}

TEST_F(Bundles, OfBigEndianMachinesAreSwapped) {
  BundleBuilder bundle(true);
  bundle.add("x", 3, {2}, "\0\0\0\1\0\0\2\0"s);
  bundle.add_strings("s", {2}, {"ab", "c"});
  const auto opened = open(bundle);
  ASSERT_TRUE(opened) << opened.error().text();
  EXPECT_EQ(bytes_of(*opened, "x"), "\1\0\0\0\0\2\0\0"s);
  const StateTree& state = opened->data().state;
  const StateId strings = state.find_path({"s"});
  ASSERT_NE(strings, kNoState);
  ASSERT_EQ(state[strings].items.size(), 2U);
  EXPECT_EQ(state[state[strings].items[0]].text, "ab");
  EXPECT_TRUE(check().empty());
}

TEST_F(Bundles, PutPartitionedVariablesTogether) {
  // [[0 1 2] [3 4 5]] of bytes, cut at column 1 and, left of it, at row 1.
  BundleBuilder bundle;
  bundle.add_slice("v", {{0, 1}, {0, 1}}, 4, {1, 1}, "\0"s);
  bundle.add_slice("v", {{1, 1}, {0, 1}}, 4, {1, 1}, "\3"s);
  bundle.add_slice("v", {{0, -1}, {1, 2}}, 4, {2, 2}, "\1\2\4\5"s);
  TestEntry whole;
  whole.dtype = 4;
  whole.shape = {2, 3};
  whole.slices = {{{0, 1}, {0, 1}}, {{1, 1}, {0, 1}}, {{0, -1}, {1, 2}}};
  bundle.entries["v"] = whole.message();
  auto opened = open(bundle);
  ASSERT_TRUE(opened) << opened.error().text();
  ASSERT_EQ(opened->tensors().size(), 1U);
  EXPECT_EQ(bytes_of(*opened, "v"), "\0\1\2\3\4\5"s);
  EXPECT_TRUE(check().empty());

  whole.slices.pop_back();
  bundle.entries["v"] = whole.message();
  EXPECT_NE(fault_of(bundle).find("pieces of the tensor are missing"), std::string::npos);
  whole.slices = {{{0, 2}, {0, 3}}};
  bundle.entries["v"] = whole.message();
  EXPECT_NE(fault_of(bundle).find("is not in the index"), std::string::npos);
  bundle.entries.erase("v");
  EXPECT_NE(fault_of(bundle).find("belongs to no variable"), std::string::npos);
}

TEST_F(Bundles, SayWhichTensorIsDamaged) {
  BundleBuilder bundle;
  bundle.add("good", 1, {2}, "abcdefgh");
  bundle.add("bad", 1, {2}, "ABCDEFGH");
  bundle.data[9] = '!';
  EXPECT_TRUE(open(bundle));  // headers alone do not tell
  const auto findings = check();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].rule, "tensorflow.tensor-corrupt");
  EXPECT_EQ(findings[0].tensor, "bad");
  EXPECT_EQ(findings[0].path, "/m.data-00000-of-00001");

  BundleBuilder words;
  words.add_strings("vocabulary", {2}, {"one", "two"});
  words.data[8] = '!';
  const auto damaged = open(words);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(damaged.error().tensor, "vocabulary");
  const auto rest = open(words, true);
  ASSERT_TRUE(rest);
  ASSERT_EQ(rest->data().findings.size(), 1U);
  EXPECT_EQ(rest->data().findings[0].tensor, "vocabulary");
}

TEST_F(Bundles, RefuseLyingSizesAndNameTheTensor) {
  BundleBuilder bundle;
  TestEntry entry = bundle.append(1, {2}, "abcdefgh");
  const auto fault = [&](auto change) {
    TestEntry changed = entry;
    change(&changed);
    BundleBuilder one = bundle;
    one.entries["x"] = changed.message();
    return fault_of(one);
  };
  EXPECT_NE(fault([](TestEntry* e) { e->shape = {3}; }).find("do not agree"), std::string::npos);
  EXPECT_NE(fault([](TestEntry* e) { e->offset_bytes = 1; }).find("past the end"),
            std::string::npos);
  EXPECT_NE(fault([](TestEntry* e) { e->shard = 1; }).find("a shard that cannot be"),
            std::string::npos);
  EXPECT_NE(fault([](TestEntry* e) { e->dtype = 99; }).find("a type that is not read"),
            std::string::npos);
  EXPECT_NE(fault([](TestEntry* e) { e->shape = {-2}; }).find("negative"), std::string::npos);
  EXPECT_NE(fault([](TestEntry* e) { e->shape = {1LL << 40, 1LL << 40}; }).find("64 bits"),
            std::string::npos);
  EXPECT_NE(fault([](TestEntry* e) { e->shape = {3}; }).find("\"x\""), std::string::npos);
}

TEST_F(Bundles, Leniently_OpenWithoutAMissingShard) {
  BundleBuilder bundle;
  bundle.entries[""] = test::number_field(1, 2);
  bundle.add("here", 4, {3}, "abc");
  TestEntry other;
  other.dtype = 4;
  other.shape = {2};
  other.bytes = 2;
  other.shard = 1;
  bundle.entries["there"] = other.message();
  memory_->put("/m.index", bundle.index());
  memory_->put("/m.data-00000-of-00002", bundle.data);
  OpenOptions options;
  options.files = memory_.get();
  const auto strict = open_checkpoint("/m", options);  // by its prefix
  ASSERT_FALSE(strict);
  EXPECT_EQ(strict.error().path, "/m.data-00001-of-00002");
  options.lenient = true;
  const auto lenient = open_checkpoint("/m", options);
  ASSERT_TRUE(lenient);
  ASSERT_EQ(lenient->tensors().size(), 1U);
  EXPECT_EQ(bytes_of(*lenient, "here"), "abc");
  EXPECT_EQ(lenient->data().findings.size(), 1U);
}

TEST_F(Bundles, TellVersionOneAndOtherTablesApart) {
  BundleBuilder bundle;
  bundle.entries[""] = test::bytes_field(1, "meta");
  EXPECT_NE(fault_of(bundle).find("version 1"), std::string::npos);
  bundle.entries.erase("");
  bundle.entries["key"] = "value";
  EXPECT_NE(fault_of(bundle).find("not the index of a TensorFlow checkpoint"), std::string::npos);
}

TEST_F(Bundles, DamagedTablesSayWhichBlock) {
  BundleBuilder bundle;
  for (int i = 0; i < 10; ++i) bundle.add(fmt::format("tensor{}", i), 4, {1}, "x");
  std::string index = bundle.index(true);
  memory_->put("/m.data-00000-of-00001", bundle.data);
  OpenOptions options;
  options.files = memory_.get();
  for (std::size_t at = 0; at + 48 < index.size(); ++at) {
    std::string damaged = index;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    memory_->put("/m.index", damaged);
    const auto opened = open_checkpoint("/m.index", options);
    if (opened) {
      EXPECT_GT(at, index.size() / 2) << at;  // the meta block, which is never read
    } else {
      EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt) << at;
      EXPECT_TRUE(opened.error().offset_bytes) << at;
    }
  }
}

TEST_F(Bundles, FoldersOpenAtTheNewest) {
  BundleBuilder one, two;
  one.add("step", 4, {1}, "1");
  two.add("step", 4, {1}, "2");
  for (const auto& [name, bundle] : {std::pair("ckpt-9", &one), std::pair("ckpt-10", &two)}) {
    memory_->put("/run/"s + name + ".index", bundle->index());
    memory_->put("/run/"s + name + ".data-00000-of-00001", bundle->data);
  }
  OpenOptions options;
  options.files = memory_.get();
  const auto unclear = open_checkpoint("/run", options);
  ASSERT_FALSE(unclear);
  EXPECT_NE(unclear.error().hint.find("/run/ckpt-9.index"), std::string::npos)
      << unclear.error().text();
  memory_->put("/run/checkpoint",
               "all_model_checkpoint_paths: \"/gone/ckpt-9\"\n"
               "model_checkpoint_path: \"/gone/ckpt-10\"\n");
  const auto opened = open_checkpoint("/run", options);
  ASSERT_TRUE(opened) << opened.error().text();
  EXPECT_EQ(bytes_of(*opened, "step"), "2");
  const auto& files = opened->data().index.files;
  EXPECT_TRUE(std::none_of(files.begin(), files.end(),
                           [](const FileEntry& f) { return f.path.starts_with("ckpt-9"); }));
}

TEST_F(Bundles, ObjectGraphsGiveNamesAndSlots) {
  using test::bytes_field;
  using test::number_field;
  const std::string variable =
      bytes_field(2, bytes_field(1, "VARIABLE_VALUE") + bytes_field(2, "dense/kernel") +
                         bytes_field(3, "k/.ATTRIBUTES/VARIABLE_VALUE"));
  const std::string slot =
      bytes_field(2, bytes_field(1, "VARIABLE_VALUE") + bytes_field(3, "k/.OPTIMIZER_SLOT/o/m"));
  const std::string optimizer =
      bytes_field(3, number_field(1, 0) + bytes_field(2, "m") + number_field(3, 1)) +
      bytes_field(3, number_field(1, 0) + bytes_field(2, "m") + number_field(3, 99));
  BundleBuilder bundle;
  bundle.add("k/.ATTRIBUTES/VARIABLE_VALUE", 4, {1}, "x");
  bundle.add_strings("_CHECKPOINTABLE_OBJECT_GRAPH", {},
                     {bytes_field(1, variable) + bytes_field(1, slot) + bytes_field(1, optimizer)});
  const auto opened = open(bundle);
  ASSERT_TRUE(opened) << opened.error().text();
  const StateTree& state = opened->data().state;
  const StateId name =
      state.find_path({"_CHECKPOINTABLE_OBJECT_GRAPH", "names", "k/.ATTRIBUTES/VARIABLE_VALUE"});
  ASSERT_NE(name, kNoState);
  EXPECT_EQ(state[name].text, "dense/kernel");
  const StateId slots = state.find_path({"_CHECKPOINTABLE_OBJECT_GRAPH", "slots"});
  ASSERT_NE(slots, kNoState);
  ASSERT_EQ(state[slots].items.size(), 1U);
  EXPECT_EQ(state[state.find(state[slots].items[0], "of")].text, "k/.ATTRIBUTES/VARIABLE_VALUE");
  const StateId tensor = state.find_path({"k/.ATTRIBUTES/VARIABLE_VALUE"});
  ASSERT_NE(tensor, kNoState);
  EXPECT_EQ(state[tensor].kind, StateKind::kTensor);
}

TEST(OrderedCode, KeysComeBackAndSortAsTheirNumbers) {
  std::string before;
  for (const std::int64_t number : std::initializer_list<std::int64_t>{
           INT64_MIN, -(1LL << 62), -9000LL, -65LL, -64LL, -1LL, 0LL, 1LL, 63LL, 64LL, 8191LL,
           8192LL, 1LL << 34, 1LL << 55, 1LL << 62, (1LL << 62) + 5, INT64_MAX}) {
    const SliceKey key{"a\0b\xff"s, {{number, -1}, {3, number}}};
    const std::string coded = encode_slice_key(key);
    EXPECT_LT(before, coded) << number;
    before = coded;
    const auto back = decode_slice_key(coded);
    ASSERT_TRUE(back) << number;
    EXPECT_EQ(back->name, key.name);
    EXPECT_EQ(back->extents, key.extents) << number;
    for (std::size_t cut = 0; cut < coded.size(); ++cut)
      EXPECT_FALSE(decode_slice_key(std::string_view(coded).substr(0, cut))) << cut;
  }
}

}  // namespace
}  // namespace kilter::tensorflow

#include "formats/pickle/lift.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace kilter::pickle {
namespace {

using namespace std::string_literals;

// numpy.arange(3, dtype='<f4') as numpy 1 writes it under protocol 2 or 3; `data` yields the bytes.
std::string array(const std::string& shape, const std::string& dtype, const std::string& order,
                  const std::string& data, const std::string& fortran = "\x89") {
  return "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85"
         "C\x01"
         "btR(K\x01"s +
         shape + "cnumpy\ndtype\n(U\x02"s + dtype + "\x89\x88tR(K\x03U\x01"s + order +
         "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"s + fortran + data + "tb";
}
const std::string kThreeFloats = "C\x0c\x00\x00\x00\x00\x00\x00\x80\x3f\x00\x00\x00\x40"s;

class VerbatimHooks : public LiftHooks {
 public:
  Result<std::optional<StateId>> lift(Lifter& lifter, NodeId node) override {
    (void)lifter;
    (void)node;
    return std::optional<StateId>();
  }
  std::optional<std::uint32_t> verbatim_file() const override { return 0; }
};

Result<CheckpointData> lift_bytes(const std::string& bytes, LiftHooks* hooks = nullptr) {
  Graph graph;
  const Stream stream = run_stream(as_bytes(bytes), 0, {}, &graph);
  if (stream.error) return fail(*stream.error);
  CheckpointData data;
  data.index.files = {{"x.pkl", bytes.size()}};
  const Status status = lift(graph, stream.result, hooks, &data);
  if (!status) return fail(status.error());
  const Status valid = data.index.validate();
  if (!valid) return fail(valid.error());
  return data;
}

std::vector<std::string> names(const CheckpointData& data) {
  std::vector<std::string> out;
  for (const TensorInfo& tensor : data.index.tensors) out.push_back(tensor.name);
  return out;
}

using Names = std::vector<std::string>;

TEST(Lift, CopiesNumpyBytesOrLeavesThemInTheFile) {
  const std::string bytes = array("K\x03\x85", "f4", "<", kThreeFloats) + ".";
  const auto copied = lift_bytes(bytes);
  ASSERT_TRUE(copied) << copied.error().text();
  ASSERT_EQ(names(*copied), Names{"tensor"});
  EXPECT_EQ(copied->index.tensors[0].dtype, DType::kF32);
  EXPECT_EQ(copied->index.tensors[0].shape, std::vector<std::int64_t>{3});
  const StorageInfo& inlined = copied->index.storages[0];
  ASSERT_EQ(inlined.coding, StorageCoding::kInline);
  EXPECT_EQ(std::memcmp(inlined.inline_bytes->data(), kThreeFloats.data() + 2, 12), 0);

  VerbatimHooks hooks;
  const auto left = lift_bytes(bytes, &hooks);
  ASSERT_TRUE(left) << left.error().text();
  const StorageInfo& raw = left->index.storages[0];
  ASSERT_EQ(raw.coding, StorageCoding::kRaw);
  EXPECT_EQ(bytes.substr(raw.offset_bytes, raw.bytes), kThreeFloats.substr(2));
}

TEST(Lift, ReadsBytesThatWereWrittenAsText) {
  // Protocol 2 in Python 3: _codecs.encode('\x00\xff', 'latin1').
  const std::string data =
      "c_codecs\nencode\nX\x03\x00\x00\x00\x00\xc3\xbfX\x06\x00\x00\x00latin1\x86R"s;
  const auto lifted = lift_bytes(array("K\x01\x85", "u2", "<", data) + ".");
  ASSERT_TRUE(lifted) << lifted.error().text();
  const auto& bytes = *lifted->index.storages.at(0).inline_bytes;
  ASSERT_EQ(bytes.size(), 2U);
  EXPECT_EQ(bytes[1], std::byte{0xff});
}

TEST(Lift, KeepsByteOrderAndFortranOrder) {
  const auto lifted = lift_bytes(array("K\x01K\x03\x86", "f4", ">", kThreeFloats, "\x88") + ".");
  ASSERT_TRUE(lifted) << lifted.error().text();
  EXPECT_TRUE(lifted->index.storages[0].big_endian);
  EXPECT_EQ(lifted->index.tensors[0].strides, (std::vector<std::int64_t>{1, 1}));
  const auto square = lift_bytes(array("K\x03K\x02\x86", "u2", "<", kThreeFloats, "\x88") + ".");
  ASSERT_TRUE(square) << square.error().text();
  EXPECT_EQ(square->index.tensors[0].strides, (std::vector<std::int64_t>{1, 3}));
}

TEST(Lift, RefusesArraysWhoseBytesDoNotFitTheirShape) {
  const auto lifted = lift_bytes(array("K\x04\x85", "f4", "<", kThreeFloats) + ".");
  ASSERT_FALSE(lifted);
  EXPECT_EQ(lifted.error().code, ErrorCode::kMalformed);
  const std::string huge =
      "(\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7ft"s;
  EXPECT_FALSE(lift_bytes(array(huge, "f4", "<", kThreeFloats) + "."));
}

TEST(Lift, KeepsArraysOfTextAsInertObjects) {
  const auto lifted = lift_bytes(array("K\x03\x85", "S4", "|", kThreeFloats) + ".");
  ASSERT_TRUE(lifted) << lifted.error().text();
  EXPECT_TRUE(lifted->index.tensors.empty());
  const StateNode& root = lifted->state[lifted->state.root()];
  EXPECT_EQ(root.kind, StateKind::kObject);
  EXPECT_EQ(root.text, "numpy.core.multiarray._reconstruct");
  EXPECT_NE(root.state, kNoState);
}

TEST(Lift, LooksIntoArraysOfObjects) {
  const std::string a = array("K\x03\x85", "f4", "<", kThreeFloats);
  const auto one = lift_bytes(array(")", "O8", "|", "](}U\x01w" + a + "se") + ".");
  ASSERT_TRUE(one) << one.error().text();
  EXPECT_EQ(names(*one), Names{"w"});
  const StateNode& root = one->state[one->state.root()];
  EXPECT_EQ(root.text, "numpy.ndarray");
  EXPECT_EQ(root.state, kNoState);
  const auto two = lift_bytes(array("K\x02\x85", "O8", "|", "](N" + a + "e") + ".");
  ASSERT_TRUE(two) << two.error().text();
  EXPECT_EQ(names(*two), Names{"1"});
  EXPECT_FALSE(lift_bytes(array("K\x03\x85", "O8", "|", "](N" + a + "e") + "."));
}

TEST(Lift, NamesTensorsByPath) {
  const std::string a = array("K\x03\x85", "f4", "<", kThreeFloats);
  const auto lifted = lift_bytes(
      "}(U\x01m}(U\x01"
      "a" +
      a + "K\x05]" + a + "auU\x01n(" + a + "N" + a + "tu.");
  ASSERT_TRUE(lifted) << lifted.error().text();
  EXPECT_EQ(names(*lifted), (Names{"m.a", "m.5.0", "n.0", "n.2"}));
}

TEST(Lift, GivesSharedTensorsEveryNameAndSaysSo) {
  const std::string a = array("K\x03\x85", "f4", "<", kThreeFloats);
  const auto lifted = lift_bytes(
      "}(U\x01"
      "a" +
      a +
      "q\x01U\x01"
      "bh\x01u.");
  ASSERT_TRUE(lifted) << lifted.error().text();
  EXPECT_EQ(names(*lifted), (Names{"a", "b"}));
  ASSERT_EQ(lifted->ties.size(), 1U);
  EXPECT_EQ(lifted->ties[0], (std::pair<std::string, std::string>{"b", "a"}));
  EXPECT_EQ(lifted->index.storages.size(), 1U);
}

TEST(Lift, KeepsNamesUnique) {
  const std::string a = array("K\x03\x85", "f4", "<", kThreeFloats);
  const auto lifted = lift_bytes(
      "}(U\x01"
      "1" +
      a + "K\x01" + a +
      "U\x03"
      "1#2" +
      a + "u.");
  ASSERT_TRUE(lifted) << lifted.error().text();
  EXPECT_EQ(names(*lifted), (Names{"1", "1#2", "1#2#2"}));
}

TEST(Lift, KeepsEntriesOfOrderedDictsFromEitherPython) {
  const auto three = lift_bytes("ccollections\nOrderedDict\n)R(U\x01kK\x01u}U\x01sK\x02sb."s);
  ASSERT_TRUE(three) << three.error().text();
  EXPECT_EQ(three->state[three->state.root()].text, "collections.OrderedDict");
  EXPECT_EQ(three->state[three->state.find_path({"k"})].integer, 1);
  EXPECT_NE(three->state[three->state.root()].state, kNoState);
  const auto two = lift_bytes(
      "ccollections\nOrderedDict\n(]](U\x01kK\x01"
      "eatR."s);
  ASSERT_TRUE(two) << two.error().text();
  EXPECT_EQ(two->state[two->state.find_path({"k"})].integer, 1);
}

TEST(Lift, LeavesModulePartsOutOfPaths) {
  const std::string a = array("K\x03\x85", "f4", "<", kThreeFloats);
  const std::string empty =
      "U\x0b_parametersccollections\nOrderedDict\n)RU\x08_buffers}U\x08_modules"s;
  const std::string leaf =
      "cmy\nLayer\n)\x81}(U\x0b_parametersccollections\nOrderedDict\n)R(U\x06weight"s + a +
      "uU\x08_buffers}U\x08_modules}ub"s;
  const auto lifted = lift_bytes("cmy\nModel\n)\x81}("s + empty +
                                 "}U\x02"
                                 "fc" +
                                 leaf + "sub.");
  ASSERT_TRUE(lifted) << lifted.error().text();
  EXPECT_EQ(names(*lifted), Names{"fc.weight"});
}

TEST(Lift, KeepsEveryKindOfCallAsAnInertObject) {
  const auto root = [](const std::string& bytes) {
    const auto lifted = lift_bytes(bytes);
    EXPECT_TRUE(lifted);
    return lifted->state[lifted->state.root()];
  };
  EXPECT_EQ(root("cos\nsystem\n(S'id'\ntR.").text, "os.system");
  EXPECT_EQ(root("ccopy_reg\n_reconstructor\n(cmy\nClass\nc__builtin__\nobject\nNtR.").text,
            "my.Class");
  EXPECT_EQ(root("c__builtin__\nset\n(](K\x01K\x02\x65tR."s).kind, StateKind::kSet);
  EXPECT_EQ(root("c__builtin__\nset\n(](K\x01K\x02\x65tR."s).items.size(), 2U);
  EXPECT_EQ(root("c__builtin__\ncomplex\n(F1\nF2\ntR.").kind, StateKind::kComplex);
  EXPECT_EQ(root("cos\n_wrap_close\n.").kind, StateKind::kGlobal);
}

TEST(Lift, SurvivesCyclesAndDepth) {
  EXPECT_TRUE(lift_bytes("]q\x00h\x00\x61."s));
  EXPECT_TRUE(lift_bytes("}q\x00U\x01xh\x00s."s));
  EXPECT_TRUE(lift_bytes("cmy\nNode\n)\x81q\x00}U\x04selfh\x00sb."s));
  EXPECT_TRUE(
      lift_bytes("]q\x00(h\x00tq\x01"
                 "a."s));
  std::string deep;
  for (int i = 0; i < 200000; ++i) deep += "]";
  for (int i = 0; i < 199999; ++i) deep += "a";
  EXPECT_TRUE(lift_bytes(deep + "."));
}

TEST(Lift, BoundsTheExpansionOfSharedContainers) {
  // Each list holds the last one ten times: 10^30 paths lead to the tensor.
  std::string bytes = "](" + array("K\x03\x85", "f4", "<", kThreeFloats) + "e";
  for (int i = 0; i < 30; ++i)
    bytes +=
        "q\x01\x30](" + std::string("h\x01h\x01h\x01h\x01h\x01h\x01h\x01h\x01h\x01h\x01") + "e";
  const auto lifted = lift_bytes(bytes + ".");
  ASSERT_TRUE(lifted) << lifted.error().text();
  EXPECT_LT(lifted->index.tensors.size(), 20000U);
}

TEST(Lift, RefusesToChangeClassesAndPlainValues) {
  const auto global = lift_bytes("cnumpy\nprod\n}b.");
  ASSERT_FALSE(global);
  EXPECT_EQ(global.error().code, ErrorCode::kUnsafe);
  EXPECT_FALSE(lift_bytes("](K\x01K\x02u."s));
}

}  // namespace
}  // namespace kilter::pickle

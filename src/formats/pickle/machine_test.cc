#include "formats/pickle/machine.h"

#include <gtest/gtest.h>

#include <string>

#include "formats/pickle/opcodes.h"

namespace kilter::pickle {
namespace {

using namespace std::string_literals;

struct Ran {
  Graph graph;
  Stream stream;
  std::string text() const { return render(graph, stream.result); }
  const Node& result() const { return graph[stream.result]; }
  bool has(EventKind kind) const {
    for (const Event& event : graph.events) {
      if (event.kind == kind) return true;
    }
    return false;
  }
};

Ran run(const std::string& bytes, const Limits& limits = {}) {
  Ran out;
  out.stream = run_stream(as_bytes(bytes), 0, limits, &out.graph);
  return out;
}

TEST(Machine, ReadsPlainValuesOfEveryTextOpcode) {
  EXPECT_EQ(run("N.").text(), "None");
  EXPECT_EQ(run("I01\n.").text(), "True");
  EXPECT_EQ(run("I00\n.").text(), "False");
  EXPECT_EQ(run("I1\n.").text(), "1");
  EXPECT_EQ(run("I-0x10\n.").text(), "-16");
  EXPECT_EQ(run("L12345678901234567890123L\n.").text(), "12345678901234567890123");
  EXPECT_EQ(run("F-1.5e3\n.").text(), "-1500.0");
  EXPECT_EQ(run("S'a\\x41\\n\\101'\n.").text(), "'aA\\nA'");
  EXPECT_EQ(run("Vcaf\xe9 \\u20ac\\\\u0041\n.").text(), "'café €\\\\\\\\u0041'");
  EXPECT_EQ(run("(I1\nI2\ntp0\n.").text(), "(1, 2)");
  EXPECT_EQ(run("(lp0\nI1\naI2\na.").text(), "[1, 2]");
  EXPECT_EQ(run("(dp0\nS'k'\nI1\ns.").text(), "{'k': 1}");
  EXPECT_EQ(run("(S'a'\nI1\nd.").text(), "{'a': 1}");
  EXPECT_EQ(run("Pstorage 7\n.").text(), "persistent_load('storage 7')");
}

TEST(Machine, ReadsPlainValuesOfEveryBinaryOpcode) {
  EXPECT_EQ(run("J\xff\xff\xff\xff."s).text(), "-1");
  EXPECT_EQ(run("K\x07."s).text(), "7");
  EXPECT_EQ(run("M\x00\x01."s).text(), "256");
  EXPECT_EQ(run("\x8a\x00."s).text(), "0");
  EXPECT_EQ(run("\x8a\x01\xff."s).text(), "-1");
  EXPECT_EQ(run("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."s).text(), "18446744073709551616");
  EXPECT_EQ(run("\x8b\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff."s).text(),
            "-18446744073709551616");
  EXPECT_EQ(run("G\x3f\xf0\x00\x00\x00\x00\x00\x00."s).text(), "1.0");
  EXPECT_EQ(run("\x88."s).text(), "True");
  EXPECT_EQ(run("\x89."s).text(), "False");
  EXPECT_EQ(run("T\x02\x00\x00\x00hi."s).text(), "'hi'");
  EXPECT_EQ(run("U\x02hi."s).text(), "'hi'");
  EXPECT_EQ(run("U\x02\xff\x00."s).text(), "b'\\xff\\x00'");
  EXPECT_EQ(run("X\x02\x00\x00\x00hi."s).text(), "'hi'");
  EXPECT_EQ(run("\x8c\x02hi."s).text(), "'hi'");
  EXPECT_EQ(run("\x8d\x02\x00\x00\x00\x00\x00\x00\x00hi."s).text(), "'hi'");
  EXPECT_EQ(run("B\x02\x00\x00\x00hi."s).text(), "b'hi'");
  EXPECT_EQ(run("C\x02hi."s).text(), "b'hi'");
  EXPECT_EQ(run("\x8e\x02\x00\x00\x00\x00\x00\x00\x00hi."s).text(), "b'hi'");
  EXPECT_EQ(run("\x96\x02\x00\x00\x00\x00\x00\x00\x00hi."s).text(), "bytearray(b'hi')");
  EXPECT_EQ(run(")."s).text(), "()");
  EXPECT_EQ(run("K\x01\x85."s).text(), "(1,)");
  EXPECT_EQ(run("K\x01K\x02\x86."s).text(), "(1, 2)");
  EXPECT_EQ(run("K\x01K\x02K\x03\x87."s).text(), "(1, 2, 3)");
  EXPECT_EQ(run("](K\x01K\x02\x65."s).text(), "[1, 2]");
  EXPECT_EQ(run("}(K\x01K\x02u."s).text(), "{1: 2}");
  EXPECT_EQ(run("\x8f(K\x01\x90."s).text(), "{1}");
  EXPECT_EQ(run("(K\x01\x91."s).text(), "frozenset({1})");
  EXPECT_EQ(run("K\x01Q."s).text(), "persistent_load(1)");
}

TEST(Machine, KeepsVeryLongIntegersAsHexadecimal) {
  std::string bytes = "\x8b\x00\x10\x00\x00"s + std::string(4095, '\xff') + "\x7f.";
  const Ran ran = run(bytes);
  ASSERT_EQ(ran.result().kind, NodeKind::kBigInt);
  EXPECT_EQ(ran.result().text.substr(0, 6), "0x7fff");
  EXPECT_EQ(ran.result().text.size(), 2 + 2 * 4096U);
}

TEST(Machine, KeepsCallsAsDataInEveryForm) {
  EXPECT_EQ(run("cos\nsystem\n(S'id'\ntR.").text(), "os.system('id')");
  EXPECT_EQ(run("(S'id'\nios\nsystem\n.").text(), "os.system('id')");
  EXPECT_EQ(run("(cos\nsystem\nS'id'\no.").text(), "os.system('id')");
  EXPECT_EQ(run("cos\nsystem\nS'id'\n\x85\x81.").text(), "os.system('id')");
  EXPECT_EQ(run("cos\nsystem\nS'id'\n\x85}\x92.").text(), "os.system('id', **{})");
  EXPECT_EQ(run("\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R."s).text(), "os.system('id')");
  EXPECT_EQ(run("c__builtin__\nreduce\n.").text(), "functools.reduce");
}

TEST(Machine, RecordsWhereThingsHappen) {
  const Ran ran = run("cos\nsystem\n(S'id'\ntRN0.");
  ASSERT_EQ(ran.graph.events.size(), 2U);
  EXPECT_EQ(ran.graph.events[0].kind, EventKind::kGlobal);
  EXPECT_EQ(ran.graph.events[0].offset_bytes, 0U);
  EXPECT_EQ(ran.graph.events[1].kind, EventKind::kCall);
  EXPECT_EQ(ran.graph.events[1].offset_bytes, 19U);
  EXPECT_EQ(ran.result().call_opcode, kOpReduce);
}

TEST(Machine, CountsMemoSlotsAsUnpicklersDo) {
  // MEMOIZE stores at the number of entries, even where PUT left holes.
  EXPECT_EQ(run("K\x01q\x05K\x02\x94h\x01."s).text(), "2");
  EXPECT_EQ(run("K\x07r\xff\xff\xff\xff\x30j\xff\xff\xff\xff."s).text(), "7");
  EXPECT_EQ(run("I7\np4294967296\n0g4294967296\n.").text(), "7");
  const Ran missing = run("h\x03."s);
  ASSERT_TRUE(missing.stream.error);
  EXPECT_TRUE(missing.has(EventKind::kStackFault));
}

TEST(Machine, PopsMarksAndValuesFromOneStack) {
  EXPECT_EQ(run("K\x01(0."s).text(), "1");
  EXPECT_EQ(run("K\x01(K\x02K\x03\x31."s).text(), "1");
  EXPECT_EQ(run("K\x01K\x02\x32\x86."s).text(), "(2, 2)");
  EXPECT_TRUE(run("K\x01(."s).stream.error) << "STOP may not reach below a mark";
  EXPECT_TRUE(run("0."s).stream.error);
  EXPECT_TRUE(run("\x31."s).stream.error);
}

TEST(Machine, EnforcesFrames) {
  EXPECT_FALSE(run("\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00N."s).has(EventKind::kFrameFault));
  // An argument that straddles the frame's end.
  EXPECT_TRUE(
      run("\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00\x8c\x02hi."s).has(EventKind::kFrameFault));
  EXPECT_TRUE(run("\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00N."s).has(EventKind::kFrameFault));
  EXPECT_TRUE(
      run("\x80\x04\x95\x09\x00\x00\x00\x00\x00\x00\x00N.N.N.N.N."s).has(EventKind::kFrameFault));
}

TEST(Machine, BreaksAtEveryTruncation) {
  const std::string whole =
      "\x80\x04\x95\x19\x00\x00\x00\x00\x00\x00\x00}\x94("
      "\x8c\x01"
      "a\x94G\x3f\xf0\x00\x00\x00\x00\x00\x00"
      "\x8c\x01"
      "b\x94"
      "C\x01zu."s;
  ASSERT_FALSE(run(whole).stream.error);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Ran ran = run(whole.substr(0, size));
    ASSERT_TRUE(ran.stream.error) << size;
    EXPECT_FALSE(ran.stream.stopped) << size;
    EXPECT_LE(ran.stream.end_bytes, size);
  }
}

TEST(Machine, RefusesLengthsBeyondTheEnd) {
  for (const std::string& bytes :
       {"B\xff\xff\xff\xffx."s, "T\xff\xff\xff\xffx."s, "X\xff\xff\xff\x7fx."s,
        "\x8e\xff\xff\xff\xff\xff\xff\xff\xffx."s, "\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx."s,
        "\x96\xff\xff\xff\xff\xff\xff\xff\xffx."s, "\x8b\xff\xff\xff\xffx."s}) {
    const Ran ran = run(bytes);
    ASSERT_TRUE(ran.stream.error);
    EXPECT_EQ(ran.stream.error->code, ErrorCode::kMalformed);
  }
}

TEST(Machine, StopsAtEachBudget) {
  Limits limits;
  limits.node_count_max = 3;
  EXPECT_EQ(run("]]]]]].", limits).stream.error->code, ErrorCode::kLimitExceeded);
  limits = {};
  limits.text_bytes_max = 4;
  EXPECT_EQ(run("U\x05hello."s, limits).stream.error->code, ErrorCode::kLimitExceeded);
  limits = {};
  limits.memo_count_max = 1;
  EXPECT_EQ(run("Nq\x01q\x02."s, limits).stream.error->code, ErrorCode::kLimitExceeded);
  limits = {};
  limits.stack_depth_max = 2;
  EXPECT_EQ(run("NNN.", limits).stream.error->code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(run("(((.", limits).stream.error->code, ErrorCode::kLimitExceeded);
  limits = {};
  limits.opcode_count_max = 2;
  EXPECT_EQ(run("N0N.", limits).stream.error->code, ErrorCode::kLimitExceeded);
}

TEST(Machine, KeepsLaterAdditionsOnObjects) {
  const Ran ran = run("ccollections\nOrderedDict\n)R(S'a'\nI1\nuI5\na}b.");
  const Node& call = ran.result();
  ASSERT_EQ(call.kind, NodeKind::kCall);
  EXPECT_EQ(call.set_items.size(), 2U);
  EXPECT_EQ(call.appended.size(), 1U);
  EXPECT_EQ(call.states.size(), 1U);
  EXPECT_TRUE(ran.has(EventKind::kSetItemOnObject));
}

TEST(Machine, NamesComputedAtLoadTimeAreEvents) {
  EXPECT_TRUE(run("cbuiltins\nstr\n)RS'system'\n\x93."s).has(EventKind::kComputedName));
  EXPECT_TRUE(run("\x82\x05."s).has(EventKind::kExtension));
  EXPECT_TRUE(run("\x97\x98."s).has(EventKind::kBuffer));
  EXPECT_TRUE(run("\xff."s).has(EventKind::kUnknownOpcode));
}

TEST(Machine, RendersCyclesAndDepthWithinBounds) {
  EXPECT_LE(render(run("]q\x00h\x00\x61."s).graph, 0, 50).size(), 60U);
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "]";
  for (int i = 0; i < 99999; ++i) deep += "a";
  const Ran ran = run(deep + ".");
  ASSERT_FALSE(ran.stream.error);
  EXPECT_NE(ran.text().find("…"), std::string::npos);
}

TEST(Machine, LocatesPayloadsInTheFile) {
  const std::string bytes =
      "\x80\x03"
      "B\x03\x00\x00\x00"
      "abc."s;
  Graph graph;
  const Stream stream = run_stream(as_bytes(bytes), 1000, {}, &graph);
  EXPECT_EQ(payload_offset(graph[stream.result]), 1007U);
  EXPECT_EQ(stream.end_bytes, 1011U);
}

}  // namespace
}  // namespace kilter::pickle

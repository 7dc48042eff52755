#include "base/protobuf.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace kilter {
namespace {

using namespace std::string_literals;

std::vector<ProtoField> fields_of(const std::string& message) {
  std::vector<ProtoField> out;
  ProtoReader reader(as_bytes(message));
  while (!reader.done()) {
    const auto field = reader.next();
    EXPECT_TRUE(field) << field.error().text();
    if (!field) break;
    out.push_back(*field);
  }
  return out;
}

std::string fault_of(const std::string& message) {
  ProtoReader reader(as_bytes(message), 100);
  while (!reader.done()) {
    const auto field = reader.next();
    if (field) continue;
    EXPECT_EQ(field.error().code, ErrorCode::kMalformed);
    EXPECT_GE(field.error().offset_bytes.value_or(0), 100U);
    return field.error().message;
  }
  return "";
}

TEST(Protobuf, ReadsEveryWireType) {
  const std::string message =
      "\x08\x96\x01\x11\1\2\3\4\5\6\7\x08\x1a\3abc\x25\1\0\0\x80\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"s;
  const auto fields = fields_of(message);
  ASSERT_EQ(fields.size(), 5U);
  EXPECT_TRUE(fields[0].is(1, WireType::kVarint));
  EXPECT_EQ(fields[0].value, 150U);
  EXPECT_TRUE(fields[1].is(2, WireType::kFixed64));
  EXPECT_EQ(fields[1].value, 0x0807060504030201U);
  EXPECT_TRUE(fields[2].is(3, WireType::kBytes));
  EXPECT_EQ(fields[2].text(), "abc");
  EXPECT_EQ(fields[2].offset_bytes, 14U);
  EXPECT_TRUE(fields[3].is(4, WireType::kFixed32));
  EXPECT_EQ(fields[3].value, 0x80000001U);
  EXPECT_EQ(fields[4].integer(), -1);
}

TEST(Protobuf, RefusesWhatCannotBe) {
  EXPECT_EQ(fault_of("\x0a\5abc"), "the data ends too early");
  EXPECT_EQ(fault_of("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), "the data ends too early");
  EXPECT_EQ(fault_of("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\2"),
            "a number of more than 64 bits");
  EXPECT_EQ(fault_of("\x08\x80"), "the data ends too early");
  EXPECT_EQ(fault_of("\x0b"), "a field of a kind that is not read");
  EXPECT_EQ(fault_of("\2"), "a field without a number");
}

}  // namespace
}  // namespace kilter

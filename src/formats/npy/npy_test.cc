#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>

#include "kilter/checkpoint.h"

#include "formats/format.h"
#include "formats/npy/literal.h"
#include "formats/npy/npy_formats.h"
#include "formats/npy/npy_header.h"
#include "formats/npy/npz_sink.h"
#include "formats/state_json/state_json.h"
#include "formats/test_files.h"

namespace kilter::npy {
namespace {

using formats::test::ScratchFolder;
using namespace std::string_view_literals;

/// A .npy of this version and literal.
std::string npy_file(std::string_view literal, std::string_view data, int major = 1) {
  std::string out(kMagic);
  out += static_cast<char>(major);
  out += '\0';
  const std::size_t length_bytes = major == 1 ? 2 : 4;
  for (std::size_t i = 0; i < length_bytes; ++i)
    out += static_cast<char>(literal.size() >> (8 * i) & 0xff);
  return out.append(literal).append(data);
}

std::string literal(std::string_view descr, std::string_view shape, bool fortran = false) {
  return fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}\n", descr,
                     fortran ? "True" : "False", shape);
}

class Npy : public ::testing::Test {
 protected:
  Result<Checkpoint> open(std::string_view content) {
    return open_checkpoint(folder_.put("a.npy", content));
  }
  ScratchFolder folder_;
};

TEST_F(Npy, ReadsEveryVersion) {
  for (const int major : {1, 2, 3}) {
    const auto opened = open(npy_file(literal("<i2", "(2,)"), "\1\0\2\0"sv, major));
    ASSERT_TRUE(opened) << opened.error().text();
    ASSERT_EQ(opened->tensors().size(), 1U);
    EXPECT_EQ(opened->tensors()[0].name, "tensor");
    EXPECT_EQ(as_text(Bytes(*opened->read_tensor("tensor"))), "\1\0\2\0"sv);
  }
}

TEST_F(Npy, TurnsFortranOrderAndByteOrder) {
  const auto opened = open(npy_file(literal(">i2", "(2, 3)", true), "\0\1\0\2\0\3\0\4\0\5\0\6"sv));
  ASSERT_TRUE(opened) << opened.error().text();
  EXPECT_EQ(opened->tensors()[0].strides, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(as_text(Bytes(*opened->read_tensor("tensor"))), "\1\0\3\0\5\0\2\0\4\0\6\0"sv);
}

TEST_F(Npy, KnowsNumpysDtypes) {
  const std::pair<const char*, DType> rows[] = {
      {"|b1", DType::kBool}, {"<f2", DType::kF16},    {"=f4", DType::kF32}, {"<c16", DType::kC128},
      {"|V2", DType::kV2},   {"<f1", DType::kF8E5M2}, {"<u8", DType::kU64}, {"|i1", DType::kI8}};
  for (const auto& [descr, dtype] : rows) {
    const auto opened =
        open(npy_file(literal(descr, "()"), std::string(dtype_row(dtype).bits / 8, '\1')));
    ASSERT_TRUE(opened) << descr << opened.error().text();
    EXPECT_EQ(opened->tensors()[0].dtype, dtype) << descr;
  }
}

TEST_F(Npy, NamesWhatTensorsDoNotHave) {
  for (const char* descr : {"<U5", "|S3", "<M8[ns]", "<f16"}) {
    const auto opened = open(npy_file(literal(descr, "(1,)"), std::string(20, '\0')));
    ASSERT_TRUE(opened) << opened.error().text();
    EXPECT_TRUE(opened->tensors().empty());
    ASSERT_EQ(opened->data().findings.size(), 1U);
    EXPECT_EQ(opened->data().findings[0].rule, "npy.unsupported-dtype");
    EXPECT_EQ(opened->data().state[opened->data().state.root()].text, "numpy.ndarray");
  }
  const auto fields = open(npy_file(
      "{'descr': [('a', '<f4'), ('b', '<i4', (2,))], 'fortran_order': False, 'shape': (1,)}",
      std::string(12, '\0')));
  ASSERT_TRUE(fields) << fields.error().text();
  EXPECT_EQ(fields->data().findings.size(), 1U);
}

TEST_F(Npy, RefusesMalformedHeaders) {
  const std::string_view bad[] = {
      "",
      "{",
      "{}",
      "{'descr': '<f4', 'fortran_order': False}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
      "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
      "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': [1]}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x",
      "{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,)}",
      "{'descr': [(']', 'fortran_order': False, 'shape': (1,)}",
      "{'descr': [}, 'fortran_order': False, 'shape': (1,)}",
  };
  for (const auto text : bad) {
    const auto opened = open(npy_file(text, "\0\0\0\0"sv));
    ASSERT_FALSE(opened) << text;
    EXPECT_EQ(opened.error().code, ErrorCode::kMalformed) << text;
    EXPECT_NE(opened.error().path, "") << text;
    // The row itself says where, too: whoever calls it without the front door gets a path.
    const std::string path = folder_.path("a.npy");
    const auto probe = formats::make_probe(io::real_file_system(), path);
    const auto direct = formats::npy_format().open({&io::real_file_system(), path, &*probe, {}});
    ASSERT_FALSE(direct) << text;
    EXPECT_EQ(direct.error().path, path) << text;
  }
  EXPECT_FALSE(open(npy_file(literal("<f4", "()"), "\0\0\0\0"sv, 4)));
  std::string deep(100'000, '[');
  EXPECT_FALSE(open(npy_file("{'descr': " + deep, "", 2)));
}

TEST_F(Npy, SaysHowMuchIsMissing) {
  const auto opened = open(npy_file(literal("<f4", "(3,)"), "\0\0\0\0\0"sv));
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().text().find("7 bytes are missing"), std::string::npos)
      << opened.error().text();
}

TEST_F(Npy, FlagsBytesBehindTheArray) {
  const std::string path = folder_.put("a.npy", npy_file(literal("|u1", "(1,)"), "\0trailing"sv));
  const auto probe = formats::make_probe(io::real_file_system(), path);
  std::vector<Finding> findings;
  ASSERT_TRUE(
      formats::npy_format().scan({&io::real_file_system(), path, &*probe, true, {}}, &findings));
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].rule, "npy.trailing-bytes");
}

PlanOutput output(std::string name, DType dtype, std::vector<std::int64_t> shape,
                  std::uint64_t bytes) {
  PlanOutput out;
  out.name = std::move(name);
  out.dtype = dtype;
  out.shape = std::move(shape);
  out.bytes = bytes;
  return out;
}

/// Puts the file together as the engine would; every output is filled with its number.
std::string assemble(Sink& sink, const Plan& plan, std::string* state) {
  auto files = sink.layout(plan);
  EXPECT_TRUE(files) << files.error().text();
  std::string last;
  for (std::size_t f = 0; f < files->size(); ++f) {
    if (f + 1 < files->size()) *state = (*files)[f].segments.at(0).literal;
    OutputChecksums crcs(plan.outputs.size());
    last.clear();
    for (const Segment& segment : (*files)[f].segments) {
      std::string part = segment.literal;
      if (segment.kind == SegmentKind::kOutput) {
        part.assign(segment.bytes, static_cast<char>('0' + segment.index));
        crcs[segment.index] = static_cast<std::uint32_t>(
            crc32(0, reinterpret_cast<const Bytef*>(part.data()), static_cast<uInt>(part.size())));
      } else if (segment.kind == SegmentKind::kLate) {
        part.resize(segment.bytes);
        EXPECT_TRUE(
            sink.fill_late(f, segment.index, crcs, std::as_writable_bytes(std::span(part))));
      }
      EXPECT_EQ(part.size(), segment.bytes);
      last += part;
    }
  }
  return last;
}

class Npz : public Npy {};

TEST_F(Npz, WritesWhatItReads) {
  Plan plan;
  plan.outputs = {output("a/b.c", DType::kF32, {2, 1}, 8), output("ü", DType::kBF16, {}, 2),
                  output("e", DType::kI64, {0, 3}, 0), output("f8", DType::kF8E4M3FN, {3}, 3),
                  output("f4", DType::kF4E2M1, {2, 3}, 3)};
  formats::WriteOptions options;
  const StateTree empty;
  options.state = &empty;
  auto sink = make_npz_sink(options);
  std::string state;
  const std::string content = assemble(*sink, plan, &state);
  folder_.put("m.state.json", state);
  const std::string path = folder_.put("m.npz", content);
  const auto opened = open_checkpoint(path);
  ASSERT_TRUE(opened) << opened.error().text();
  for (const Finding& finding : opened->data().findings)
    ADD_FAILURE() << finding.rule << ": " << finding.message << " " << finding.evidence;
  ASSERT_EQ(opened->tensors().size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(opened->tensors()[i].name, plan.outputs[i].name);
    EXPECT_EQ(opened->tensors()[i].dtype, plan.outputs[i].dtype);
    EXPECT_EQ(opened->tensors()[i].shape, plan.outputs[i].shape);
    const auto bytes = opened->read_tensor(plan.outputs[i].name);
    ASSERT_TRUE(bytes) << bytes.error().text();
    EXPECT_EQ(as_text(Bytes(*bytes)),
              std::string(plan.outputs[i].bytes, static_cast<char>('0' + i)));
    EXPECT_EQ(opened->data().index.storages[i].offset_bytes % 64, 0U);
  }
  const auto probe = formats::make_probe(io::real_file_system(), path);
  std::vector<Finding> findings;
  ASSERT_TRUE(
      formats::npz_format().check({&io::real_file_system(), path, &*probe, true, {}}, &findings));
  for (const Finding& finding : findings)
    ADD_FAILURE() << finding.rule << ": " << finding.message << " " << finding.evidence;
}

TEST_F(Npz, NamesTheArrayThatIsDamaged) {
  Plan plan;
  plan.outputs = {output("a", DType::kU8, {8}, 8), output("b", DType::kU8, {8}, 8)};
  auto sink = make_npz_sink({});
  std::string unused, content = assemble(*sink, plan, &unused);
  content[content.find("11111111")] = '2';
  const std::string path = folder_.put("m.npz", content);
  const auto probe = formats::make_probe(io::real_file_system(), path);
  std::vector<Finding> findings;
  ASSERT_TRUE(
      formats::npz_format().check({&io::real_file_system(), path, &*probe, true, {}}, &findings));
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].tensor, "b");
}

TEST_F(Npz, WithstandsTruncationAtEveryByte) {
  Plan plan;
  plan.outputs = {output("a", DType::kU8, {8}, 8), output("b", DType::kF32, {2}, 8)};
  auto sink = make_npz_sink({});
  std::string unused;
  const std::string content = assemble(*sink, plan, &unused);
  for (std::size_t size = 0; size < content.size(); ++size) {
    const auto opened = open_checkpoint(folder_.put("cut.npz", content.substr(0, size)));
    ASSERT_FALSE(opened) << size;
    EXPECT_NE(opened.error().path, "") << size;
    OpenOptions lenient;
    lenient.lenient = true;
    const auto rescued = open_checkpoint(folder_.path("cut.npz"), lenient);
    if (rescued && size >= content.find("11111111")) {
      EXPECT_EQ(rescued->tensors().at(0).name, "a") << size;
    }
  }
}

TEST_F(Npz, OpensTheRealFiles) {
  const auto root = formats::test::real_data();
  if (!root) GTEST_SKIP() << "no real files here: set KILTER_REAL_DATA";
  const std::pair<const char*, std::size_t> files[] = {
      {"npz/candle_test.npy", 1}, {"npz/candle_test.npz", 2}, {"npz/whisper_mel_filters.npz", 2}};
  for (const auto& [name, count] : files) {
    const auto opened = open_checkpoint(*root + "/" + name);
    ASSERT_TRUE(opened) << opened.error().text();
    EXPECT_EQ(opened->tensors().size(), count) << name;
    EXPECT_TRUE(opened->data().findings.empty()) << name << opened->data().findings[0].message;
    for (const TensorInfo& tensor : opened->tensors())
      EXPECT_TRUE(opened->read_tensor(tensor.name)) << tensor.name;
  }
  const auto objects = open_checkpoint(*root + "/npy_object/facenet_det1.npy");
  ASSERT_TRUE(objects) << objects.error().text();
  EXPECT_GT(objects->tensors().size(), 5U);
  EXPECT_TRUE(objects->data().index.find("conv1.weights")) << objects->tensors()[0].name;
  EXPECT_TRUE(objects->read_tensor(objects->tensors()[0].name));
  const auto notes = open_checkpoint(*root + "/npz/basicpitch_note_events.npz");
  ASSERT_TRUE(notes) << notes.error().text();
  EXPECT_NE(notes->data().state.find_path({"arr_0"}), kNoState);
}

}  // namespace
}  // namespace kilter::npy

#include "formats/torch/zip_reader.h"

#include <gtest/gtest.h>

#include "flow/source.h"
#include "formats/torch/assemble.h"
#include "formats/torch/torch_test_support.h"

namespace kilter::torch {
namespace {

using zip::has_rule;
using zip::rules_of;
using zip::worst;

Opened zip_file(const std::string& bytes) { return Opened(formats::torch_zip_format(), bytes); }
Opened zip_file(const zip::ZipBuilder& builder) { return zip_file(builder.build()); }

const Finding* finding_about(const std::vector<Finding>& findings, std::string_view rule) {
  for (const Finding& finding : findings)
    if (finding.rule == rule) return &finding;
  return nullptr;
}

TEST(TorchZip, OpensTensorsAndMetadata) {
  const auto opened = zip_file(torch_zip(pickle_of(two_tensors())));
  const auto data = opened.open();
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_EQ(data->format_detail, "zip, version 3, little-endian, protocol 2");
  EXPECT_EQ(rules_of(data->findings), "");
  ASSERT_EQ(data->index.tensors.size(), 2U);
  EXPECT_EQ(read_floats(opened, *data, "w"), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(read_floats(opened, *data, "b"), (std::vector<float>{7, 8, 9}));
  EXPECT_EQ(opened.check().size(), 0U);
  EXPECT_EQ(opened.scan().size(), 0U) << rules_of(opened.scan());
  EXPECT_GT(formats::torch_zip_format().detect(opened.probe).score, 90);
}

TEST(TorchZip, ReadsViewsOfOneStorage) {
  const auto opened = zip_file(
      torch_zip(pickle_of({{"t", {"0", 6, {3, 2}, {1, 3}}}, {"part", {"0", 6, {2}, {2}, 1}}})));
  const auto data = opened.open();
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_EQ(data->index.storages.size(), 1U);
  EXPECT_EQ(read_floats(opened, *data, "t"), (std::vector<float>{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(read_floats(opened, *data, "part"), (std::vector<float>{2, 4}));
}

TEST(TorchZip, ReadsDeflatedStorages) {
  auto builder = torch_zip(pickle_of(two_tensors()));
  for (zip::TestMember& member : builder.members) member.method = 8;
  const auto opened = zip_file(builder);
  const auto data = opened.open();
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_EQ(data->index.storages[0].coding, StorageCoding::kDeflate);
  EXPECT_EQ(read_floats(opened, *data, "b"), (std::vector<float>{7, 8, 9}));
}

TEST(TorchZip, ReadsBigEndianStorages) {
  auto builder = torch_zip(pickle_of({{"b", {"1", 3, {3}, {1}}}}));
  builder.members[1].data = "big";
  for (std::size_t i = 0; i < 3; ++i)
    std::reverse(builder.members[3].data.begin() + static_cast<std::ptrdiff_t>(4 * i),
                 builder.members[3].data.begin() + static_cast<std::ptrdiff_t>(4 * i + 4));
  const auto opened = zip_file(builder);
  const auto data = opened.open();
  ASSERT_TRUE(data);
  EXPECT_EQ(read_floats(opened, *data, "b"), (std::vector<float>{7, 8, 9}));
}

TEST(TorchZip, TakesAMissingByteOrderForLittleAndReportsALie) {
  auto builder = torch_zip(pickle_of(two_tensors()));
  builder.members[1].data = "middle";
  EXPECT_TRUE(has_rule(zip_file(builder).open()->findings, "torch.byteorder"));
  builder.members.erase(builder.members.begin() + 1);
  const auto data = zip_file(builder).open();
  ASSERT_TRUE(data);
  EXPECT_EQ(rules_of(data->findings), "");
  EXPECT_FALSE(data->index.storages[0].big_endian);
}

TEST(TorchZip, NamesTheTensorOfAMissingStorage) {
  auto builder = torch_zip(pickle_of(two_tensors()));
  builder.members.erase(builder.members.begin() + 3);
  const auto opened = zip_file(builder);
  const auto strict = opened.open();
  ASSERT_FALSE(strict);
  EXPECT_EQ(strict.error().code, ErrorCode::kMalformed);
  EXPECT_EQ(strict.error().tensor, "b");
  const auto lenient = opened.open(true);
  ASSERT_TRUE(lenient) << lenient.error().text();
  ASSERT_EQ(lenient->index.tensors.size(), 1U);
  EXPECT_EQ(lenient->index.tensors[0].name, "w");
  const StateNode& lost = lenient->state[lenient->state.find_path({"b"})];
  EXPECT_EQ(lost.text, kLostTensor);
  const auto* finding = finding_about(opened.check(), "torch.storage-missing");
  EXPECT_NE(finding, nullptr);
}

TEST(TorchZip, NamesTheTensorOfAStorageThatIsTooShort) {
  auto builder = torch_zip(pickle_of(two_tensors()));
  builder.members[3].data.resize(8);
  const auto opened = zip_file(builder);
  const auto strict = opened.open();
  ASSERT_FALSE(strict);
  EXPECT_EQ(strict.error().tensor, "b");
  EXPECT_EQ(strict.error().expected, "12 bytes");
  EXPECT_EQ(strict.error().found, "8 bytes");
  const auto findings = opened.scan();
  const auto* finding = finding_about(findings, "torch.storage-size");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->tensor, "b");
  EXPECT_EQ(finding->severity, Severity::kMalformed);
}

TEST(TorchZip, SuspectsBytesThatAStorageHides) {
  auto builder = torch_zip(pickle_of(two_tensors()));
  builder.members[3].data += "more bytes than the pickle states";
  const auto opened = zip_file(builder);
  const auto data = opened.open();
  ASSERT_TRUE(data);
  EXPECT_TRUE(has_rule(data->findings, "torch.storage-size"));
  EXPECT_EQ(data->index.storages[1].bytes, 12U);
}

TEST(TorchZip, RefusesViewsOutsideTheirStorage) {
  for (const TestTensor& tensor : std::vector<TestTensor>{{"0", 6, {7}, {1}},
                                                          {"0", 6, {2, 3}, {4, 1}},
                                                          {"0", 6, {1}, {1}, 6},
                                                          {"0", 6, {INT64_MAX, INT64_MAX}, {1, 1}},
                                                          {"0", 6, {2}, {INT64_MAX}},
                                                          {"0", 6, {2}, {-1}},
                                                          {"0", 6, {-2}, {1}},
                                                          {"0", INT64_MAX, {6}, {1}}}) {
    const auto opened = zip_file(torch_zip(pickle_of({{"w", tensor}})));
    const auto data = opened.open();
    ASSERT_FALSE(data);
    EXPECT_EQ(data.error().code, ErrorCode::kMalformed) << data.error().text();
    EXPECT_FALSE(data.error().path.empty());
    EXPECT_TRUE(opened.open(true)) << "lenient";
    EXPECT_GE(worst(opened.scan()), Severity::kMalformed);
  }
}

TEST(TorchZip, NamesTheTensorAFlippedBitHits) {
  std::string bytes = torch_zip(pickle_of(two_tensors())).build();
  bytes[bytes.find(kStorage1) + 5] ^= 4;
  const auto findings = zip_file(bytes).check();
  ASSERT_EQ(findings.size(), 1U) << rules_of(findings);
  EXPECT_EQ(findings[0].rule, "torch.storage-corrupt");
  EXPECT_EQ(findings[0].tensor, "b");
  EXPECT_EQ(findings[0].path, "/m.pt!m/data/1");
}

TEST(TorchZip, OpensWhatIsIntactOfACutOffFile) {
  const std::string bytes = torch_zip(pickle_of(two_tensors())).build();
  const auto opened = zip_file(bytes.substr(0, bytes.find(kStorage1) + 4));
  EXPECT_GT(formats::torch_zip_format().detect(opened.probe).score, 50);
  const auto strict = opened.open();
  ASSERT_FALSE(strict);
  EXPECT_EQ(strict.error().code, ErrorCode::kMalformed);
  const auto data = opened.open(true);
  ASSERT_TRUE(data) << data.error().text();
  ASSERT_EQ(data->index.tensors.size(), 1U);
  EXPECT_EQ(read_floats(opened, *data, "w"), (std::vector<float>{1, 2, 3, 4, 5, 6}));
}

TEST(TorchZip, FailsCleanlyAtEveryTruncation) {
  const std::string bytes = torch_zip(pickle_of(two_tensors())).build();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto opened = zip_file(bytes.substr(0, size));
    const auto strict = opened.open();
    ASSERT_FALSE(strict) << size;
    EXPECT_EQ(strict.error().path.substr(0, 5), "/m.pt") << size;
    (void)opened.open(true);
    EXPECT_GE(worst(opened.check()), Severity::kMalformed) << size;
  }
}

TEST(TorchZip, SurvivesEveryByteSetToItsExtremes) {
  const std::string bytes = torch_zip(pickle_of(two_tensors())).build();
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const char value : {'\0', '\xff', '\x80'}) {
      std::string changed = bytes;
      changed[at] = value;
      const auto opened = zip_file(changed);
      (void)opened.open();
      const auto lenient = opened.open(true);
      EXPECT_TRUE(!lenient || lenient->index.validate()) << at;
      (void)opened.scan();
    }
  }
}

TEST(TorchZip, ReportsSeveralPicklesAndStrangers) {
  auto builder = torch_zip(pickle_of(two_tensors()));
  builder.add("other/data.pkl", pickle_of({})).add("m/notes.txt", "hello");
  const auto data = zip_file(builder).open();
  ASSERT_TRUE(data);
  EXPECT_TRUE(has_rule(data->findings, "torch.several-pickles"));
  EXPECT_TRUE(has_rule(data->findings, "torch.extra-member"));
}

TEST(TorchZip, FindsDangerInThePickle) {
  const std::string payload = std::string("\x80\x02", 2) + "cos\nsystem\nU\x02id\x85R.";
  const auto opened = zip_file(torch_zip(payload));
  EXPECT_EQ(worst(opened.scan()), Severity::kDangerous);
  const auto data = opened.open();  // as data: nothing is run
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_EQ(data->state[data->state.root()].text, "os.system");
}

TEST(TorchZip, OpensTorchScriptWithItsCode) {
  auto builder = torch_zip(pickle_of({{"w", {"0", 6, {6}, {1}}}}));
  builder.add("m/constants.pkl", pickled([](PickleWriter* p) {
                p->mark();
                write_tensor(p, {"0", 3, {3}, {1}});
                p->tuple();
              }));
  builder.add("m/constants/0", kStorage1).add("m/code/__torch__.py", "def forward(self): ...\n");
  builder.add("m/extra/note.txt", "hello");
  const auto opened = zip_file(builder);
  const auto data = opened.open();
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_TRUE(data->format_detail.starts_with("TorchScript")) << data->format_detail;
  EXPECT_EQ(read_floats(opened, *data, "constants.0"), (std::vector<float>{7, 8, 9}));
  EXPECT_EQ(read_floats(opened, *data, "w"), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  ASSERT_EQ(data->documents.size(), 2U);
  EXPECT_EQ(data->documents[0].path, "code/__torch__.py");
  EXPECT_EQ(worst(opened.scan()), Severity::kNote);
}

TEST(TorchZip, GivesStoragesSavedByThemselvesAsTensors) {
  const auto opened = zip_file(torch_zip(pickled([](PickleWriter* p) {
    p->empty_dict();
    p->mark();
    p->string("s");
    p->mark();
    p->name("storage");
    p->global("torch.FloatStorage");
    p->string("1");
    p->name("cpu");
    p->integer(3);
    p->tuple();
    p->persistent_id();
    p->set_items();
  })));
  const auto data = opened.open();
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_EQ(read_floats(opened, *data, "s"), (std::vector<float>{7, 8, 9}));
}

TEST(TorchZip, KeepsUnknownRebuildersInertAndFindsTensorsInThem) {
  const auto opened = zip_file(torch_zip(pickled([](PickleWriter* p) {
    p->empty_dict();
    p->mark();
    p->string("x");
    p->global("torch._utils._rebuild_from_the_future");
    p->mark();
    write_tensor(p, {"1", 3, {3}, {1}});
    p->integer(5);
    p->tuple();
    p->reduce();
    p->set_items();
  })));
  const auto data = opened.open();
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_EQ(data->state[data->state.find_path({"x"})].kind, StateKind::kObject);
  EXPECT_EQ(read_floats(opened, *data, "x.0"), (std::vector<float>{7, 8, 9}));
}

TEST(TorchZip, RefusesOtherZips) {
  zip::ZipBuilder builder;
  builder.add("readme", "text");
  const auto opened = zip_file(builder);
  EXPECT_EQ(formats::torch_zip_format().detect(opened.probe).score, 0);
  const auto data = opened.open();
  ASSERT_FALSE(data);
  EXPECT_EQ(data.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace kilter::torch

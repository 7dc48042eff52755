#include <gtest/gtest.h>

#include "flow/source.h"
#include "formats/tar/tar_test_support.h"
#include "formats/torch/torch_test_support.h"

namespace kilter::torch {
namespace {

using zip::has_rule;
using zip::rules_of;
using zip::worst;

Opened legacy_file(const std::string& bytes) {
  return Opened(formats::torch_legacy_format(), bytes);
}

TEST(TorchLegacy, OpensTensorsBehindTheirCounts) {
  const auto opened = legacy_file(two_tensors_legacy());
  EXPECT_GT(formats::torch_legacy_format().detect(opened.probe).score, 90);
  const auto data = opened.open();
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_EQ(rules_of(data->findings), "");
  EXPECT_EQ(read_floats(opened, *data, "w"), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(read_floats(opened, *data, "b"), (std::vector<float>{7, 8, 9}));
  EXPECT_EQ(opened.scan().size(), 0U) << rules_of(opened.scan());
}

TEST(TorchLegacy, ReadsViewsOfStorages) {
  const std::string object = pickled([](PickleWriter* p) {
    p->global("torch._utils._rebuild_tensor");
    p->mark();
    p->mark();
    p->name("storage");
    p->global("torch.FloatStorage");
    p->string("0");
    p->name("cpu");
    p->integer(6);
    p->mark();
    p->string("view");
    p->integer(2);
    p->integer(3);
    p->tuple();
    p->tuple();
    p->persistent_id();
    p->integer(1);
    write_ints(p, {2});
    write_ints(p, {1});
    p->tuple();
    p->reduce();
  });
  const auto opened = legacy_file(torch_legacy(object, {"0"}, legacy_count(6) + kStorage0));
  const auto data = opened.open();
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_EQ(read_floats(opened, *data, "tensor"), (std::vector<float>{4, 5}));
}

TEST(TorchLegacy, FailsCleanlyAtEveryTruncation) {
  const std::string bytes = two_tensors_legacy();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto opened = legacy_file(bytes.substr(0, size));
    const auto strict = opened.open();
    ASSERT_FALSE(strict) << size;
    EXPECT_EQ(strict.error().code, ErrorCode::kMalformed) << strict.error().text();
    EXPECT_EQ(strict.error().path, "/m.pt");
    EXPECT_TRUE(strict.error().offset_bytes) << size;
    EXPECT_GE(worst(opened.check()), Severity::kMalformed);
    EXPECT_GE(worst(opened.scan()), Severity::kMalformed);
  }
}

TEST(TorchLegacy, KeepsIntactStoragesOfACutOffFile) {
  const std::string bytes = two_tensors_legacy();
  const auto opened = legacy_file(bytes.substr(0, bytes.size() - 5));
  const auto strict = opened.open();
  ASSERT_FALSE(strict);
  EXPECT_EQ(strict.error().tensor, "b");
  const auto data = opened.open(true);
  ASSERT_TRUE(data) << data.error().text();
  ASSERT_EQ(data->index.tensors.size(), 1U);
  EXPECT_EQ(read_floats(opened, *data, "w"), (std::vector<float>{1, 2, 3, 4, 5, 6}));
}

TEST(TorchLegacy, RefusesImpossibleCounts) {
  for (const std::int64_t count : {std::int64_t{-1}, INT64_MAX, INT64_MIN, std::int64_t{1} << 32,
                                   std::int64_t{5}, std::int64_t{0}}) {
    const auto opened = legacy_file(
        torch_legacy(pickle_of(two_tensors(), true), {"0", "1"}, legacy_count(count) + kStorage0));
    const auto data = opened.open();
    ASSERT_FALSE(data) << count;
    EXPECT_EQ(data.error().code, ErrorCode::kMalformed);
  }
}

TEST(TorchLegacy, ReportsStoragesMissingUnknownOrTwice) {
  const std::string object = pickle_of(two_tensors(), true);
  const std::string first = legacy_count(6) + kStorage0;
  EXPECT_FALSE(legacy_file(torch_legacy(object, {"0"}, first)).open());
  EXPECT_FALSE(legacy_file(torch_legacy(object, {"0", "9"}, first + first)).open());
  EXPECT_FALSE(legacy_file(torch_legacy(object, {"0", "0"}, first + first)).open());
}

TEST(TorchLegacy, SuspectsTrailingBytes) {
  const auto opened = legacy_file(two_tensors_legacy() + "tail");
  EXPECT_TRUE(has_rule(opened.open()->findings, "torch.trailing-bytes"));
  EXPECT_TRUE(has_rule(opened.scan(), "torch.trailing-bytes"));
}

TEST(TorchLegacy, FindsDangerInAnyOfItsPickles) {
  const std::string payload = std::string("\x80\x02", 2) + "cos\nsystem\nU\x02id\x85R.";
  EXPECT_EQ(worst(legacy_file(torch_legacy(payload, {}, "")).scan()), Severity::kDangerous);
  // In place of the keys, and with everything after it missing.
  std::string bytes = torch_legacy(pickle_of(two_tensors(), true), {}, "");
  bytes.resize(bytes.size() - 7);  // the list of keys
  EXPECT_EQ(worst(legacy_file(bytes + payload).scan()), Severity::kDangerous);
}

TEST(TorchLegacy, SurvivesEveryByteSetToItsExtremes) {
  const std::string bytes = two_tensors_legacy();
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const char value : {'\0', '\xff', '\x80'}) {
      std::string changed = bytes;
      changed[at] = value;
      const auto opened = legacy_file(changed);
      (void)opened.open();
      const auto lenient = opened.open(true);
      EXPECT_TRUE(!lenient || lenient->index.validate()) << at;
      (void)opened.scan();
    }
  }
}

/// key, location, type, count, bytes; key, storage, type, dimensions …
std::string torch_tar() {
  std::string storages = pickled([](PickleWriter* p) { p->integer(1); });
  storages += pickled([](PickleWriter* p) {
    p->mark();
    p->integer(7);
    p->string("cpu");
    p->global("torch.FloatStorage");
    p->tuple();
  });
  storages += legacy_count(6) + kStorage0 + pickled([](PickleWriter* p) { p->empty_list(); });
  std::string tensors = pickled([](PickleWriter* p) { p->integer(1); });
  tensors += pickled([](PickleWriter* p) {
    p->mark();
    p->integer(8);
    p->integer(7);
    p->global("torch.FloatTensor");
    p->tuple();
  });
  tensors += legacy_count(2) + legacy_count(3) + legacy_count(2) + legacy_count(1) +
             legacy_count(3) + legacy_count(0);
  const std::string object = pickled([](PickleWriter* p) {
    p->empty_dict();
    p->mark();
    p->string("t");
    p->string("8");
    p->persistent_id();
    p->string("again");
    p->integer(8);
    p->persistent_id();
    p->set_items();
  });
  return tar::TarBuilder()
      .add("sys_info", pickled([](PickleWriter* p) { p->empty_dict(); }))
      .add("pickle", object)
      .add("tensors", tensors)
      .add("storages", storages)
      .build();
}

TEST(TorchTar, OpensTensorsByTheirKeys) {
  const Opened opened(formats::torch_tar_format(), torch_tar());
  EXPECT_GT(formats::torch_tar_format().detect(opened.probe).score, 90);
  const auto data = opened.open();
  ASSERT_TRUE(data) << data.error().text();
  EXPECT_EQ(read_floats(opened, *data, "t"), (std::vector<float>{1, 4, 2, 5, 3, 6}));
  ASSERT_EQ(data->ties.size(), 1U);
  EXPECT_EQ(data->ties[0].first, "again");
  EXPECT_EQ(opened.scan().size(), 0U) << rules_of(opened.scan());
}

TEST(TorchTar, SurvivesTruncationAndChangedBytes) {
  const std::string bytes = torch_tar();
  const std::size_t data_end = bytes.find_last_not_of('\0') + 1;
  for (std::size_t size = 0; size < data_end; size += 3) {
    const Opened opened(formats::torch_tar_format(), bytes.substr(0, size));
    EXPECT_FALSE(opened.open()) << size;
    (void)opened.open(true);
    EXPECT_GE(worst(opened.check()), Severity::kMalformed) << size;
  }
  for (std::size_t at = 512; at < bytes.size() - 1024; ++at) {
    if (at % 512 == 0 && bytes[at] != '\0' && bytes.substr(at + 257, 5) == "ustar") at += 512;
    std::string changed = bytes;
    changed[at] = '\xff';
    const Opened opened(formats::torch_tar_format(), changed);
    (void)opened.open();
    (void)opened.open(true);
    (void)opened.scan();
  }
}

TEST(TorchTar, FindsDangerAmongTheStorages) {
  const std::string payload = std::string("\x80\x02", 2) + "cos\nsystem\nU\x02id\x85R.";
  const Opened opened(
      formats::torch_tar_format(),
      tar::TarBuilder().add("pickle", pickle_of({})).add("storages", payload).build());
  EXPECT_EQ(worst(opened.scan()), Severity::kDangerous);
}

}  // namespace
}  // namespace kilter::torch

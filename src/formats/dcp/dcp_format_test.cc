#include "formats/dcp/dcp_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "flow/source.h"
#include "formats/dcp/dcp_reader.h"
#include "formats/dcp/dcp_test_support.h"

namespace kilter::dcp {
namespace {

using ::testing::HasSubstr;

Result<CheckpointData> opened(TestCheckpoint& checkpoint, bool lenient = false) {
  checkpoint.put();
  const auto probe = formats::make_probe(*checkpoint.files, "/d");
  EXPECT_TRUE(probe.has_value());
  EXPECT_EQ(formats::recognize(*probe).format, &formats::dcp_format());
  OpenOptions options;
  options.lenient = lenient;
  return formats::dcp_format().open({checkpoint.files.get(), "/d", &*probe, options});
}

Error refused(TestCheckpoint checkpoint) {
  const auto data = opened(checkpoint);
  EXPECT_FALSE(data.has_value());
  return data ? Error() : data.error();
}

std::vector<float> values(const TestCheckpoint& checkpoint, const CheckpointData& data,
                          std::string_view name) {
  const auto source = make_file_source(*checkpoint.files, "/d", true, data.index);
  const auto at = data.index.find(name);
  if (!at) return {};
  std::vector<float> out(data.index.tensors[*at].element_count());
  const Status status = source->read_tensor(*at, 0, std::as_writable_bytes(std::span(out)));
  EXPECT_TRUE(status.has_value()) << status.error().text();
  return out;
}

TEST(Dcp, JoinsChunksAndNestsTheState) {
  TestCheckpoint checkpoint = TestCheckpoint::sound();
  const auto data = opened(checkpoint);
  ASSERT_TRUE(data.has_value()) << data.error().text();
  EXPECT_EQ(values(checkpoint, *data, "w"), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(values(checkpoint, *data, "whole"), (std::vector<float>{7, 8}));
  const StateId list = data->state.find(data->state.root(), "model");
  ASSERT_NE(list, kNoState);
  ASSERT_EQ(data->state[list].kind, StateKind::kList);
  const StateId number = data->state.find(data->state[list].items[0], "n");
  ASSERT_NE(number, kNoState);
  EXPECT_EQ(data->state[number].integer, 12);
  EXPECT_EQ(data->metadata.front().second, "1.0.0");
}

TEST(Dcp, WritesMetadataThatItReadsAgain) {
  const TestCheckpoint checkpoint = TestCheckpoint::sound();
  const std::string text = write_metadata(checkpoint.metadata);
  const auto read = parse_metadata(as_bytes(text), "m", 1 << 20);
  ASSERT_TRUE(read.has_value()) << read.error().text();
  EXPECT_EQ(write_metadata(*read), text);
}

TEST(Dcp, RefusesChunksThatLeaveGapsOrOverlap) {
  TestCheckpoint missing = TestCheckpoint::sound();
  missing.metadata.entries[0].chunks.pop_back();
  const Error gap = refused(std::move(missing));
  EXPECT_EQ(gap.tensor, "w");
  EXPECT_THAT(gap.message, HasSubstr("missing"));

  TestCheckpoint twice = TestCheckpoint::sound();
  const Place place = twice.metadata.chunk_places.at({"w", {2, 0}});
  twice.metadata.entries[0].chunks[1].offsets = {1, 0};
  twice.metadata.chunk_places[{"w", {1, 0}}] = place;
  EXPECT_THAT(refused(std::move(twice)).text(), HasSubstr("overlap"));
}

TEST(Dcp, TakesAChunkThatIsStatedTwiceOnce) {
  TestCheckpoint checkpoint = TestCheckpoint::sound();
  Entry& entry = checkpoint.metadata.entries[0];
  entry.chunks.push_back(entry.chunks[0]);
  const auto data = opened(checkpoint);
  ASSERT_TRUE(data.has_value()) << data.error().text();
  EXPECT_EQ(values(checkpoint, *data, "w").size(), 6U);
}

TEST(Dcp, RefusesItemsThatAreNotWhatTheMetadataSays) {
  TestCheckpoint shape = TestCheckpoint::sound();
  shape.metadata.entries[1].size = {1};
  shape.metadata.entries[1].chunks[0].sizes = {1};
  EXPECT_THAT(refused(std::move(shape)).message, HasSubstr("another shape"));
  TestCheckpoint dtype = TestCheckpoint::sound();
  dtype.metadata.entries[1].dtype = DType::kI32;
  EXPECT_THAT(refused(std::move(dtype)).message, HasSubstr("another dtype"));
  TestCheckpoint object = TestCheckpoint::sound();
  object.metadata.chunk_places[{"whole", {0}}] = object.metadata.object_places.at("model.0.n");
  EXPECT_THAT(refused(std::move(object)).message, HasSubstr("tensor alone"));
}

TEST(Dcp, RefusesPlacesOutsideTheFolderOrTheFile) {
  TestCheckpoint out = TestCheckpoint::sound();
  out.metadata.chunk_places[{"whole", {0}}].file = "../secret";
  EXPECT_EQ(refused(std::move(out)).code, ErrorCode::kUnsafe);
  TestCheckpoint past = TestCheckpoint::sound();
  past.metadata.chunk_places[{"whole", {0}}].bytes += 100000;
  EXPECT_THAT(refused(std::move(past)).message, HasSubstr("past the end"));
  TestCheckpoint absent = TestCheckpoint::sound();
  absent.metadata.chunk_places[{"whole", {0}}].file = "__7_0.distcp";
  const Error error = refused(std::move(absent));
  EXPECT_EQ(error.code, ErrorCode::kNotFound);
  EXPECT_EQ(error.tensor, "whole");
}

TEST(Dcp, RefusesALoneChunkThatLiesBesideItsTensor) {
  TestCheckpoint checkpoint = TestCheckpoint::sound();
  const Place place = checkpoint.metadata.chunk_places.at({"whole", {0}});
  checkpoint.metadata.entries[1].chunks[0].offsets = {1};
  checkpoint.metadata.chunk_places[{"whole", {1}}] = place;
  EXPECT_THAT(refused(std::move(checkpoint)).message, HasSubstr("outside the whole"));
}

TEST(Dcp, ReadsADataFileThatTheListingLeftOut) {
  TestCheckpoint checkpoint = TestCheckpoint::sound();
  checkpoint.put();
  const auto data = open_dcp(*checkpoint.files, "/d", {std::string(kMetadataName)}, {});
  ASSERT_TRUE(data.has_value()) << data.error().text();
  EXPECT_EQ(values(checkpoint, *data, "w"), (std::vector<float>{1, 2, 3, 4, 5, 6}));
}

TEST(Dcp, LenientlyKeepsWhatIsWhole) {
  TestCheckpoint checkpoint = TestCheckpoint::sound();
  checkpoint.metadata.chunk_places[{"w", {2, 0}}].file = "__7_0.distcp";
  const auto data = opened(checkpoint, true);
  ASSERT_TRUE(data.has_value()) << data.error().text();
  ASSERT_EQ(data->index.tensors.size(), 1U);
  EXPECT_EQ(data->index.tensors[0].name, "whole");
  ASSERT_FALSE(data->findings.empty());
  EXPECT_EQ(data->findings[0].rule, "dcp.broken-entry");
  EXPECT_EQ(data->findings[0].tensor, "w");
}

TEST(Dcp, TellsAnUnfinishedSave) {
  TestCheckpoint checkpoint = TestCheckpoint::sound();
  checkpoint.files->put("/d/.metadata.tmp", "half");
  checkpoint.files->put("/d/__0_0.distcp", checkpoint.data);
  const auto probe = formats::make_probe(*checkpoint.files, "/d");
  ASSERT_TRUE(probe.has_value());
  const auto data = formats::dcp_format().open({checkpoint.files.get(), "/d", &*probe, {}});
  ASSERT_FALSE(data.has_value());
  EXPECT_THAT(data.error().message, HasSubstr("never finished"));
  EXPECT_EQ(data.error().found, ".metadata.tmp");
}

TEST(Dcp, WithstandsEveryTruncationAndFlippedByteOfItsMetadata) {
  TestCheckpoint checkpoint = TestCheckpoint::sound();
  checkpoint.put();
  const std::string sound = write_metadata(checkpoint.metadata);
  const auto probe = formats::make_probe(*checkpoint.files, "/d");
  ASSERT_TRUE(probe.has_value());
  const auto withstand = [&](const std::string& text) {
    checkpoint.files->put("/d/.metadata", text);
    for (const bool lenient : {false, true}) {
      OpenOptions options;
      options.lenient = lenient;
      options.header_bytes_max = 1 << 20;
      const auto data =
          formats::dcp_format().open({checkpoint.files.get(), "/d", &*probe, options});
      if (data) {
        EXPECT_TRUE(data->index.validate().has_value());
      } else {
        EXPECT_FALSE(data.error().path.empty()) << data.error().text();
        EXPECT_NE(data.error().code, ErrorCode::kInternal) << data.error().text();
      }
    }
  };
  for (std::size_t at = 0; at < sound.size(); at += 3) {
    withstand(sound.substr(0, at));
    std::string changed = sound;
    changed[at] = static_cast<char>(changed[at] ^ (at % 2 == 0 ? 0x01 : 0x80));
    withstand(changed);
  }
}

}  // namespace
}  // namespace kilter::dcp

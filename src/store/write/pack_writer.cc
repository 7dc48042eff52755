#include "store/write/pack_writer.h"

#include <array>

#include "base/checked.h"
#include "base/try.h"
#include "io/append_writer.h"

namespace kilter::store {
namespace {

constexpr std::uint64_t kPackWriterMemoryBytes = 16ULL << 20;

}  // namespace

struct PackWriter::Stream {
  std::unique_ptr<StagedObject> staged;
  std::unique_ptr<io::AppendWriter> writer;  // goes before the file it writes
};

PackWriter::PackWriter(std::unique_ptr<Stream> stream) : stream_(std::move(stream)) {}
PackWriter::~PackWriter() = default;

Result<std::unique_ptr<PackWriter>> PackWriter::begin(Place& place) {
  auto stream = std::make_unique<Stream>();
  KILTER_ASSIGN(stream->staged, place.stage());
  KILTER_ASSIGN(stream->writer,
                io::AppendWriter::begin(stream->staged->file(), kPackWriterMemoryBytes));
  KILTER_TRY(stream->writer->append(pack_header()));
  return std::unique_ptr<PackWriter>(new PackWriter(std::move(stream)));
}

std::uint64_t PackWriter::bytes() const { return stream_->writer->bytes(); }

bool PackWriter::full() const {
  return bytes() >= kPackBytesTarget || records_.size() >= kPackChunksMax;
}

Status PackWriter::add(ChunkRecord record, Bytes payload) {
  static constexpr std::array<std::byte, kPayloadAlignBytes> kZeros{};
  io::AppendWriter& writer = *stream_->writer;
  const std::uint64_t offset = round_up(writer.bytes(), kPayloadAlignBytes);
  KILTER_TRY(writer.append(Bytes(kZeros).first(offset - writer.bytes())));
  record.offset_bytes = offset;
  record.stored_bytes = static_cast<std::uint32_t>(payload.size());
  KILTER_TRY(writer.append(payload));
  records_.push_back(record);
  return ok();
}

Result<PackWriter::Finished> PackWriter::seal() {
  static constexpr std::array<std::byte, kPayloadAlignBytes> kZeros{};
  io::AppendWriter& writer = *stream_->writer;
  const std::uint64_t end = round_up(writer.bytes(), kPayloadAlignBytes);
  KILTER_TRY(writer.append(Bytes(kZeros).first(end - writer.bytes())));
  const PackEnd tail = pack_end(records_, end);
  KILTER_TRY(writer.append(tail.bytes));
  const std::uint64_t total = writer.bytes();
  KILTER_TRY(writer.finish());
  stream_->writer.reset();
  name_ = pack_name(tail.name);
  Finished finished;
  finished.pack = {tail.name, total, static_cast<std::uint32_t>(records_.size())};
  finished.records = std::move(records_);
  return finished;
}

Status PackWriter::publish() { return stream_->staged->publish(name_); }

}  // namespace kilter::store

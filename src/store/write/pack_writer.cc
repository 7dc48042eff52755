#include "store/write/pack_writer.h"

#include <array>

#include "base/checked.h"
#include "base/try.h"
#include "io/append_writer.h"
#include "io/buffer_pool.h"

namespace kilter::store {
namespace {

constexpr std::uint64_t kPackWriterMemoryBytes = 16ULL << 20;
/// Smaller payloads are copied: the gap before them would be too large a part of them.
constexpr std::size_t kLentBytesMin = 1 << 20;

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

Status PackWriter::add(ChunkRecord record, Bytes payload) { return add(record, payload, nullptr); }

Status PackWriter::add(ChunkRecord record, Bytes payload, std::shared_ptr<const void> keeper) {
  // What is written from where it lies begins where the file system can write directly.
  const bool lent = keeper != nullptr && payload.size() >= kLentBytesMin;
  KILTER_TRY(pad(lent ? io::kDirectAlignBytes : kPayloadAlignBytes));
  io::AppendWriter& writer = *stream_->writer;
  record.offset_bytes = writer.bytes();
  record.stored_bytes = static_cast<std::uint32_t>(payload.size());
  KILTER_TRY(lent ? writer.append(payload, std::move(keeper)) : writer.append(payload));
  records_.push_back(record);
  return ok();
}

Status PackWriter::pad(std::uint64_t align_bytes) {
  static constexpr std::array<std::byte, io::kDirectAlignBytes> kZeros{};
  const std::uint64_t end = stream_->writer->bytes();
  return stream_->writer->append(Bytes(kZeros).first(round_up(end, align_bytes) - end));
}

Result<PackWriter::Finished> PackWriter::seal() {
  KILTER_TRY(pad(kPayloadAlignBytes));
  io::AppendWriter& writer = *stream_->writer;
  const PackEnd tail = pack_end(records_, writer.bytes());
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

#include "flow/read_ahead.h"

#include "base/checked.h"
#include "flow/raw_range.h"
#include "io/page_cache.h"

namespace kilter::flow {
namespace {

/// Above this part of a file in the page cache, copying from there is faster than the disk.
constexpr double kCachedEnough = 0.7;
/// Neighbours in the source are read as one where the gap costs less than another transfer.
constexpr std::uint64_t kGapBytesMax = 32 * 1024;

}  // namespace

struct Stager::Wish {
  struct Part {
    std::size_t segment = 0;
    std::uint64_t offset_bytes = 0;  ///< in the file
    std::uint64_t bytes = 0;
  };
  std::shared_ptr<const io::ReadFile> file;
  std::uint64_t begin = 0, end = 0;  ///< multiples of the direct alignment
  std::size_t output = 0;
  std::vector<Part> parts;

  bool joins(const io::ReadFile& other, std::uint64_t other_begin, std::uint64_t other_end) const {
    return file.get() == &other && other_begin >= begin && other_begin <= end + kGapBytesMax &&
           other_end >= end;
  }
};

Stager::Stager(const Plan& plan, const MemoryPlan& memory, ReadAhead mode, io::IoQueue& queue)
    : plan_(plan), mode_(mode), queue_(queue), staging_bytes_(memory.staging_bytes) {
  if (mode != ReadAhead::kNever && memory.staging_count != 0)
    buffers_ = std::make_unique<io::BufferPool>(memory.staging_bytes, memory.staging_count);
}

bool Stager::reads_directly(const Source& source, std::uint32_t number, const io::ReadFile& file) {
  if (mode_ == ReadAhead::kAlways) return true;
  const auto [known, is_new] = direct_.try_emplace({&source, number}, false);
  if (is_new) known->second = file.direct_fd() >= 0 && io::cached_fraction(file) < kCachedEnough;
  return known->second;
}

std::vector<Stager::Wish> Stager::wishes_of(const FileMap& map, std::uint64_t offset_bytes,
                                            std::uint64_t bytes) {
  std::vector<Wish> wishes;
  std::uint64_t total = 0;
  for (const SegmentPart& part : parts_of(map, offset_bytes, bytes)) {
    const Segment& segment = map.layout().segments[part.segment];
    if (segment.kind != SegmentKind::kOutput) continue;
    const PlanOutput& output = plan_.outputs[segment.index];
    if (output.kernel) continue;
    const PlanInput& input = output.inputs[0];
    const auto raw = raw_range(input, output.dtype);
    if (!raw) continue;
    auto file = input.source->open_file(raw->file);
    if (!file || !reads_directly(*input.source, raw->file, *file)) continue;
    const std::uint64_t from = raw->offset_bytes + part.segment_offset;
    const std::uint64_t begin = from / io::kDirectAlignBytes * io::kDirectAlignBytes;
    const std::uint64_t end = round_up(from + part.bytes, io::kDirectAlignBytes);
    const bool joined = !wishes.empty() && wishes.back().joins(*file, begin, end);
    const std::uint64_t more = joined ? end - wishes.back().end : end - begin;
    if (total + more > staging_bytes_) continue;  // read when the tile is filled
    total += more;
    if (joined) {
      wishes.back().end = end;
    } else {
      wishes.push_back({std::move(file), begin, end, segment.index, {}});
    }
    wishes.back().parts.push_back({part.segment, from, part.bytes});
  }
  return wishes;
}

void Stager::start(const FileMap& map, std::uint64_t offset_bytes, std::uint64_t bytes,
                   StagedTile& tile, std::function<void()> done) {
  const std::vector<Wish> wishes =
      buffers_ ? wishes_of(map, offset_bytes, bytes) : std::vector<Wish>();
  auto buffer = wishes.empty() ? Result<io::Buffer>(io::Buffer()) : buffers_->take();
  if (!buffer || !*buffer) return done();  // no memory for it: the tile reads for itself
  auto room = buffer->span();
  tile.buffers_.push_back(std::move(*buffer));
  for (const Wish& wish : wishes) {
    const auto out = room.first(wish.end - wish.begin);
    room = room.subspan(out.size());
    for (const Wish::Part& part : wish.parts)
      tile.parts_.push_back(
          {part.segment, out.subspan(part.offset_bytes - wish.begin, part.bytes)});
    tile.reads_.push_back({wish.file, wish.begin, out, wish.output});
  }
  tile.pending_ = tile.reads_.size();
  const std::size_t count = tile.reads_.size();  // the last one's `done` may end the tile
  for (std::size_t i = 0; i < count; ++i) {
    const StagedTile::Read& read = tile.reads_[i];
    io::IoRead request{read.file.get(), read.offset_bytes, read.out, true, {}};
    request.done = [this, &tile, i, done](Status status) {
      if (!status) {
        std::lock_guard lock(tile.mutex_);
        if (tile.status_)
          tile.status_ =
              fail(std::move(status).error().at_tensor(plan_.outputs[tile.reads_[i].output].name));
      }
      if (tile.pending_.fetch_sub(1) == 1) done();
    };
    queue_.submit(std::move(request));
  }
}

}  // namespace kilter::flow

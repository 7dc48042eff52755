#include "formats/torch/pickle_cursor.h"

#include <algorithm>
#include <array>

#include "base/checked.h"
#include "base/try.h"

namespace kilter::torch {
namespace {

constexpr std::uint64_t kFirstReadBytes = 64 << 10;
constexpr std::uint64_t kGrowth = 8;

}  // namespace

/// Makes `count` bytes at the position available, or all that are left.
Status PickleCursor::load(std::uint64_t count) {
  count = std::min(count, remaining());
  if (position_ >= begin_ && position_ + count <= begin_ + buffer_.size()) return ok();
  begin_ = position_;
  buffer_.resize(static_cast<std::size_t>(count));
  return file_.read_at(begin_, buffer_);
}

Result<pickle::NodeId> PickleCursor::next(const pickle::Limits& limits, pickle::Graph* graph) {
  for (std::uint64_t count = kFirstReadBytes;; count *= kGrowth) {
    count = std::min({count, remaining(), bytes_max_});
    KILTER_TRY(load(count));
    const Bytes bytes = Bytes(buffer_).subspan(static_cast<std::size_t>(position_ - begin_));
    const pickle::Stream stream = pickle::run_stream(bytes, position_, limits, graph);
    if (!stream.error && stream.result != pickle::kNoNode) {
      position_ = stream.end_bytes;
      return stream.result;
    }
    if (bytes.size() < std::min(remaining(), bytes_max_)) {
      *graph = pickle::Graph();
      continue;
    }
    Error error = stream.error.value_or(Error(ErrorCode::kMalformed, "the pickle yields nothing"));
    return fail(std::move(error).at_path(file_.path()).at_offset(position_));
  }
}

Result<std::int64_t> PickleCursor::next_integer() {
  pickle::Graph graph;
  const std::uint64_t at = position_;
  KILTER_ASSIGN(const pickle::NodeId id, next({}, &graph));
  if (graph[id].kind == pickle::NodeKind::kInt) return graph[id].integer;
  return fail(Error(ErrorCode::kMalformed, "no pickled number where one is due")
                  .at_path(file_.path())
                  .at_offset(at));
}

Status PickleCursor::read(std::span<std::byte> out) {
  if (!range_fits(position_, out.size(), file_.bytes()))
    return fail(
        Error(ErrorCode::kMalformed, "the file ends in the middle of a record")
            .at_path(file_.path())
            .at_offset(position_)
            .wanted(std::to_string(out.size()) + " bytes", std::to_string(remaining()) + " bytes")
            .advise("the file was probably cut off while it was written or downloaded"));
  KILTER_TRY(file_.read_at(position_, out));
  position_ += out.size();
  return ok();
}

Result<std::int64_t> PickleCursor::i64() {
  std::array<std::byte, 8> raw;
  KILTER_TRY(read(raw));
  return static_cast<std::int64_t>(*ByteReader(raw).u64_le());
}

}  // namespace kilter::torch

#include "ops/merge/task_vector_keys.h"

#include <algorithm>
#include <array>

#include "base/try.h"
#include "ops/merge/kernels/philox.h"
#include "ops/merge/merge_kernel.h"

namespace kilter::ops {
namespace {

// One element in 64, within bounds: the larger the sample, the narrower the window it allows.
constexpr std::size_t kSamplePiecesMin = 256, kSamplePiecesMax = 1024, kSamplePieceElements = 64;
constexpr std::uint64_t kElementsAPiece = 4096;
constexpr std::uint64_t kSampledElements = 256U << 10;  // fewer are read as a whole anyway

}  // namespace

std::size_t KeySearches::search(std::uint64_t rank, std::uint64_t memory_bytes_max) {
  searches_.push_back(std::make_unique<RankSearch>(rank, reader_.elements(), memory_bytes_max));
  return searches_.size() - 1;
}

std::uint64_t KeySearches::memory_bytes() const {
  std::uint64_t out = 0;
  for (const auto& search : searches_) out += search->memory_bytes();
  return out;
}

Result<bool> KeySearches::next_pass() {
  if (!std::exchange(is_begun_, true)) KILTER_TRY(read_sample());
  bool more = false;
  for (const auto& search : searches_) {
    KILTER_TRY(search->advance(
        [this](std::uint64_t first, std::size_t count) { return keys_of(first, count); }));
    more = more || !search->done();
  }
  return more;
}

void KeySearches::add(const StudyBlock& block) {
  if (std::ranges::all_of(searches_, [](const auto& search) { return search->done(); })) return;
  std::vector<std::uint32_t> keys(block.count);
  make_(block, keys);
  for (const auto& search : searches_) search->add(block.first, keys);
}

/// Pieces at random places: even steps could fall on the same columns again and again.
Status KeySearches::read_sample() {
  const std::uint64_t elements = reader_.elements();
  const bool all_done =
      std::ranges::all_of(searches_, [](const auto& search) { return search->done(); });
  if (elements < kSampledElements || all_done) return ok();
  const auto pieces = static_cast<std::size_t>(
      std::clamp<std::uint64_t>(elements / kElementsAPiece, kSamplePiecesMin, kSamplePiecesMax));
  std::vector<std::uint32_t> places(pieces), sample;
  random_bits({}, 0, 0, pieces, places.data());
  const std::uint64_t stretch = elements / pieces;
  for (std::size_t i = 0; i < pieces; ++i) {
    const std::uint64_t first = i * stretch + places[i] % (stretch - kSamplePieceElements);
    KILTER_ASSIGN(const auto keys, keys_of(first, kSamplePieceElements));
    sample.insert(sample.end(), keys.begin(), keys.end());
  }
  for (const auto& search : searches_) search->guess(sample);
  return ok();
}

Result<std::vector<std::uint32_t>> KeySearches::keys_of(std::uint64_t first,
                                                        std::size_t count) const {
  MergeReader::Buffers buffers;
  KILTER_ASSIGN(const StudyBlock block, reader_.read(first, count, buffers));
  std::vector<std::uint32_t> keys(count);
  make_(block, keys);
  return keys;
}

KeySearches::MakeKeys task_vector_keys(const MergeReader& reader, std::size_t term, bool wide) {
  return [&reader, term, wide](const StudyBlock& block, std::span<std::uint32_t> keys) {
    std::array<double, kMergeBlockElements> base, x;
    for (std::size_t at = 0; at < block.count; at += kMergeBlockElements) {
      const std::size_t some = std::min(kMergeBlockElements, block.count - at);
      reader.widen(block, 0, at, some, base.data());
      reader.widen(block, term + 1, at, some, x.data());
      delta_keys(x.data(), base.data(), some, wide, keys.data() + at);
    }
  };
}

}  // namespace kilter::ops

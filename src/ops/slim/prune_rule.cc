#include "ops/slim/prune_rule.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/try.h"
#include "flow/source.h"

namespace kilter::ops {
namespace {

constexpr std::size_t kPruneBlockElements = 1024;

std::size_t prune_width(DType dtype) { return dtype_row(dtype).bits / 8U; }

template <typename T>
void keys_of(std::span<const std::byte> elements, std::span<std::uint64_t> keys) {
  constexpr T kMagnitude = static_cast<T>(~T{0}) >> 1;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    T bits = 0;
    std::memcpy(&bits, elements.data() + i * sizeof(T), sizeof(T));
    keys[i] = static_cast<T>(bits & kMagnitude);
  }
}

}  // namespace

void magnitude_keys(DType dtype, std::span<const std::byte> elements,
                    std::span<std::uint64_t> keys) {
  switch (prune_width(dtype)) {
    case 1:
      return keys_of<std::uint8_t>(elements, keys);
    case 2:
      return keys_of<std::uint16_t>(elements, keys);
    case 4:
      return keys_of<std::uint32_t>(elements, keys);
    default:
      return keys_of<std::uint64_t>(elements, keys);
  }
}

unsigned magnitude_bits(DType dtype) { return dtype_row(dtype).bits - 1U; }

void ThresholdRule::decide(std::uint64_t first, std::span<const std::uint64_t> keys,
                           std::span<std::uint8_t> keep) const {
  for (std::size_t i = 0; i < keys.size(); ++i)
    keep[i] = keys[i] > threshold_ || (keys[i] == threshold_ && first + i < cut_) ? 1 : 0;
}

void PatternRule::decide(std::uint64_t, std::span<const std::uint64_t> keys,
                         std::span<std::uint8_t> keep) const {
  for (std::size_t at = 0; at + group_ <= keys.size(); at += group_) {
    for (std::size_t i = 0; i < group_; ++i) {
      std::size_t ahead = 0;  // of the group's elements, those that are kept before this one
      for (std::size_t j = 0; j < group_; ++j)
        ahead += keys[at + j] > keys[at + i] || (keys[at + j] == keys[at + i] && j < i) ? 1U : 0U;
      keep[at + i] = ahead < keep_ ? 1 : 0;
    }
  }
}

void SliceRule::decide(std::uint64_t first, std::span<const std::uint64_t> keys,
                       std::span<std::uint8_t> keep) const {
  std::uint64_t within = first % inner_;
  auto slice = static_cast<std::size_t>(first / inner_ % kept_.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    keep[i] = kept_[slice] ? 1 : 0;
    if (++within < inner_) continue;
    within = 0;
    slice = slice + 1 == kept_.size() ? 0 : slice + 1;
  }
}

Status PruneKernel::run(const KernelTile& tile) const {
  const std::size_t elements = tile.inputs[0].size() / prune_width(dtype_);
  const std::size_t group = rule_ ? rule_->group() : 1;
  const std::uint64_t begin = tile.offset_bytes / (as_mask_ ? 1 : prune_width(dtype_));
  const std::size_t block = std::max(kPruneBlockElements / group, std::size_t{1}) * group;
  for (std::size_t first = 0; first < elements;) {
    // The first block ends where a group does; so all but the ends of the tile are whole groups.
    const std::size_t skip = static_cast<std::size_t>((begin + first) % group);
    const std::size_t some = std::min(skip == 0 ? block : group - skip, elements - first);
    KILTER_TRY(run_block(tile, first, some));
    first += some;
  }
  return ok();
}

Status PruneKernel::run_block(const KernelTile& tile, std::size_t first, std::size_t count) const {
  const std::size_t width = prune_width(dtype_);
  std::vector<std::uint8_t> keep(count);
  if (!rule_) {
    std::memcpy(keep.data(), tile.inputs[1].data() + first, count);
  } else {
    const std::uint64_t element = tile.offset_bytes / (as_mask_ ? 1 : width) + first;
    const std::size_t skip = static_cast<std::size_t>(element % rule_->group());
    const std::size_t whole = (skip + count + rule_->group() - 1) / rule_->group() * rule_->group();
    if (skip == 0 && whole == count) {
      std::vector<std::uint64_t> keys(count);
      magnitude_keys(dtype_, tile.inputs[0].subspan(first * width, count * width), keys);
      rule_->decide(element, keys, keep);
    } else {
      KILTER_TRY(decide_cut(element - skip, skip, whole, keep));
    }
  }
  write(tile, first, keep);
  return ok();
}

/// A group that the tile's border cuts is read whole.
Status PruneKernel::decide_cut(std::uint64_t element, std::size_t skip, std::size_t whole,
                               std::span<std::uint8_t> keep) const {
  const std::size_t width = prune_width(dtype_);
  std::vector<std::byte> bytes(whole * width);
  KILTER_TRY(input_.source->read_tensor(input_.index, element * width, bytes));
  std::vector<std::uint64_t> keys(whole);
  std::vector<std::uint8_t> all(whole);
  magnitude_keys(dtype_, bytes, keys);
  rule_->decide(element, keys, all);
  std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(skip), keep.size(), keep.begin());
  return ok();
}

void PruneKernel::write(const KernelTile& tile, std::size_t first,
                        std::span<const std::uint8_t> keep) const {
  if (as_mask_) {
    for (std::size_t i = 0; i < keep.size(); ++i)
      tile.out[first + i] = static_cast<std::byte>(keep[i] != 0 ? 1 : 0);
    return;
  }
  const std::size_t width = prune_width(dtype_);
  const std::byte* const in = tile.inputs[0].data() + first * width;
  std::byte* const out = tile.out.data() + first * width;
  for (std::size_t i = 0; i < keep.size(); ++i) {
    if (keep[i] != 0)
      std::memcpy(out + i * width, in + i * width, width);
    else
      std::memset(out + i * width, 0, width);
  }
  if (counts_ != nullptr) measure(in, out, keep.size());
}

void PruneKernel::measure(const std::byte* in, const std::byte* out, std::size_t count) const {
  std::vector<double> before(count), after(count);
  widen_floats(dtype_, in, count, before.data());
  widen_floats(dtype_, out, count, after.data());
  counts_->error.add(before, after, 0);
  counts_->zeros_before += static_cast<std::uint64_t>(std::ranges::count(before, 0.0));
  counts_->zeros_after += static_cast<std::uint64_t>(std::ranges::count(after, 0.0));
}

}  // namespace kilter::ops

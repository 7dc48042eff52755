#include "ops/weights/tensor_pairs.h"

#include <algorithm>
#include <cstring>

#include "base/byte_reader.h"
#include "base/raw_bytes.h"
#include "base/run_jobs.h"
#include "base/try.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

// Fixed, so that sums are the same for any number of threads.
constexpr std::uint64_t kJobElements = 4U << 20, kReadElements = 64U << 10;
constexpr std::size_t kPairBlockElements = 1024;

std::uint64_t bytes_of(std::uint64_t elements, DType dtype) {
  return elements * dtype_row(dtype).bits / 8;
}

bool is_narrower(DType a, DType b) { return dtype_row(a).bits < dtype_row(b).bits; }

void compare_floats(const TensorPair& pair, Bytes a, Bytes b, std::size_t count, PairSums& out) {
  double left[kPairBlockElements], right[kPairBlockElements];
  std::byte rounded[kPairBlockElements * 8];
  const std::size_t width_a = bytes_of(1, pair.dtype_a), width_b = bytes_of(1, pair.dtype_b);
  for (std::size_t at = 0; at < count; at += kPairBlockElements) {
    const std::size_t some = std::min(kPairBlockElements, count - at);
    const Bytes part_a = a.subspan(at * width_a, some * width_a);
    const Bytes part_b = b.subspan(at * width_b, some * width_b);
    widen_floats(pair.dtype_a, part_a.data(), some, left);
    widen_floats(pair.dtype_b, part_b.data(), some, right);
    out.sums += difference_sums(std::span(left, some), std::span(right, some));
    if (pair.dtype_a == pair.dtype_b || !out.same_rounded) continue;
    const bool to_a = is_narrower(pair.dtype_a, pair.dtype_b);
    const Bytes narrow = to_a ? part_a : part_b;
    narrow_floats(to_a ? pair.dtype_a : pair.dtype_b, to_a ? right : left, some, rounded);
    out.same_rounded = std::memcmp(rounded, narrow.data(), narrow.size()) == 0;
  }
}

/// Whatever is no float: by its bits.
void compare_bits(const TensorPair& pair, Bytes a, Bytes b, std::size_t count, PairSums& out) {
  const std::size_t width = std::max<std::size_t>(bytes_of(1, pair.dtype_a), 1);
  out.sums.elements += count;
  if (out.same_bits && std::memcmp(a.data(), b.data(), a.size()) == 0) return;
  for (std::size_t at = 0; at < a.size(); at += width)
    out.sums.changed += std::memcmp(a.data() + at, b.data() + at, width) != 0 ? 1U : 0U;
}

Result<PairSums> compare_part(const TensorPair& pair, std::uint64_t first, std::uint64_t count,
                              const RunContext& context) {
  PairSums out;
  RawBytes a, b;
  ElementReader from_a(*pair.input_a, pair.a, pair.view_a);
  ElementReader from_b(*pair.input_b, pair.b, pair.view_b);
  for (std::uint64_t at = 0; at < count; at += kReadElements) {
    KILTER_TRY(context.check());
    const std::uint64_t some = std::min(kReadElements, count - at);
    a.resize(static_cast<std::size_t>(bytes_of(some, pair.dtype_a)));
    b.resize(static_cast<std::size_t>(bytes_of(some, pair.dtype_b)));
    KILTER_TRY(from_a.read(first + at, bytes_of(1, pair.dtype_a), a));
    KILTER_TRY(from_b.read(first + at, bytes_of(1, pair.dtype_b), b));
    const bool same = a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
    out.same_bits = out.same_bits && same && pair.dtype_a == pair.dtype_b;
    if (pair.floats)
      compare_floats(pair, a, b, static_cast<std::size_t>(some), out);
    else
      compare_bits(pair, a, b, static_cast<std::size_t>(some), out);
  }
  return out;
}

}  // namespace

Result<std::vector<PairSums>> sum_pairs(const std::vector<TensorPair>& pairs, unsigned thread_count,
                                        const RunContext& context) {
  struct Part {
    std::size_t pair;
    std::uint64_t first, count;  // elements
    PairSums sums;
  };
  std::vector<Part> parts;
  for (std::size_t p = 0; p < pairs.size(); ++p)
    for (std::uint64_t at = 0; at < pairs[p].elements; at += kJobElements)
      parts.push_back({p, at, std::min(kJobElements, pairs[p].elements - at), {}});
  Jobs jobs{"compare", parts.size(), {}, {}};
  jobs.bytes = [&](std::size_t i) {
    const TensorPair& pair = pairs[parts[i].pair];
    return bytes_of(parts[i].count, pair.dtype_a) + bytes_of(parts[i].count, pair.dtype_b);
  };
  jobs.run = [&](std::size_t i) -> Status {
    Part& part = parts[i];
    KILTER_ASSIGN(part.sums, compare_part(pairs[part.pair], part.first, part.count, context));
    return {};
  };
  KILTER_TRY(run_jobs(jobs, thread_count, context));
  std::vector<PairSums> out(pairs.size());
  for (const Part& part : parts) {
    PairSums& whole = out[part.pair];
    whole.sums += part.sums.sums;
    whole.same_bits = whole.same_bits && part.sums.same_bits;
    whole.same_rounded = whole.same_rounded && part.sums.same_rounded;
  }
  return out;
}

}  // namespace kilter::ops

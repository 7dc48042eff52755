#include "flow/strided_read.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/try.h"
#include "tensor/kernels/gather.h"

namespace kilter::flow {
namespace {

/// Reading over a gap this long costs about as much as another call.
constexpr std::uint64_t kGapBytes = 4096;

/// One interval of a dimension inside a box.
struct Side {
  std::uint64_t size = 1;
  std::uint64_t stride = 0;      ///< elements, in the storage
  std::uint64_t out_stride = 0;  ///< elements, in the output
};

struct Box {
  std::vector<Side> sides;   ///< C order, outermost first
  std::uint64_t source = 0;  ///< element of the storage
  std::uint64_t out = 0;     ///< element of the output
};

std::uint64_t count_of(const Box& box) {
  std::uint64_t count = 1;
  for (const Side& side : box.sides) count *= side.size;
  return count;
}

/// Cuts elements [first, first + count) of a C-order traversal into at most two boxes a dimension.
class RangeCutter {
 public:
  explicit RangeCutter(std::span<const Dim> dims) : dims_(dims), inner_(dims.size(), 1) {
    for (std::size_t i = dims.size(); i-- > 1;)
      inner_[i - 1] = inner_[i] * static_cast<std::uint64_t>(dims[i].size);
  }

  std::vector<Box> cut(std::uint64_t source, std::uint64_t first, std::uint64_t count) {
    std::vector<Box> boxes;
    const std::uint64_t end = first + count;
    for (std::uint64_t at = first; at < end;) {
      const std::size_t level = level_of(at, end);
      const std::uint64_t rows = rows_at(level, at, end);
      boxes.push_back(box_at(level, source, at, rows, at - first));
      at += rows * inner_[level];
    }
    return boxes;
  }

 private:
  /// The outermost dimension of which whole rows begin at `at` and end by `end`.
  std::size_t level_of(std::uint64_t at, std::uint64_t end) const {
    std::size_t level = 0;
    while (at % inner_[level] != 0 || end - at < inner_[level]) ++level;
    return level;
  }
  std::uint64_t rows_at(std::size_t level, std::uint64_t at, std::uint64_t end) const {
    const auto size = static_cast<std::uint64_t>(dims_[level].size);
    const std::uint64_t index = at / inner_[level] % size;
    return std::min(size - index, (end - at) / inner_[level]);
  }
  Box box_at(std::size_t level, std::uint64_t source, std::uint64_t at, std::uint64_t rows,
             std::uint64_t out) const {
    Box box{{}, source, out};
    for (std::size_t i = 0; i <= level; ++i)
      box.source += at / inner_[i] % static_cast<std::uint64_t>(dims_[i].size) *
                    static_cast<std::uint64_t>(dims_[i].stride_elements);
    for (std::size_t i = level; i < dims_.size(); ++i)
      box.sides.push_back({i == level ? rows : static_cast<std::uint64_t>(dims_[i].size),
                           static_cast<std::uint64_t>(dims_[i].stride_elements), inner_[i]});
    return box;
  }

  std::span<const Dim> dims_;
  std::vector<std::uint64_t> inner_;  // elements of one step in each dimension
};

/// How a box's bytes come: `steps` (outermost first) count runs of `run` elements each.
struct RunPlan {
  std::vector<std::size_t> step_sides;  ///< by descending stride
  std::vector<std::size_t> run_sides;   ///< by ascending stride
  std::uint64_t run_count = 1;
  std::uint64_t run = 1;  ///< elements

  std::uint64_t elements() const { return run_count * run; }  // callers' boxes keep it small
};

RunPlan plan_runs(const Box& box, std::uint64_t element_bytes) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < box.sides.size(); ++i)
    if (box.sides[i].size > 1) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(box.sides[a].stride, a) < std::pair(box.sides[b].stride, b);
  });
  RunPlan plan;
  for (const std::size_t i : order) {
    const Side& side = box.sides[i];
    const bool joins = plan.step_sides.empty() &&
                       side.stride * element_bytes <= plan.run * element_bytes + kGapBytes;
    if (joins) {
      plan.run_sides.push_back(i);
      plan.run += (side.size - 1) * side.stride;
    } else {
      plan.step_sides.insert(plan.step_sides.begin(), i);
      plan.run_count *= side.size;
    }
  }
  return plan;
}

/// True if the box's output is one run, so that it can be gathered in place.
bool output_is_contiguous(const Box& box) {
  std::uint64_t next = 1;
  for (std::size_t i = box.sides.size(); i-- > 0;) {
    if (box.sides[i].size == 1) continue;
    if (box.sides[i].out_stride != next) return false;
    next *= box.sides[i].size;
  }
  return true;
}

class BoxReader {
 public:
  BoxReader(const StorageRead& read, std::uint64_t element_bytes, std::span<std::byte> out,
            std::span<std::byte> scratch)
      : read_(read), element_bytes_(element_bytes), out_(out), scratch_(scratch) {}

  /// Reads the box, cut in halves until its parts fit the scratch. Lower halves come first: reads
  /// ascend.
  Status read_all(Box whole) {
    std::vector<Box> waiting{std::move(whole)};
    while (!waiting.empty()) {
      const Box box = std::move(waiting.back());
      waiting.pop_back();
      const RunPlan plan = plan_runs(box, element_bytes_);
      if (reads_in_place(box, plan)) {
        KILTER_TRY(read_(box.source * element_bytes_, out_of(box.out, count_of(box))));
      } else if (fits(box, plan)) {
        KILTER_TRY(read_one(box, plan));
      } else {
        halve(box, plan, waiting);
      }
    }
    return ok();
  }

 private:
  std::span<std::byte> out_of(std::uint64_t element, std::uint64_t count) const {
    return out_.subspan(element * element_bytes_, count * element_bytes_);
  }

  /// A single run that already has the output's order.
  bool reads_in_place(const Box& box, const RunPlan& plan) const {
    if (plan.run_count != 1 || !output_is_contiguous(box)) return false;
    std::uint64_t next = 1;
    for (std::size_t i = box.sides.size(); i-- > 0;) {
      if (box.sides[i].size == 1) continue;
      if (box.sides[i].stride != next) return false;
      next *= box.sides[i].size;
    }
    return true;
  }

  /// Half of the scratch holds what is read, half what is gathered where the output has gaps.
  bool fits(const Box& box, const RunPlan& plan) const {
    const std::uint64_t half = scratch_.size() / 2 / element_bytes_;
    if (plan.run > half || plan.run_count > half / plan.run) return false;
    return output_is_contiguous(box) || count_of(box) <= half;
  }

  /// Steps are cut before runs, so that runs stay long; a box whose reads fit but whose output does
  /// not is cut along its longest side.
  static void halve(const Box& box, const RunPlan& plan, std::vector<Box>& waiting) {
    std::size_t cut = 0;
    const bool by_step = !plan.step_sides.empty();
    if (by_step) {
      cut = plan.step_sides.front();
    } else {
      for (std::size_t i = 0; i < box.sides.size(); ++i)
        if (weight(box.sides[i]) > weight(box.sides[cut])) cut = i;
    }
    Box low = box, high = box;
    const std::uint64_t half = box.sides[cut].size / 2;
    low.sides[cut].size = half;
    high.sides[cut].size -= half;
    high.source += half * box.sides[cut].stride;
    high.out += half * box.sides[cut].out_stride;
    waiting.push_back(std::move(high));
    waiting.push_back(std::move(low));
  }
  static std::uint64_t weight(const Side& side) {
    return (side.size - 1) * std::max<std::uint64_t>(side.stride, 1);
  }

  Status read_one(const Box& box, const RunPlan& plan) {
    KILTER_TRY(read_runs(box, plan));
    // The same box, with the strides it has in the scratch.
    std::vector<std::int64_t> shape, strides;
    for (const Side& side : box.sides) {
      shape.push_back(static_cast<std::int64_t>(side.size));
      strides.push_back(static_cast<std::int64_t>(side.stride));
    }
    std::uint64_t next = plan.run;
    for (std::size_t i = plan.step_sides.size(); i-- > 0;) {
      strides[plan.step_sides[i]] = static_cast<std::int64_t>(next);
      next *= box.sides[plan.step_sides[i]].size;
    }
    KILTER_ASSIGN(const Gather gather,
                  Gather::make(shape, strides, static_cast<std::uint32_t>(element_bytes_)));
    const std::uint64_t count = count_of(box);
    if (output_is_contiguous(box)) {
      gather.run(scratch_.data(), 0, count, out_of(box.out, count).data());
      return ok();
    }
    std::byte* const ordered = scratch_.data() + scratch_.size() / 2;
    gather.run(scratch_.data(), 0, count, ordered);
    spread(box, ordered);
    return ok();
  }

  Status read_runs(const Box& box, const RunPlan& plan) {
    std::vector<std::uint64_t> index(plan.step_sides.size(), 0);
    const std::uint64_t run_bytes = plan.run * element_bytes_;
    std::uint64_t source = box.source;
    for (std::uint64_t i = 0; i < plan.run_count; ++i) {
      KILTER_TRY(read_(source * element_bytes_, scratch_.subspan(i * run_bytes, run_bytes)));
      for (std::size_t k = index.size(); k-- > 0;) {
        const Side& side = box.sides[plan.step_sides[k]];
        source += side.stride;
        if (++index[k] < side.size) break;
        source -= side.stride * side.size;
        index[k] = 0;
      }
    }
    return ok();
  }

  /// Copies the box's rows from C order to where they lie in the output.
  void spread(const Box& box, const std::byte* ordered) {
    std::size_t outer = box.sides.size();
    std::uint64_t row = 1;
    while (outer > 0 && (box.sides[outer - 1].size == 1 || box.sides[outer - 1].out_stride == row))
      row *= box.sides[--outer].size;
    std::vector<std::uint64_t> index(outer, 0);
    const std::uint64_t rows = count_of(box) / row;
    std::uint64_t to = box.out;
    for (std::uint64_t i = 0; i < rows; ++i) {
      std::memcpy(out_of(to, row).data(), ordered + i * row * element_bytes_, row * element_bytes_);
      for (std::size_t k = outer; k-- > 0;) {
        to += box.sides[k].out_stride;
        if (++index[k] < box.sides[k].size) break;
        to -= box.sides[k].out_stride * box.sides[k].size;
        index[k] = 0;
      }
    }
  }

  const StorageRead& read_;
  std::uint64_t element_bytes_;
  std::span<std::byte> out_;
  std::span<std::byte> scratch_;
};

}  // namespace

StridedReader::StridedReader(const TensorInfo& tensor)
    : dims_(coalesce_dims(tensor.shape, tensor.strides)),
      offset_elements_(tensor.offset_elements),
      element_bytes_(dtype_row(tensor.dtype).bits / 8U) {
  if (dims_.empty()) dims_.push_back({1, 1});
}

std::uint64_t StridedReader::read_cost_bytes(std::uint64_t count) const {
  std::uint64_t cost = 0;
  for (const Box& box : RangeCutter(dims_).cut(offset_elements_, 0, count)) {
    const RunPlan plan = plan_runs(box, element_bytes_);
    cost += plan.run_count * (kGapBytes + plan.run * element_bytes_);
  }
  return cost;
}

Status StridedReader::read(const StorageRead& read, std::uint64_t first, std::uint64_t count,
                           std::span<std::byte> out, std::span<std::byte> scratch) const {
  BoxReader reader(read, element_bytes_, out, scratch);
  for (Box& box : RangeCutter(dims_).cut(offset_elements_, first, count))
    KILTER_TRY(reader.read_all(std::move(box)));
  return ok();
}

}  // namespace kilter::flow

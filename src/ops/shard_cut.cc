#include "ops/shard_cut.h"

#include <algorithm>

#include "base/text.h"
#include "base/try.h"

namespace kilter::ops {

namespace {

constexpr unsigned kRanksMax = 65536;

class Cutter {
 public:
  Cutter(const TensorIndex& index, const ReshardOptions& options)
      : index_(index), options_(options), used_(options.rules.size(), false) {}

  Result<ShardCut> run() {
    out_.rank_bytes.assign(options_.ranks, 0);
    std::vector<std::size_t> whole;
    for (std::size_t i = 0; i < index_.tensors.size(); ++i) {
      KILTER_TRY(judge(i));
      if (out_.tensors[i].dim) {
        cut(i);
      } else {
        whole.push_back(i);
      }
    }
    for (std::size_t i = 0; i < used_.size(); ++i)
      if (!used_[i])
        return fail(Error(ErrorCode::kInvalidArgument, "a rule of the plan matches no tensor")
                        .wanted("a glob that matches", options_.rules[i].glob));
    place_whole(std::move(whole));
    std::stable_sort(out_.pieces.begin(), out_.pieces.end(),
                     [](const ShardPiece& a, const ShardPiece& b) {
                       return std::pair(a.rank, a.tensor) < std::pair(b.rank, b.tensor);
                     });
    return std::move(out_);
  }

 private:
  /// The first rule that matches; without rules, the first dimension.
  std::optional<std::int64_t> wanted_dim(const std::string& name, std::string* reason) {
    if (options_.rules.empty()) return 0;
    for (std::size_t i = 0; i < options_.rules.size(); ++i) {
      if (!glob_match(options_.rules[i].glob, name)) continue;
      used_[i] = true;
      if (!options_.rules[i].dim) *reason = "the plan keeps it whole";
      return options_.rules[i].dim;
    }
    *reason = "no rule of the plan matches";
    return std::nullopt;
  }

  Status judge(std::size_t number) {
    const TensorInfo& tensor = index_.tensors[number];
    ReshardReport::Tensor row;
    row.name = tensor.name;
    row.bytes = tensor.bytes();
    auto dim = wanted_dim(tensor.name, &row.reason);
    const auto rank = static_cast<std::int64_t>(tensor.shape.size());
    if (dim && *dim < 0) dim = *dim + rank;
    if (dim && rank == 0) {
      row.reason = "a scalar";
      dim.reset();
    } else if (dim && (*dim < 0 || *dim >= rank)) {
      Error error(ErrorCode::kInvalidArgument, "the plan cuts along a dimension that is not there");
      error.tensor = tensor.name;
      return fail(std::move(error).wanted("a dimension below " + std::to_string(rank),
                                          std::to_string(*dim)));
    } else if (dim && tensor.element_count() == 0) {
      row.reason = "it has no elements";
      dim.reset();
    } else if (dim && !fits_bytes(tensor, static_cast<std::size_t>(*dim))) {
      row.reason = "its elements are narrower than a byte: pieces would begin inside one";
      dim.reset();
    }
    row.dim = dim;
    out_.tensors.push_back(std::move(row));
    return ok();
  }

  std::int64_t step_of(const TensorInfo& tensor, std::size_t dim) const {
    const auto ranks = static_cast<std::int64_t>(options_.ranks);
    return tensor.shape[dim] / ranks + (tensor.shape[dim] % ranks != 0 ? 1 : 0);
  }

  bool fits_bytes(const TensorInfo& tensor, std::size_t dim) const {
    const std::uint64_t bits = dtype_row(tensor.dtype).bits;
    if (bits % 8 == 0) return true;
    const auto piece = static_cast<std::uint64_t>(step_of(tensor, dim) * tensor.strides[dim]);
    return dim == 0 && tensor.contiguous() && piece * bits % 8 == 0;
  }

  void add(std::size_t number, unsigned rank, std::vector<std::int64_t> offsets, TensorInfo view) {
    out_.rank_bytes[rank] += view.bytes();
    out_.pieces.push_back({number, std::move(offsets), rank, std::move(view)});
  }

  void cut(std::size_t number) {
    const TensorInfo& tensor = index_.tensors[number];
    const auto dim = static_cast<std::size_t>(*out_.tensors[number].dim);
    const std::int64_t size = tensor.shape[dim], step = step_of(tensor, dim);
    unsigned rank = 0;
    for (std::int64_t at = 0; at < size; at += step, ++rank) {
      TensorInfo view = tensor;
      view.shape[dim] = std::min(step, size - at);
      view.offset_elements += static_cast<std::uint64_t>(at * tensor.strides[dim]);
      std::vector<std::int64_t> offsets(tensor.shape.size(), 0);
      offsets[dim] = at;
      add(number, rank, std::move(offsets), std::move(view));
    }
    out_.tensors[number].pieces = rank;
  }

  /// The largest first, each to the rank that has least.
  void place_whole(std::vector<std::size_t> tensors) {
    std::stable_sort(tensors.begin(), tensors.end(), [&](std::size_t a, std::size_t b) {
      return out_.tensors[a].bytes > out_.tensors[b].bytes;
    });
    for (const std::size_t number : tensors) {
      const TensorInfo& tensor = index_.tensors[number];
      const auto least = std::min_element(out_.rank_bytes.begin(), out_.rank_bytes.end());
      add(number, static_cast<unsigned>(least - out_.rank_bytes.begin()),
          std::vector<std::int64_t>(tensor.shape.size(), 0), tensor);
    }
  }

  const TensorIndex& index_;
  const ReshardOptions& options_;
  std::vector<bool> used_;  // rules
  ShardCut out_;
};

}  // namespace

Result<ShardCut> cut_tensors(const TensorIndex& index, const ReshardOptions& options) {
  if (options.ranks == 0 || options.ranks > kRanksMax)
    return fail(Error(ErrorCode::kInvalidArgument, "that many ranks cannot be")
                    .wanted("1 to " + std::to_string(kRanksMax), std::to_string(options.ranks)));
  return Cutter(index, options).run();
}

}  // namespace kilter::ops

#include "flow/check_assembly.h"

#include <algorithm>
#include <optional>

#include "base/checked.h"
#include "base/try.h"
#include "tensor/layout.h"

namespace kilter::flow {
namespace {

std::string piece_text(std::size_t number) { return "piece " + std::to_string(number); }

/// Elements of the piece, or why its box is none of the whole's.
Result<std::uint64_t> check_box(const Assembly& assembly, std::size_t number) {
  const Piece& piece = assembly.pieces[number];
  const std::size_t rank = assembly.shape.size();
  if (piece.offsets.size() != rank || piece.sizes.size() != rank || piece.strides.size() != rank)
    return fail(
        Error(ErrorCode::kMalformed, piece_text(number) + " has not the dimensions of the whole")
            .wanted(std::to_string(rank) + " dimensions", shape_text(piece.sizes)));
  std::uint64_t count = 1;
  for (std::size_t d = 0; d < rank; ++d) {
    const std::int64_t offset = piece.offsets[d], size = piece.sizes[d];
    const bool inside = offset >= 0 && size >= 0 &&
                        offset <= assembly.shape[d] - std::min(size, assembly.shape[d]) &&
                        size <= assembly.shape[d];
    if (!inside)
      return fail(Error(ErrorCode::kMalformed, piece_text(number) + " lies outside the whole")
                      .wanted("a box within " + shape_text(assembly.shape),
                              shape_text(piece.sizes) + " at " + shape_text(piece.offsets)));
    count *= static_cast<std::uint64_t>(size);  // no more than the whole's, which fits
  }
  return count;
}

/// Proves that boxes fill a whole exactly once, without comparing them with each other. How often
/// an element is covered is a function on a grid; its difference along every dimension is zero
/// except at corners of boxes, where each box adds +1 and -1 in turn. That difference determines
/// the function. So the boxes fill the whole if and only if their signed corners, summed up, are
/// those of the whole.
class CornerSum {
 public:
  CornerSum(const Assembly& assembly, const std::vector<std::size_t>& pieces)
      : assembly_(assembly), pieces_(pieces) {}

  Status check() {
    find_cut_dimensions();
    KILTER_TRY(check_budget());
    const std::size_t half = ((pieces_.size() + 1) << cut_.size()) / 2 + 1;
    plus_.reserve(half);
    minus_.reserve(half);
    for (const std::size_t piece : pieces_)
      add(assembly_.pieces[piece].offsets, assembly_.pieces[piece].sizes, false);
    add(std::vector<std::int64_t>(assembly_.shape.size(), 0), assembly_.shape, true);
    std::sort(plus_.begin(), plus_.end());
    std::sort(minus_.begin(), minus_.end());
    return plus_ == minus_ ? ok() : explain();
  }

 private:
  /// Others are filled by every piece: all corners would cancel along them.
  void find_cut_dimensions() {
    for (std::size_t d = 0; d < assembly_.shape.size(); ++d) {
      const bool cut = std::any_of(pieces_.begin(), pieces_.end(), [&](std::size_t piece) {
        return assembly_.pieces[piece].sizes[d] != assembly_.shape[d];
      });
      if (cut) cut_.push_back(d);
    }
  }

  Status check_budget() const {
    std::optional<std::uint64_t> corners = pieces_.size() + 1, places = 1;
    for (const std::size_t d : cut_) {
      corners = corners ? checked_mul<std::uint64_t>(*corners, 2) : corners;
      places = places ? checked_mul(*places, static_cast<std::uint64_t>(assembly_.shape[d]) + 1)
                      : places;
    }
    if (corners && *corners <= kAssemblyCornersMax && places) return ok();
    return fail(Error(ErrorCode::kLimitExceeded, "a tensor in too many pieces to check")
                    .wanted("at most " + std::to_string(kAssemblyCornersMax) + " corners",
                            std::to_string(pieces_.size()) + " pieces cut in " +
                                std::to_string(cut_.size()) + " dimensions"));
  }

  void add(const std::vector<std::int64_t>& offsets, const std::vector<std::int64_t>& sizes,
           bool negative) {
    for (std::uint64_t corner = 0; corner < std::uint64_t{1} << cut_.size(); ++corner) {
      std::uint64_t place = 0;
      bool minus = negative;
      for (std::size_t i = 0; i < cut_.size(); ++i) {
        const std::size_t d = cut_[i];
        const bool far = (corner >> i & 1) != 0;
        const std::int64_t at = offsets[d] + (far ? sizes[d] : 0);
        place = place * (static_cast<std::uint64_t>(assembly_.shape[d]) + 1) +
                static_cast<std::uint64_t>(at);
        minus = minus != far;
      }
      (minus ? minus_ : plus_).push_back(place);
    }
  }

  Status explain() const {
    const auto [a, b] = std::mismatch(plus_.begin(), plus_.end(), minus_.begin(), minus_.end());
    std::uint64_t place = std::min(a == plus_.end() ? ~0ULL : *a, b == minus_.end() ? ~0ULL : *b);
    std::vector<std::int64_t> at(assembly_.shape.size(), 0);
    for (std::size_t i = cut_.size(); i-- > 0;) {
      const std::uint64_t radix = static_cast<std::uint64_t>(assembly_.shape[cut_[i]]) + 1;
      at[cut_[i]] = static_cast<std::int64_t>(place % radix);
      place /= radix;
    }
    return fail(Error(ErrorCode::kMalformed, "the pieces of the tensor overlap and leave gaps")
                    .wanted("every element of " + shape_text(assembly_.shape) + " once",
                            "a fault at " + shape_text(at)));
  }

  const Assembly& assembly_;
  const std::vector<std::size_t>& pieces_;  // those with elements
  std::vector<std::size_t> cut_;            // dimensions that some piece does not fill
  std::vector<std::uint64_t> plus_, minus_;
};

}  // namespace

Status check_assembly(const Assembly& assembly, std::uint64_t bytes) {
  const std::uint64_t bits = dtype_row(assembly.element).bits;
  if (bits % 8 != 0)
    return fail(Error(ErrorCode::kMalformed, "pieces of elements narrower than a byte")
                    .wanted("whole bytes", std::string(dtype_row(assembly.element).name)));
  KILTER_ASSIGN(const std::uint64_t count, element_count(assembly.shape));
  KILTER_ASSIGN(const std::uint64_t whole, packed_bytes(assembly.element, count));
  if (whole != bytes)
    return fail(Error(ErrorCode::kMalformed, "the assembled whole has another size than stated")
                    .wanted(std::to_string(bytes) + " bytes", std::to_string(whole) + " bytes"));
  std::vector<std::size_t> filled;
  std::optional<std::uint64_t> sum = 0;
  for (std::size_t i = 0; i < assembly.pieces.size(); ++i) {
    KILTER_ASSIGN(const std::uint64_t held, check_box(assembly, i));
    if (held != 0) filled.push_back(i);
    sum = sum ? checked_add(*sum, held) : sum;
  }
  if (sum != count)
    return fail(Error(ErrorCode::kMalformed, sum && *sum < count
                                                 ? "pieces of the tensor are missing"
                                                 : "pieces of the tensor overlap")
                    .wanted(std::to_string(count) + " elements in all",
                            sum ? std::to_string(*sum) : std::string("more than 2^64")));
  return count == 0 ? ok() : CornerSum(assembly, filled).check();
}

}  // namespace kilter::flow

// One base tensor with everything that adapters do to it, rounded once.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "flow/plan.h"
#include "ops/adapter/factors.h"

namespace kilter::ops {

/// One adapter's part in a tensor. Steps are taken one after the other, each on what the one before
/// left, in binary64.
struct AdapterStep {
  enum class Kind : std::uint8_t {
    kAdd,      ///< v += weight · Δ
    kDora,     ///< v += strength · (m / ‖v + scale Δ‖ · (v + scale Δ) − v)
    kRows,     ///< v *= 1 + strength · (l − 1), l by row
    kColumns,  ///< the same by column
    kInput,    ///< v += weight · x, x another input of the output
    kReplace,  ///< v += strength · (x − v)
  };
  Kind kind = Kind::kAdd;
  const WeightsInput* adapter = nullptr;
  const model::AdapterModule* module = nullptr;
  double weight = 1;  ///< kAdd and kInput: strength · scale; kDora: scale
  double strength = 1;
  bool transposed = false;       ///< the factors make [out, in], the weight is [in, out]
  std::size_t input = 0;         ///< kInput, kReplace: which input of the output
  std::size_t input_tensor = 0;  ///< the same in its adapter: for passes over the whole tensor
  DType input_dtype = DType::kF32;
  bool norms_of_columns = false;  ///< kDora: ‖·‖ over the rows
  std::size_t column_group = 1;   ///< columns that share a norm: the kernel's points
};

struct AdapterTensor {
  std::string name;  ///< of the base tensor, for messages
  std::string path;  ///< of the base
  DType dtype = DType::kF32;
  std::uint64_t rows = 0, columns = 0;
  /// Where the kernel reads the whole tensor itself (norms): the base and its position there; rows
  /// from `first_row` of that tensor on.
  const WeightsInput* base = nullptr;
  std::size_t tensor = 0;
  std::vector<AdapterStep> steps;
  bool allow_too_large = false, allow_not_finite = false;
  /// Steps that change a part of the rows alone: [first, first + count) each; empty: all rows.
  struct Rows {
    std::uint64_t first = 0, count = 0;
  };
  std::vector<Rows> step_rows;  ///< one for each step
};

/// Factors are read when the tensor's first tile comes, and kept while tiles of it may follow: at
/// most `kept_max` tensors' at a time over all kernels that share a keeper.
class FactorKeeper;
std::shared_ptr<FactorKeeper> make_factor_keeper(std::size_t kept_max);

class AdapterKernel : public Kernel {
 public:
  AdapterKernel(AdapterTensor tensor, std::shared_ptr<FactorKeeper> keeper);
  std::string name() const override { return "adapter"; }
  /// Errors: from reading factors; kMalformed where the base or the result is NaN or infinite,
  /// kOutOfRange where a number is too large for the dtype, unless allowed.
  Status run(const KernelTile& tile) const override;

 private:
  AdapterTensor tensor_;
  std::shared_ptr<FactorKeeper> keeper_;
};

}  // namespace kilter::ops

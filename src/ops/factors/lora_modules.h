// The LoRA modules of adapters, as matrices to compute with.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kilter/adapter_factors.h"

#include "model/adapters/description.h"
#include "ops/factors/adapter_draft.h"
#include "ops/factors/factor_pair.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

/// An opened adapter that consists of plain LoRA modules and, perhaps, tensors stored whole.
struct LoraInput {
  WeightsInput input;  ///< address and checkpoint alone
  model::AdapterDescription adapter;
};

/// Errors: as open_checkpoint(); kInvalidArgument for what is no adapter, states no scale, has
/// settings no rule follows, or modules of another kind: named.
Result<LoraInput> open_lora(const std::string& address, const OpenOptions& options);

/// What a module does, but for its scale: up · downᵀ.
struct LoraFactors {
  Matrix up;    ///< [rows][rank]
  Matrix down;  ///< [columns][rank]
};
/// Errors: kIo, kCorrupt; kMalformed for NaN and infinities.
Result<LoraFactors> read_factors(const LoraInput& lora, const model::AdapterModule& module);

/// Rows and columns of the matrix a module's factors make (a convolution's kernel is flattened).
struct ModuleShape {
  std::size_t rows = 0, columns = 0, rank = 0;
  bool operator==(const ModuleShape&) const = default;
};
ModuleShape shape_of_module(const model::AdapterModule& module);

/// The widest dtype among the factors that factors are written in.
DType dtype_of_factors(const std::vector<LoraInput>& inputs);

/// New factors are held in memory until they are written. Errors: kLimitExceeded.
Status check_factor_memory(const std::vector<LoraInput>& inputs, const FactorOptions& options);

/// The module again with other factors: alpha is the rank. Conv kernels keep their shape.
void add_module(AdapterDraft& draft, const model::AdapterModule& like, const FactorPair& pair,
                DType dtype);
/// A module stored whole, copied.
void copy_module(AdapterDraft& draft, const LoraInput& from, const model::AdapterModule& module);

/// Naming, configuration, metadata and base of `like`: everything but modules.
void begin_draft(AdapterDraft& draft, const model::AdapterDescription& like);

/// `left` and `right` side by side.
Matrix beside(const Matrix& left, const Matrix& right);
void scale_matrix(Matrix& matrix, double factor);

/// |wanted - pair|, both as products.
double error_of_pair(const LoraFactors& wanted, const FactorPair& pair);

}  // namespace kilter::ops

#include "ops/factors/lora_modules.h"

#include <algorithm>
#include <cmath>

#include "base/try.h"
#include "flow/source.h"
#include "model/adapters/read_adapter.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

using model::AdapterFactor;
using model::AdapterModule;
using model::FactorRole;
using model::ModuleKind;

/// Why a module cannot be taken as two factors; empty if it can.
std::string_view why_not_lora(const AdapterModule& module) {
  if (module.kind == ModuleKind::kReplace) return "";
  if (module.kind != ModuleKind::kLora) return "it is no LoRA";
  if (module.find(FactorRole::kMagnitude) != nullptr) return "it has DoRA's magnitudes";
  if (module.find(FactorRole::kMid) != nullptr) return "it is a Tucker form (lora_mid)";
  if (module.find(FactorRole::kUpBias) != nullptr) return "it has a bias beside its factors";
  for (const AdapterFactor& factor : module.factors)
    if (!has_float_values(factor.dtype)) return "its factors are no floats";
  return "";
}

Error no_lora(const std::string& address, const AdapterModule& module, std::string_view why) {
  Error error(ErrorCode::kInvalidArgument,
              "module " + module.path + " cannot be computed with here: " + std::string(why));
  error.path = address;
  error.expected = "two plain LoRA factors";
  error.found = module_kind_name(module.kind);
  error.hint =
      "`kilter adapter apply` bakes any kind into a model, and `adapter extract` makes "
      "LoRA of the result";
  return error;
}

Status check_lora(const std::string& address, const model::AdapterDescription& adapter) {
  if (adapter.scale_unknown)
    return fail(Error(ErrorCode::kInvalidArgument, "it states no scale")
                    .at_path(address)
                    .advise("put its adapter_config.json beside it"));
  if (!adapter.unsupported.empty())
    return fail(
        Error(ErrorCode::kUnsupported, "its configuration asks for " + adapter.unsupported.front())
            .at_path(address));
  for (const AdapterModule& module : adapter.modules)
    if (const auto why = why_not_lora(module); !why.empty())
      return fail(no_lora(address, module, why));
  return ok();
}

Result<std::vector<double>> read_values(const LoraInput& lora, const AdapterFactor& factor) {
  const TensorInfo& info = lora.input.checkpoint.tensors()[factor.tensor];
  RawBytes bytes(static_cast<std::size_t>(info.bytes()));
  KILTER_TRY(lora.input.checkpoint.source()->read_tensor(factor.tensor, 0, bytes));
  std::vector<double> out(static_cast<std::size_t>(info.element_count()));
  widen_floats(info.dtype, bytes.data(), out.size(), out.data());
  if (std::ranges::all_of(out, [](double v) { return std::isfinite(v); })) return out;
  Error error(ErrorCode::kMalformed, "it has NaN or infinities");
  error.path = lora.input.address;
  error.tensor = info.name;
  return fail(std::move(error));
}

/// [columns][rows] of a row-major [rows][columns].
Matrix transposed(const std::vector<double>& values, std::size_t rows, std::size_t columns) {
  Matrix out(columns, rows);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j) out.at(j, i) = values[i * columns + j];
  return out;
}

}  // namespace

ModuleShape shape_of_module(const AdapterModule& module) {
  const AdapterFactor& up = *module.find(FactorRole::kUp);
  const AdapterFactor& down = *module.find(FactorRole::kDown);
  std::size_t columns = 1;
  for (std::size_t i = 1; i < down.shape.size(); ++i)
    columns *= static_cast<std::size_t>(down.shape[i]);
  return {static_cast<std::size_t>(up.shape.front()), columns,
          static_cast<std::size_t>(down.shape.front())};
}

Result<LoraInput> open_lora(const std::string& address, const OpenOptions& options) {
  KILTER_ASSIGN(Checkpoint checkpoint, open_checkpoint(address, options));
  KILTER_ASSIGN(model::AdapterDescription adapter, model::read_adapter(checkpoint, options));
  KILTER_TRY(check_lora(address, adapter));
  return LoraInput{{address, std::move(checkpoint), {}, {}}, std::move(adapter)};
}

Result<LoraFactors> read_factors(const LoraInput& lora, const AdapterModule& module) {
  const ModuleShape shape = shape_of_module(module);
  KILTER_ASSIGN(std::vector<double> up, read_values(lora, *module.find(FactorRole::kUp)));
  KILTER_ASSIGN(const std::vector<double> down, read_values(lora, *module.find(FactorRole::kDown)));
  LoraFactors out;
  out.up = Matrix(shape.rows, shape.rank);
  out.up.values = std::move(up);
  out.down = transposed(down, shape.rank, shape.columns);
  return out;
}

DType dtype_of_factors(const std::vector<LoraInput>& inputs) {
  std::optional<DType> found;
  for (const LoraInput& input : inputs)
    for (const AdapterModule& module : input.adapter.modules)
      for (const AdapterFactor& factor : module.factors) {
        if (module.kind != ModuleKind::kLora) continue;
        if (!is_factor_dtype(factor.dtype)) return DType::kF32;
        if (found && *found != factor.dtype) return DType::kF32;
        found = factor.dtype;
      }
  return found.value_or(DType::kF32);
}

Status check_factor_memory(const std::vector<LoraInput>& inputs, const FactorOptions& options) {
  std::uint64_t elements = 0;
  for (const LoraInput& input : inputs)
    for (const AdapterModule& module : input.adapter.modules) {
      if (module.kind != ModuleKind::kLora) continue;
      const ModuleShape shape = shape_of_module(module);
      elements += (shape.rows + shape.columns) * shape.rank;
    }
  const std::uint64_t bytes = elements * 8;  // as they are computed, and as they are written
  if (bytes <= options.max_memory_bytes) return ok();
  return fail(Error(ErrorCode::kLimitExceeded, "the factors do not fit the memory budget")
                  .wanted(std::to_string(options.max_memory_bytes) + " bytes",
                          std::to_string(bytes) + " bytes")
                  .advise("give more --max-memory"));
}

void add_module(AdapterDraft& draft, const AdapterModule& like, const FactorPair& pair,
                DType dtype) {
  AdapterModule module = like;
  const auto rank = static_cast<std::int64_t>(pair.rank);
  std::vector<std::int64_t> up = like.find(FactorRole::kUp)->shape;
  std::vector<std::int64_t> down = like.find(FactorRole::kDown)->shape;
  up[1] = rank;
  down[0] = rank;
  module.factors = {
      {FactorRole::kDown, draft.add(down_bytes(pair, dtype, false)), dtype, std::move(down)},
      {FactorRole::kUp, draft.add(up_bytes(pair, dtype, false)), dtype, std::move(up)}};
  module.alpha = static_cast<double>(rank);
  module.alpha_dtype = DType::kF32;
  module.rank_stabilized = false;
  draft.description.modules.push_back(std::move(module));
}

void copy_module(AdapterDraft& draft, const LoraInput& from, const AdapterModule& module) {
  AdapterModule copy = module;
  for (AdapterFactor& factor : copy.factors)
    factor.tensor =
        draft.add({from.input.checkpoint.source(), InputKind::kTensor, factor.tensor, 0});
  draft.description.modules.push_back(std::move(copy));
}

void begin_draft(AdapterDraft& draft, const model::AdapterDescription& like) {
  draft.description = like;
  draft.description.modules.clear();
  draft.description.ignored.clear();
  draft.config_before = std::move(draft.description.config);
  draft.description.config.clear();
}

Matrix beside(const Matrix& left, const Matrix& right) {
  Matrix out(left.rows, left.columns + right.columns);
  for (std::size_t i = 0; i < left.rows; ++i) {
    for (std::size_t j = 0; j < left.columns; ++j) out.at(i, j) = left.at(i, j);
    for (std::size_t j = 0; j < right.columns; ++j) out.at(i, left.columns + j) = right.at(i, j);
  }
  return out;
}

void scale_matrix(Matrix& matrix, double factor) {
  for (double& value : matrix.values) value *= factor;
}

double error_of_pair(const LoraFactors& wanted, const FactorPair& pair) {
  Matrix up(pair.rows, pair.rank), down(pair.columns, pair.rank);
  for (std::size_t k = 0; k < pair.rank; ++k) {
    for (std::size_t i = 0; i < pair.rows; ++i)
      up.at(i, k) = -static_cast<double>(pair.up.values[i * pair.up.width + k]);
    for (std::size_t j = 0; j < pair.columns; ++j)
      down.at(j, k) = static_cast<double>(pair.down.values[k * pair.down.width + j]);
  }
  return norm_of_product(beside(wanted.up, up), beside(wanted.down, down));
}

}  // namespace kilter::ops

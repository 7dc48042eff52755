// What shall be written, before the first byte is.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "flow/source.h"

namespace kilter {

enum class InputKind : std::uint8_t { kTensor, kStorage, kFile };

struct PlanInput {
  std::shared_ptr<const Source> source;
  InputKind kind = InputKind::kTensor;
  std::size_t index = 0;           ///< of the tensor, storage or file in the source
  std::uint64_t offset_bytes = 0;  ///< first byte used (storages and files; 0 for tensors)
};

/// A named view of an output that holds a shared storage. Strides and offset in elements.
struct PlanView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
  std::uint64_t offset_elements = 0;
};

struct KernelTile {
  std::uint64_t offset_bytes = 0;  ///< of `out` in the output tensor
  std::span<std::byte> out;
  std::span<const Bytes> inputs;  ///< the same elements of each input, in the input's dtype
};

/// Computes output elements from the same elements of the inputs. Must be a pure function: the
/// engine cuts tiles as it likes and runs them on any thread.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual std::string name() const = 0;
  virtual Status run(const KernelTile& tile) const = 0;
  /// True only if the other makes the same bytes of the same inputs: outputs of tied tensors can
  /// then be one.
  virtual bool same_as(const Kernel& other) const { return this == &other; }
};

/// One output tensor (or shared storage, or copied file) and how it is made.
struct PlanOutput {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::uint64_t bytes = 0;
  std::vector<PlanInput> inputs;
  std::shared_ptr<const Kernel> kernel;  ///< null: copy the one input
  std::vector<PlanView> views;           ///< empty: the output is the one tensor `name`
};

/// What a preflight found out about each input tensor.
enum class Fate : std::uint8_t { kUsed, kCopied, kDropped };
struct Account {
  std::string tensor;
  Fate fate = Fate::kCopied;
  std::string output;  ///< where it went; empty if dropped
  std::string reason;  ///< the rule that dropped or changed it; empty if copied as it is
};

struct Plan {
  std::string verb;
  std::vector<PlanOutput> outputs;
  std::vector<Account> accounts;  ///< one for each input tensor
};

}  // namespace kilter

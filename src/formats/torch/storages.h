// Storages as pickles refer to them: persistent ids, and what a container makes of them.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "kilter/checkpoint.h"

#include "formats/pickle/machine.h"

namespace kilter::torch {

/// ('storage', torch.FloatStorage, key, location, numel[, view_metadata]) read from a pickle.
struct StorageRequest {
  struct View {
    std::string key;
    std::uint64_t offset_elements = 0;
    std::uint64_t element_count = 0;
  };
  std::string key;
  DType dtype = DType::kU8;
  bool untyped = false;
  std::string device;
  std::uint64_t element_count = 0;  ///< bytes for an untyped storage
  std::optional<View> view;         ///< legacy: a part of the storage `key`
  std::uint64_t offset_bytes = 0;   ///< of the opcode, in the pickle
};

/// Where a request leads.
struct StorageRef {
  std::uint32_t storage = 0;  ///< in TensorIndex::storages
  DType dtype = DType::kU8;
  bool untyped = false;
  std::uint64_t offset_elements = 0;  ///< of a legacy view in its storage
  std::uint64_t element_count = 0;    ///< that tensors may use
};

/// Something wrong with a storage. The tensors it hits are named once they have names.
struct StorageFault {
  std::uint32_t storage = 0;
  std::string rule;
  Severity severity = Severity::kMalformed;
  Error error;
  bool unusable = false;  ///< its bytes are not all there
};

/// A container's table of storages; one for each opened file.
class StorageTable {
 public:
  virtual ~StorageTable() = default;
  /// Finds or adds the storage. Faults go to `faults`, not to the result.
  /// Errors: kMalformed, kUnsupported (no such key at all, in strict containers).
  virtual Result<StorageRef> resolve(const StorageRequest& request, TensorIndex* index) = 0;
  std::vector<StorageFault> faults;
};

/// Reads a persistent id (or the plain tuple that some hand-built files hold in its place).
/// nullopt if it is not about a storage. Errors: kMalformed, kUnsupported with the offset.
Result<std::optional<StorageRequest>> read_storage_id(const pickle::Graph& graph,
                                                      pickle::NodeId id);

/// ('module', class, file, source), or (class, file, source) in tar files: a class and where it
/// came from.
struct ModuleId {
  std::string name;  ///< "module.Class"
  pickle::NodeId source = pickle::kNoNode;
};
/// nullopt if `node` is no persistent id of this kind.
std::optional<ModuleId> read_module_id(const pickle::Graph& graph, const pickle::Node& node);

/// Element size of `dtype` in bytes as torch counts storages; 1 for packed types.
std::uint64_t storage_element_bytes(DType dtype);

/// The text of a string or bytes node; an integer's digits; nullopt otherwise.
std::optional<std::string> text_of(const pickle::Graph& graph, pickle::NodeId id);
/// A non-negative integer.
std::optional<std::uint64_t> count_of(const pickle::Graph& graph, pickle::NodeId id);

}  // namespace kilter::torch

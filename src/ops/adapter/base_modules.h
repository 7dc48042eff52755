// Finds the layers of a base that an adapter's modules mean, whatever either is called.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/adapters/description.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

/// A tensor of the base, or some of its rows: OpenCLIP keeps three layers in one.
struct BaseTarget {
  std::size_t tensor = 0;
  std::uint64_t first_row = 0, rows = 0;  ///< rows 0: all
};

/// The base's layers by the names adapters use. Keeps a pointer to the base.
class BaseModules {
 public:
  explicit BaseModules(const WeightsInput& base);

  /// The layer's weight, or its bias. Paths are taken with their part and without, under diffusers'
  /// and the original names, with dots and with '_', and without their first level (the base may be
  /// saved without its head). nullopt if there is none, or several fit.
  std::optional<BaseTarget> find(const model::AdapterModule& module, std::string_view what) const;
  /// A tensor by its whole name.
  std::optional<std::size_t> find_tensor(std::string_view name) const;
  /// Says how the layer is quantized ("holds …qweight"); empty if it is not.
  std::string quantized(const model::AdapterModule& module) const;

 private:
  void add(std::size_t tensor);
  void add_name(const std::string& part, const std::string& path, std::string_view what,
                BaseTarget target);
  void add_unet_names(const std::string& part, const std::string& path, std::string_view what,
                      BaseTarget target);
  std::optional<BaseTarget> find_key(const std::string& key) const;

  const WeightsInput& base_;
  bool has_parts_ = false;
  struct Entry {
    BaseTarget target;
    bool several = false;
  };
  std::unordered_map<std::string, Entry> by_key_;
};

}  // namespace kilter::ops

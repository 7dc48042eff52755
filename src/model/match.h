// Finds the components of a checkpoint (a UNet, a text encoder, …) by the signatures' keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/names.h"
#include "model/signature.h"

namespace kilter::model {

/// Sizes by name, in the order they were found.
class Sizes {
 public:
  std::optional<std::int64_t> get(std::string_view name) const;
  /// False where the name has another value already.
  bool bind(std::string_view name, std::int64_t value);
  /// Replaces whatever value the name has.
  void set(std::string_view name, std::int64_t value);
  const std::vector<std::pair<std::string, std::int64_t>>& all() const { return all_; }

 private:
  std::vector<std::pair<std::string, std::int64_t>> all_;
};

/// One signature held against one place in the checkpoint.
struct Candidate {
  const ParsedSignature* signature = nullptr;
  std::string prefix;  ///< where it lies: "model.diffusion_model."; often empty
  double score = 0;    ///< 0 to 1: weight of the keys found over the weight of those asked for
  bool fits = false;   ///< all required keys are there, no forbidden one
  std::size_t required_found = 0;
  Sizes sizes;
  std::vector<std::string> found;             ///< names, with shapes, for people
  std::vector<std::string> failed;            ///< what speaks against it
  bool packed = false;                        ///< some weights are packed codes
  std::uint64_t elements = 0;                 ///< in tensors its `covers` take in
  std::vector<std::uint32_t> missing_layers;  ///< numbers left out below the highest, first few
  std::uint64_t missing_layer_count = 0;
};

struct Components {
  std::vector<Candidate> accepted;     ///< best first: the first one names the checkpoint
  std::vector<Candidate> rivals;       ///< of another family, equally good at accepted[0]'s place
  std::vector<Candidate> near_misses;  ///< best first, at most four
  std::vector<std::uint32_t> owner;    ///< for each group: position in `accepted`, or kNone
  std::uint64_t elements = 0;          ///< of all tensors in the table, buffers left out
};

/// Work is bounded whatever the names are: places, evaluations and scans have budgets.
Components find_components(const NameTable& names);

/// Does a tensor of that name (wildcards allowed, `^` and `/` as in VariantRow) exist?
bool has_key(const NameTable& names, std::string_view prefix, std::string_view key);

/// "name [2,3]"; long names shortened.
std::string describe_tensor(const NameTable& names, std::uint32_t at);

}  // namespace kilter::model

// Keys of a partitioned variable's parts: numbers and strings coded so that their bytes sort as
// they do. Source: tensorflow/core/lib/strings/ordered_code.h (its comments document the coding),
// saved_tensor_slice_util.cc (what stands in a key).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kilter::tensorflow {

inline constexpr std::size_t kRankMax = 254;  ///< TensorFlow's own limit

/// A range of one dimension. A length below 0 means all of it.
struct Extent {
  std::int64_t start = 0;
  std::int64_t length = -1;
  bool operator==(const Extent&) const = default;
};

struct SliceKey {
  std::string name;  ///< of the variable
  std::vector<Extent> extents;
};

/// True for keys of parts: they begin with the number 0. Names of tensors never do.
inline bool is_slice_key(std::string_view key) { return !key.empty() && key[0] == '\0'; }

/// nullopt where the key breaks the coding.
std::optional<SliceKey> decode_slice_key(std::string_view key);
/// As TensorFlow looks the part up.
std::string encode_slice_key(const SliceKey& key);

}  // namespace kilter::tensorflow

// Tensor names, folded once: numbers become {n}, equal forms make a group.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kilter/tensor_index.h"

namespace kilter::model {

inline constexpr std::uint32_t kNone = 0xffffffffU;
/// Longer names belong to no model we know; they keep a group of their own without folding.
inline constexpr std::size_t kNameBytesMax = 512;

/// True for the characters that part one level of a name from the next: '.', and '/' and ':' where
/// a file's path stands in front.
constexpr bool is_separator(char c) { return c == '.' || c == '/' || c == ':'; }

/// Replaces every level that is a number (1 to 9 digits) by "{n}": "h.0.ln" gives "h.{n}.ln". The
/// last level becomes "weight" where it is the packed form of one ("qweight", "weight_packed").
void fold_name(std::string_view name, std::string* out);

/// Names of one folded form, in file order.
struct NameGroup {
  std::string_view form;
  std::uint32_t first = kNone;  ///< position in the table; go on with NameTable::next
  std::uint32_t last = kNone;
  std::uint32_t count = 0;
};

/// Some tensors of a checkpoint under their unwrapped names. Keeps pointers: the index and the
/// names' text must outlive it.
class NameTable {
 public:
  /// `tensors` are positions in `index.tensors`; `names` runs beside it.
  NameTable(const TensorIndex& index, std::vector<std::uint32_t> tensors,
            std::vector<std::string_view> names);

  std::size_t size() const { return names_.size(); }
  std::string_view name(std::uint32_t at) const { return names_[at]; }
  std::uint32_t tensor_position(std::uint32_t at) const { return tensors_[at]; }
  const TensorInfo& tensor(std::uint32_t at) const { return index_->tensors[tensors_[at]]; }
  std::uint64_t elements(std::uint32_t at) const { return elements_[at]; }
  const std::vector<NameGroup>& groups() const { return groups_; }
  std::uint32_t next(std::uint32_t at) const { return next_[at]; }  ///< in the same group

  /// The group of that folded form; nullptr if none.
  const NameGroup* group(std::string_view form) const;
  /// The tensor of exactly that unwrapped name; kNone if none.
  std::uint32_t find(std::string_view name) const;
  /// True where the elements of the tensor are packed codes, so its shape says nothing about the
  /// model: GPTQ and AWQ words, bitsandbytes' 4-bit columns.
  bool packed(std::uint32_t at) const;

 private:
  std::string_view keep(std::string_view text);
  const TensorIndex* index_;
  std::vector<std::uint32_t> tensors_;
  std::vector<std::string_view> names_;
  std::vector<std::uint32_t> next_;
  std::vector<std::uint64_t> elements_;  // kept here: tensors lie far apart in memory
  std::vector<NameGroup> groups_;
  std::unordered_map<std::string_view, std::uint32_t> group_of_form_;
  mutable std::unordered_map<std::string_view, std::uint32_t> at_of_name_;  ///< made when asked for
  std::vector<std::unique_ptr<char[]>> blocks_;
  std::size_t block_left_ = 0;
  char* block_at_ = nullptr;
};

}  // namespace kilter::model

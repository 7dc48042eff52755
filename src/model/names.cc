#include "model/names.h"

#include <cstring>

#include "kilter/dtype.h"

namespace kilter::model {
namespace {

constexpr std::size_t kBlockBytes = 64 << 10;
constexpr std::size_t kIndexDigitsMax = 9;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_number(std::string_view level) {
  if (level.empty() || level.size() > kIndexDigitsMax) return false;
  for (const char c : level)
    if (!is_digit(c)) return false;
  return true;
}

// AutoGPTQ and AutoAWQ store "qweight"; compressed-tensors "weight_packed".
bool is_packed_level(std::string_view level) {
  return level == "qweight" || level == "weight_packed";
}

std::string_view last_level(std::string_view name) {
  std::size_t begin = name.size();
  while (begin > 0 && !is_separator(name[begin - 1])) --begin;
  return name.substr(begin);
}

}  // namespace

void fold_name(std::string_view name, std::string* out) {
  // Only levels that begin with a digit can be numbers; the rest is copied in long runs.
  out->clear();
  std::size_t copied = 0;
  std::size_t begin = 0;
  while (begin < name.size()) {
    std::size_t end = begin;
    while (end < name.size() && !is_separator(name[end])) ++end;
    if (is_digit(name[begin]) && is_number(name.substr(begin, end - begin))) {
      out->append(name.substr(copied, begin - copied)).append("{n}");
      copied = end;
    } else if (end == name.size() && is_packed_level(name.substr(begin))) {
      out->append(name.substr(copied, begin - copied)).append("weight");
      copied = end;
    }
    begin = end + 1;
  }
  out->append(name.substr(copied));
}

NameTable::NameTable(const TensorIndex& index, std::vector<std::uint32_t> tensors,
                     std::vector<std::string_view> names)
    : index_(&index), tensors_(std::move(tensors)), names_(std::move(names)) {
  next_.assign(names_.size(), kNone);
  elements_.reserve(names_.size());
  std::string form;
  for (std::uint32_t at = 0; at < names_.size(); ++at) {
    elements_.push_back(tensor(at).element_count());
    if (names_[at].size() <= kNameBytesMax)
      fold_name(names_[at], &form);
    else
      form.assign(names_[at]);
    auto found = group_of_form_.find(std::string_view(form));
    if (found == group_of_form_.end()) {
      const std::string_view kept = keep(form);
      found = group_of_form_.emplace(kept, static_cast<std::uint32_t>(groups_.size())).first;
      groups_.push_back({kept, at, at, 0});
    }
    NameGroup& group = groups_[found->second];
    if (group.count > 0) next_[group.last] = at;
    group.last = at;
    ++group.count;
  }
}

std::string_view NameTable::keep(std::string_view text) {
  if (text.size() > block_left_) {
    const std::size_t bytes = text.size() > kBlockBytes ? text.size() : kBlockBytes;
    blocks_.push_back(std::make_unique<char[]>(bytes));
    block_at_ = blocks_.back().get();
    block_left_ = bytes;
  }
  if (!text.empty()) std::memcpy(block_at_, text.data(), text.size());
  const std::string_view kept(block_at_, text.size());
  block_at_ += text.size();
  block_left_ -= text.size();
  return kept;
}

const NameGroup* NameTable::group(std::string_view form) const {
  const auto found = group_of_form_.find(form);
  return found == group_of_form_.end() ? nullptr : &groups_[found->second];
}

std::uint32_t NameTable::find(std::string_view name) const {
  if (at_of_name_.empty() && !names_.empty()) {
    at_of_name_.reserve(names_.size());
    for (std::uint32_t at = 0; at < names_.size(); ++at) at_of_name_.emplace(names_[at], at);
  }
  const auto found = at_of_name_.find(name);
  return found == at_of_name_.end() ? kNone : found->second;
}

bool NameTable::packed(std::uint32_t at) const {
  if (is_packed_level(last_level(names_[at]))) return true;
  const TensorInfo& info = tensor(at);
  return info.dtype == DType::kU8 && info.shape.size() == 2 && info.shape[1] == 1;
}

}  // namespace kilter::model

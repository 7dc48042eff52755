#include "model/counts.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>

#include "kilter/dtype.h"

#include "base/text.h"

namespace kilter::model {
namespace {

constexpr std::uint64_t kCountMax = std::uint64_t{1} << 63;
constexpr std::size_t kSharedGroupsMax = 1000;
constexpr std::size_t kNoPosition = std::numeric_limits<std::size_t>::max();

// torch.nn's buffers and those that model code registers. Sources: torch.nn.modules.batchnorm;
// transformers (position_ids, inv_freq, GPT-2's attn.bias masks).
constexpr std::array<std::string_view, 13> kBufferEnds = {
    "num_batches_tracked", "running_mean", "running_var",     "position_ids",
    "token_type_ids",      "inv_freq",     "masked_bias",     "relative_position_index",
    ".attn_mask",          "rope.freqs",   "model_ema.decay", "num_updates",
    ".rotary_emb.inv_freq"};

std::uint64_t capped_add(std::uint64_t a, std::uint64_t b) {
  return b > kCountMax - std::min(a, kCountMax) ? kCountMax : a + b;
}

bool holds_any(std::string_view text, std::string_view alternatives) {
  for (std::string_view one : split(alternatives, ' ')) {
    const bool at_end = one.back() == '$';
    if (at_end) one.remove_suffix(1);
    if (at_end ? text.ends_with(one) : text.find(one) != std::string_view::npos) return true;
  }
  return false;
}

std::string_view part_of_name(std::string_view form) {
  const std::string lower = ascii_lower(form);
  for (const PartRow& row : part_table())
    if (holds_any(lower, row.holds)) return row.part;
  return "other";
}

class Tally {
 public:
  void add(std::string_view name, std::uint64_t elements, std::uint64_t bytes) {
    auto found = std::find_if(counts_.begin(), counts_.end(),
                              [&](const Count& count) { return count.name == name; });
    if (found == counts_.end())
      found = counts_.insert(counts_.end(), Count{std::string(name), 0, 0, 0});
    ++found->tensor_count;
    found->parameter_count = capped_add(found->parameter_count, elements);
    found->bytes = capped_add(found->bytes, bytes);
  }
  std::vector<Count> take() {
    std::stable_sort(counts_.begin(), counts_.end(),
                     [](const Count& a, const Count& b) { return a.bytes > b.bytes; });
    return std::move(counts_);
  }

 private:
  std::vector<Count> counts_;
};

bool same_view(const TensorInfo& a, const TensorInfo& b) {
  return a.storage == b.storage && a.offset_elements == b.offset_elements && a.dtype == b.dtype &&
         a.shape == b.shape && a.strides == b.strides;
}

// Who shows whose bytes: from the reader's ties and from storages seen by several tensors.
class Sharing {
 public:
  explicit Sharing(const CheckpointData& data)
      : data_(data), first_(data.index.tensors.size()), elements_(first_.size()) {
    for (std::size_t i = 0; i < first_.size(); ++i) {
      first_[i] = i;
      elements_[i] = data.index.tensors[i].element_count();
    }
    by_storage();
    by_name();
  }

  /// The earlier tensor that is the same one, or `i` itself.
  std::size_t original(std::size_t i) const { return first_[i]; }

  std::uint64_t elements(std::size_t i) const { return elements_[i]; }

  std::vector<SharedGroup> groups() const {
    std::vector<SharedGroup> out;
    std::map<std::size_t, std::vector<std::size_t>> tied;
    for (std::size_t i = 0; i < first_.size(); ++i)
      if (first_[i] != i) tied[first_[i]].push_back(i);
    for (const auto& [original, copies] : tied) {
      if (out.size() >= kSharedGroupsMax) return out;
      SharedGroup group{"tied", {name(original)}, bytes_of(original)};
      for (const std::size_t copy : copies) group.tensors.push_back(name(copy));
      out.push_back(std::move(group));
    }
    for (const auto& members : views_) {
      if (out.size() >= kSharedGroupsMax) return out;
      SharedGroup group{"shared-storage", {}, bytes_of(members.front())};
      for (const std::size_t member : members) group.tensors.push_back(name(member));
      out.push_back(std::move(group));
    }
    return out;
  }

 private:
  const std::string& name(std::size_t i) const { return data_.index.tensors[i].name; }

  std::uint64_t bytes_of(std::size_t i) const {
    const TensorInfo& tensor = data_.index.tensors[i];
    return tensor.storage < data_.index.storages.size() ? data_.index.storages[tensor.storage].bytes
                                                        : tensor.bytes();
  }

  // Views of one storage share it where the container knows storages at all (torch); elsewhere a
  // storage may be a whole file, so only equal views count.
  void by_storage() {
    std::map<std::uint32_t, std::vector<std::size_t>> users;  // of storages seen more than once
    std::vector<std::size_t> user(data_.index.storages.size(), kNoPosition);
    for (std::size_t i = 0; i < first_.size(); ++i) {
      const std::uint32_t storage = data_.index.tensors[i].storage;
      if (storage >= user.size() || elements_[i] == 0) continue;
      if (user[storage] == kNoPosition) {
        user[storage] = i;
        continue;
      }
      auto& members = users[storage];
      if (members.empty()) members.push_back(user[storage]);
      members.push_back(i);
    }
    const bool views_mean_something =
        data_.format.starts_with("torch") || data_.format.find("pickle") != std::string::npos;
    for (const auto& [storage, members] : users) link(members, views_mean_something);
  }

  void link(const std::vector<std::size_t>& members, bool views_mean_something) {
    // Bounded look back: a storage seen by thousands of different views is listed, not compared.
    constexpr std::size_t kCompareMax = 64;
    std::vector<std::size_t> distinct;
    for (const std::size_t member : members) {
      const auto same = std::find_if(
          distinct.begin(),
          distinct.begin() + static_cast<std::ptrdiff_t>(std::min(distinct.size(), kCompareMax)),
          [&](std::size_t other) {
            return same_view(data_.index.tensors[other], data_.index.tensors[member]);
          });
      const bool found = same != distinct.end() &&
                         same_view(data_.index.tensors[*same], data_.index.tensors[member]);
      if (found)
        first_[member] = *same;
      else
        distinct.push_back(member);
    }
    if (views_mean_something && distinct.size() > 1) views_.push_back(std::move(distinct));
  }

  void by_name() {
    if (data_.ties.empty()) return;
    std::unordered_map<std::string_view, std::size_t> at;
    at.reserve(first_.size());
    for (std::size_t i = 0; i < first_.size(); ++i) at.emplace(name(i), i);
    for (const auto& [copy, original] : data_.ties) {
      const auto from = at.find(copy);
      const auto to = at.find(original);
      if (from == at.end() || to == at.end() || to->second >= from->second) continue;
      first_[from->second] = first_[to->second];
    }
  }

  const CheckpointData& data_;
  std::vector<std::size_t> first_;
  std::vector<std::uint64_t> elements_;
  std::vector<std::vector<std::size_t>> views_;
};

// The part each group of weights counts under: the components' roles where there are several,
// else the layers' kinds.
std::vector<std::string_view> parts_of_groups(const NameTable& weights,
                                              const Components& components) {
  std::vector<std::string_view> parts;
  parts.reserve(weights.groups().size());
  bool several = false;
  for (const Candidate& one : components.accepted)
    several = several || one.signature->row->role != components.accepted[0].signature->row->role;
  for (std::size_t number = 0; number < weights.groups().size(); ++number) {
    const std::uint32_t owner = components.owner[number];
    if (is_buffer(weights.groups()[number].form))
      parts.push_back("buffers");
    else if (!several)
      parts.push_back(part_of_name(weights.groups()[number].form));
    else
      parts.push_back(owner == kNone ? "other" : components.accepted[owner].signature->row->role);
  }
  return parts;
}

}  // namespace

bool is_buffer(std::string_view form) {
  for (const std::string_view end : kBufferEnds)
    if (form.ends_with(end)) return true;
  // GPT-2's causal masks: `attn.bias` beside `attn.c_attn.bias`.
  return form.ends_with("h.{n}.attn.bias");
}

std::uint64_t group_elements(const NameTable& names, const NameGroup& group) {
  if (is_buffer(group.form)) return 0;
  std::uint64_t total = 0;
  for (std::uint32_t at = group.first; at != kNone; at = names.next(at))
    total = capped_add(total, names.elements(at));
  return total;
}

void count_all(const CheckpointData& data, const Placement& placement, const NameTable& weights,
               const Components& components, Identity* identity) {
  const Sharing sharing(data);
  const auto parts = parts_of_groups(weights, components);
  std::vector<std::string_view> part_of(data.index.tensors.size());
  for (std::size_t number = 0; number < parts.size(); ++number)
    for (std::uint32_t at = weights.groups()[number].first; at != kNone; at = weights.next(at))
      part_of[weights.tensor_position(at)] = parts[number];

  Tally by_part;
  std::array<Count, kDTypeCount> by_dtype;
  for (std::size_t i = 0; i < data.index.tensors.size(); ++i) {
    const TensorInfo& tensor = data.index.tensors[i];
    const bool copy = sharing.original(i) != i;
    const std::uint64_t elements = copy ? 0 : sharing.elements(i);
    const std::uint64_t bytes = copy ? 0 : tensor.bytes();
    Count& dtype = by_dtype[static_cast<std::size_t>(tensor.dtype)];
    ++dtype.tensor_count;
    dtype.parameter_count = capped_add(dtype.parameter_count, elements);
    dtype.bytes = capped_add(dtype.bytes, bytes);
    identity->tensor_bytes = capped_add(identity->tensor_bytes, bytes);
    const Part part = placement.parts[i];
    const std::string_view name = part_of[i].empty() ? part_name(part) : part_of[i];
    by_part.add(name, elements, bytes);
    const bool counts =
        part == Part::kWeights || (part == Part::kEma && placement.count(Part::kWeights) == 0);
    if (counts && name != "buffers")
      identity->parameter_count = capped_add(identity->parameter_count, elements);
  }
  for (std::size_t i = 0; i < by_dtype.size(); ++i) {
    if (by_dtype[i].tensor_count == 0) continue;
    by_dtype[i].name = dtype_name(static_cast<DType>(i));
    identity->by_dtype.push_back(std::move(by_dtype[i]));
  }
  std::stable_sort(identity->by_dtype.begin(), identity->by_dtype.end(),
                   [](const Count& a, const Count& b) { return a.bytes > b.bytes; });
  identity->by_part = by_part.take();
  identity->shared = sharing.groups();
}

}  // namespace kilter::model

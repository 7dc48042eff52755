#include "formats/deepspeed/partition_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "base/checked.h"
#include "base/try.h"
#include "formats/deepspeed/state_view.h"

namespace kilter::deepspeed {
namespace {

constexpr std::size_t kSlotsMax = 64;

using Shapes = std::vector<std::pair<std::string, std::vector<std::int64_t>>>;

std::optional<std::uint64_t> count_of_shape(const std::vector<std::int64_t>& shape) {
  std::optional<std::uint64_t> count = 1;
  for (const std::int64_t size : shape)
    count = count ? checked_mul(*count, static_cast<std::uint64_t>(size)) : count;
  // Far below 2^64, so that sums of a few do not overflow.
  return count && *count < (std::uint64_t{1} << 60) ? count : std::nullopt;
}

/// By rank, then by group.
using FlatGroups = std::vector<std::vector<const TensorInfo*>>;

class PartitionReader {
 public:
  PartitionReader(const RankFile& model, const RankList& optimizer, const std::string& folder)
      : model_(model), ranks_(optimizer), folder_(folder) {}

  Result<Partitions> run() {
    KILTER_TRY(read_stage());
    KILTER_TRY(check_rank_count());
    KILTER_TRY(read_shapes());
    KILTER_TRY(out_.stage == 3 ? read_every_rank() : read_groups());
    return std::move(out_);
  }

 private:
  std::string path_of(const RankFile& file) const { return folder_ + "/" + file.name; }
  Error malformed(const RankFile& file, std::string message) const {
    return Error(ErrorCode::kMalformed, std::move(message)).at_path(path_of(file));
  }
  const RankFile& first() const { return *ranks_[0]; }

  Status read_stage() {
    const StateId state = zero_state_of(first());
    if (first().find(state, "fp32_flat_groups") != kNoState) {
      out_.stage = 3;
      weights_key_ = "fp32_flat_groups";
    } else if (first().find(state, "single_partition_of_fp32_groups") != kNoState) {
      out_.stage = 2;
      weights_key_ = "single_partition_of_fp32_groups";
    } else {
      return fail(malformed(first(), "the optimizer file holds no partition of fp32 weights")
                      .wanted("fp32_flat_groups or single_partition_of_fp32_groups", "neither"));
    }
    return ok();
  }

  /// A number, or one for each group: experts are shared by fewer ranks than the rest.
  Status check_rank_count() {
    const StateId node = first().find(zero_state_of(first()), "partition_count");
    const StateTree& tree = first().data.state;
    std::int64_t stated = 0;
    if (const auto one = integer_of(tree, node)) {
      stated = *one;
    } else if (const auto each = sizes_of(tree, node); each && !each->empty()) {
      group_ranks_ = *each;
      stated = *std::max_element(each->begin(), each->end());
    } else {
      return fail(malformed(first(),
                            "the optimizer file does not say how many partitions there "
                            "are"));
    }
    if (stated == static_cast<std::int64_t>(ranks_.size())) return ok();
    return fail(Error(ErrorCode::kMalformed,
                      "the number of optimizer files is not the number of partitions")
                    .at_path(folder_)
                    .wanted(fmt::format("{} files *_optim_states.pt", stated),
                            std::to_string(ranks_.size()))
                    .advise("files of some ranks are missing, or files of an older run were left"));
  }

  Status read_shapes() {
    const StateTree& tree = model_.data.state;
    const StateId node = tree.find(model_.root(), "param_shapes");
    std::vector<StateId> groups = items_of(tree, node);
    if (groups.empty() && node != kNoState) groups = {node};  // one dictionary, in early versions
    for (const StateId group : groups) {
      Shapes shapes;
      for (const auto& [name, size] : entries_of(tree, group)) {
        auto shape = sizes_of(tree, size);
        if (!shape || !count_of_shape(*shape))
          return fail(
              malformed(model_, "param_shapes holds something that is no shape").at_tensor(name));
        shapes.emplace_back(name, std::move(*shape));
      }
      shapes_.push_back(std::move(shapes));
    }
    const bool some = std::any_of(shapes_.begin(), shapes_.end(),
                                  [](const Shapes& shapes) { return !shapes.empty(); });
    if (!some)
      return fail(malformed(model_, "the model file states no param_shapes")
                      .advise("it was saved by a version of DeepSpeed before 0.4, or not by ZeRO"));
    return ok();
  }

  /// A tensor that may be part of a flat vector.
  static bool is_flat(const TensorInfo* tensor) {
    return tensor != nullptr && tensor->shape.size() == 1 && tensor->contiguous() &&
           dtype_row(tensor->dtype).bits % 8 == 0;
  }
  static FlatPart part_of(const RankFile& file, const TensorInfo& tensor) {
    return {file.storage_of(tensor), tensor.offset_elements, tensor.element_count()};
  }

  Result<std::vector<const TensorInfo*>> flat_groups(const RankFile& file) const {
    std::vector<const TensorInfo*> out;
    const StateId node = file.find(zero_state_of(file), weights_key_);
    for (const StateId item : items_of(file.data.state, node)) {
      const TensorInfo* tensor = tensor_of(file.data, item);
      if (!is_flat(tensor))
        return fail(malformed(
            file, fmt::format("{} holds something that is no flat vector", weights_key_)));
      out.push_back(tensor);
    }
    return out;
  }

  Result<FlatGroups> all_flat_groups() {
    FlatGroups out;
    for (const RankFile* rank : ranks_) {
      KILTER_ASSIGN(auto groups, flat_groups(*rank));
      if (!out.empty() && groups.size() != out[0].size())
        return fail(malformed(*rank, "ranks hold different numbers of groups")
                        .wanted(std::to_string(out[0].size()), std::to_string(groups.size())));
      for (std::size_t g = 0; g < groups.size() && !out.empty(); ++g)
        if (groups[g]->dtype != out[0][g]->dtype)
          return fail(malformed(*rank, "ranks hold different types of weights"));
      out.push_back(std::move(groups));
    }
    return out;
  }

  // Stages 1 and 2.

  Status read_groups() {
    KILTER_ASSIGN(const auto flat, all_flat_groups());
    if (flat[0].size() != shapes_.size())
      return fail(malformed(first(),
                            "the optimizer has another number of groups than the model "
                            "file states")
                      .wanted(std::to_string(shapes_.size()), std::to_string(flat[0].size())));
    count_local_experts();
    entries_ = all_optimizer_entries("base_optimizer_state", shapes_.size());
    for (std::size_t g = 0; g < shapes_.size(); ++g) {
      const std::size_t all = ranks_.size();
      const auto sharing =
          g < group_ranks_.size() ? static_cast<std::size_t>(group_ranks_[g]) : all;
      if (sharing == 0 || all % sharing != 0)
        return fail(
            malformed(first(), fmt::format("group {} is shared by an odd number of ranks", g))
                .wanted(fmt::format("a divisor of {}", all), std::to_string(sharing)));
      // Experts are spread over `apart` ranks; those that hold the same ones lie that far apart.
      const std::size_t apart = all / sharing;
      for (std::size_t e = 0; e < apart; ++e) {
        Members members;
        for (std::size_t r = e; r < all; r += apart) members.ranks.push_back(r);
        if (apart > 1) members.expert_rank = static_cast<std::int64_t>(e);
        KILTER_TRY(read_group(g, members, flat));
      }
    }
    return ok();
  }

  /// The ranks that hold a group's partitions, in order.
  struct Members {
    std::vector<std::size_t> ranks;
    std::int64_t expert_rank = -1;  // which part of the experts they hold; -1: no experts
  };

  Status read_group(std::size_t g, const Members& members, const FlatGroups& flat) {
    Group group;
    group.dtype = flat[members.ranks[0]][g]->dtype;
    group.weights.vectors.emplace_back();
    for (const std::size_t r : members.ranks)
      group.weights.vectors[0].append(part_of(*ranks_[r], *flat[r][g]));
    KILTER_TRY(check_partition_sizes(g, members, flat));
    KILTER_TRY(place_in_a_row(g, members, &group));
    out_.values.emplace_back();
    add_group_slots(g, members, &group);
    out_.groups.push_back(std::move(group));
    return ok();
  }

  // Experts are numbered from 0 on each rank; in the whole model, through all ranks.
  // Source: engine.py, _save_moe_checkpoint.

  static constexpr std::string_view kExpertLevel = ".deepspeed_experts.";

  /// Cuts a name at its expert's number; nullopt where it has none.
  struct ExpertName {
    std::string before, after;
    std::uint64_t local = 0;
  };
  static std::optional<ExpertName> parse_expert_name(const std::string& name) {
    const std::size_t at = name.find(kExpertLevel);
    if (at == std::string::npos) return std::nullopt;
    ExpertName out;
    out.before = name.substr(0, at + kExpertLevel.size());
    const char* begin = name.data() + out.before.size();
    const auto [end, error] = std::from_chars(begin, name.data() + name.size(), out.local);
    if (error != std::errc() || out.local > (1U << 20)) return std::nullopt;
    out.after = std::string(end, name.data() + name.size());
    return out;
  }

  void count_local_experts() {
    for (const Shapes& shapes : shapes_) {
      for (const auto& [name, shape] : shapes) {
        const auto expert = parse_expert_name(name);
        if (!expert) continue;
        std::uint64_t& count = local_experts_[expert->before];
        count = std::max(count, expert->local + 1);
      }
    }
  }

  std::string name_in_model(const std::string& name, const Members& members) const {
    const auto expert = members.expert_rank < 0 ? std::nullopt : parse_expert_name(name);
    if (!expert) return name;
    const std::uint64_t number =
        static_cast<std::uint64_t>(members.expert_rank) * local_experts_.at(expert->before) +
        expert->local;
    return fmt::format("{}{}{}", expert->before, number, expert->after);
  }

  /// Where partitions that are laid one behind another cannot be right: only the padding at the
  /// group's end may be missing, so after a shorter one there is nothing.
  static std::optional<std::size_t> find_odd_partition(const std::vector<std::uint64_t>& counts) {
    for (std::size_t r = 1; r < counts.size(); ++r) {
      const bool ended = counts[r - 1] < counts[0];
      if (counts[r] > counts[0] || (ended && counts[r] != 0)) return r;
    }
    return std::nullopt;
  }

  Status check_partition_sizes(std::size_t g, const Members& members,
                               const FlatGroups& flat) const {
    std::vector<std::uint64_t> counts;
    for (const std::size_t r : members.ranks) counts.push_back(flat[r][g]->element_count());
    const auto odd = find_odd_partition(counts);
    if (!odd) return ok();
    return fail(
        malformed(*ranks_[*odd], fmt::format("the partition of group {} does not fit "
                                             "those of other ranks",
                                             g))
            .wanted(fmt::format("{} elements", counts[*odd - 1] < counts[0] ? 0 : counts[0]),
                    std::to_string(counts[*odd])));
  }

  /// Gives each parameter its place. Newer versions pad between parameters.
  Status place_in_a_row(std::size_t g, const Members& members, Group* group) {
    const StateTree& tree = first().data.state;
    const auto all =
        items_of(tree, first().find(zero_state_of(first()), "param_alignment_paddings"));
    std::vector<std::int64_t> paddings;
    if (g < all.size()) paddings = sizes_of(tree, all[g]).value_or(std::vector<std::int64_t>());
    if (g < all.size() && paddings.size() != shapes_[g].size())
      return fail(malformed(first(), "the paddings between parameters do not fit the parameters")
                      .wanted(std::to_string(shapes_[g].size()), std::to_string(paddings.size())));
    const std::uint64_t have = group->weights.vectors[0].count();
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < shapes_[g].size(); ++i) {
      const auto& [name, shape] = shapes_[g][i];
      const Place place{offset, *count_of_shape(shape)};
      if (!group->weights.holds(place)) return too_few(name, offset + place.count, have);
      group->parameters.push_back({name_in_model(name, members), shape, place});
      offset += place.count;
      if (!paddings.empty()) offset += static_cast<std::uint64_t>(paddings[i]);
    }
    // Both are padded for alignment, in ways the files do not state exactly.
    const std::uint64_t align = 2 * members.ranks.size();
    if (round_up(offset, align) == round_up(have, align)) return ok();
    return fail(
        Error(ErrorCode::kMalformed, fmt::format("group {} holds more than its parameters", g))
            .at_path(folder_)
            .wanted(fmt::format("{} elements, up to a multiple of {}", offset, align),
                    std::to_string(have)));
  }

  Status too_few(const std::string& name, std::uint64_t wanted, std::uint64_t have) const {
    return fail(Error(ErrorCode::kMalformed, "the partitions end before the parameter does")
                    .at_path(folder_)
                    .at_tensor(name)
                    .wanted(fmt::format("{} elements or more", wanted), std::to_string(have)));
  }

  /// The optimizer's state of each flat parameter.
  static std::vector<StateId> optimizer_entries(const RankFile& file, std::string_view key,
                                                std::size_t count) {
    const StateTree& tree = file.data.state;
    const StateId all = file.find(zero_state_of(file), key);
    const StateId state = file.find(all, "state");
    if (state != kNoState) return numbered_entries(tree, state, count);
    std::vector<StateId> list = items_of(tree, all);  // elastic checkpoints: one for each group
    list.resize(count, kNoState);
    return list;
  }

  /// By rank, then by flat parameter.
  std::vector<std::vector<StateId>> all_optimizer_entries(std::string_view key,
                                                          std::size_t count) const {
    std::vector<std::vector<StateId>> out;
    for (const RankFile* rank : ranks_) out.push_back(optimizer_entries(*rank, key, count));
    return out;
  }

  /// No optimizer keeps more than a few; looking each up costs time.
  static std::vector<std::pair<std::string, StateId>> slots_of(const RankFile& file,
                                                               StateId entry) {
    auto out = entries_of(file.data.state, entry);
    if (out.size() > kSlotsMax) out.resize(kSlotsMax);
    return out;
  }

  /// Names of what is a vector or a value for a whole flat parameter.
  void add_group_slots(std::size_t g, const Members& members, Group* group) {
    const RankFile& leader = *ranks_[members.ranks[0]];
    for (const auto& [name, node] : slots_of(leader, entries_[members.ranks[0]][g])) {
      const TensorInfo* tensor = tensor_of(leader.data, node);
      if (!is_flat(tensor)) {
        out_.values.back().push_back({name, &leader, node});
        continue;
      }
      Group::Slot slot;
      slot.dtype = tensor->dtype;
      slot.values.vectors.emplace_back();
      std::vector<std::uint64_t> counts;
      for (const std::size_t r : members.ranks) {
        const RankFile* rank = ranks_[r];
        const StateId own = rank->find(entries_[r][g], name);
        const TensorInfo* values = own == kNoState ? nullptr : tensor_of(rank->data, own);
        if (!is_flat(values) || values->dtype != slot.dtype) break;
        counts.push_back(values->element_count());
        slot.values.vectors[0].append(part_of(*rank, *values));
      }
      const FlatVector& weights = group->weights.vectors[0];
      const bool aligned = weights.first_count() == weights.count() ||
                           weights.first_count() == tensor->element_count();
      if (counts.size() == members.ranks.size() && aligned && !find_odd_partition(counts))
        group->slots.emplace(name, std::move(slot));
    }
  }

  // Stage 3.

  Status read_every_rank() {
    KILTER_ASSIGN(const auto flat, all_flat_groups());
    if (flat[0].empty()) return fail(malformed(first(), "the optimizer file holds no sub-groups"));
    Group group;
    group.dtype = flat[0][0]->dtype;
    group.weights.every_rank = true;
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
      FlatVector vector;
      for (std::size_t g = 0; g < flat[r].size(); ++g) {
        if (flat[r][g]->element_count() != flat[0][g]->element_count() ||
            flat[r][g]->dtype != group.dtype)
          return fail(malformed(*ranks_[r], fmt::format("sub-group {} is not as long as on other "
                                                        "ranks",
                                                        g))
                          .wanted(fmt::format("{} elements", flat[0][g]->element_count()),
                                  std::to_string(flat[r][g]->element_count())));
        if (r == 0) out_.starts.push_back(vector.count());
        vector.append(part_of(*ranks_[r], *flat[r][g]));
      }
      group.weights.vectors.push_back(std::move(vector));
    }
    KILTER_TRY(place_on_every_rank(&group));
    add_rank_slots(flat, &group);
    out_.groups.push_back(std::move(group));
    return ok();
  }

  Status place_on_every_rank(Group* group) {
    const std::uint64_t have = group->weights.vectors[0].count();
    std::uint64_t offset = 0;
    for (const Shapes& shapes : shapes_) {
      for (const auto& [name, shape] : shapes) {
        const Place place{offset, *count_of_shape(shape)};
        offset += group->weights.share(place.count);
        if (offset > have) return too_few(name, offset, have);
        group->parameters.push_back({name, shape, place});
      }
    }
    if (offset == have) return ok();
    return fail(Error(ErrorCode::kMalformed, "the partitions hold more than the parameters")
                    .at_path(folder_)
                    .wanted(fmt::format("{} elements on each rank", offset), std::to_string(have)));
  }

  void add_rank_slots(const FlatGroups& flat, Group* group) {
    entries_ = all_optimizer_entries("optimizer_state_dict", flat[0].size());
    std::set<std::string> names;
    for (std::size_t g = 0; g < flat[0].size(); ++g) {
      out_.values.emplace_back();
      for (const auto& [name, node] : slots_of(first(), entries_[0][g])) {
        const TensorInfo* tensor = tensor_of(first().data, node);
        if (is_flat(tensor)) {
          if (names.size() < kSlotsMax) names.insert(name);
        } else {
          out_.values.back().push_back({name, &first(), node});
        }
      }
    }
    for (const std::string& name : names) {
      Group::Slot slot;
      slot.values.every_rank = true;
      bool everywhere = true;
      for (std::size_t r = 0; r < ranks_.size() && everywhere; ++r) {
        FlatVector vector;
        for (std::size_t g = 0; g < flat[r].size() && everywhere; ++g) {
          const StateId own = ranks_[r]->find(entries_[r][g], name);
          const TensorInfo* values = own == kNoState ? nullptr : tensor_of(ranks_[r]->data, own);
          everywhere = is_flat(values) && values->element_count() == flat[r][g]->element_count();
          if (!everywhere) break;
          if (r == 0 && g == 0) slot.dtype = values->dtype;
          everywhere = values->dtype == slot.dtype;
          vector.append(part_of(*ranks_[r], *values));
        }
        slot.values.vectors.push_back(std::move(vector));
      }
      if (everywhere) group->slots.emplace(name, std::move(slot));
    }
  }

  const RankFile& model_;
  const RankList& ranks_;
  const std::string& folder_;
  const char* weights_key_ = "";
  std::vector<std::int64_t> group_ranks_;               // where stated for each group
  std::vector<Shapes> shapes_;                          // by group
  std::map<std::string, std::uint64_t> local_experts_;  // by what stands before their number
  std::vector<std::vector<StateId>> entries_;  // of the optimizer, by rank and flat parameter
  Partitions out_;
};

}  // namespace

const std::vector<GroupValue>& Partitions::values_of(std::size_t group, const Place& place) const {
  if (stage != 3) return values[group];
  const auto after = std::upper_bound(starts.begin(), starts.end(), place.offset);
  return values[static_cast<std::size_t>(after - starts.begin()) - 1];
}

StateId zero_state_of(const RankFile& file) {
  return file.find(file.root(), "optimizer_state_dict");
}

Result<Partitions> read_partitions(const RankFile& model, const RankList& optimizer,
                                   const std::string& folder) {
  return PartitionReader(model, optimizer, folder).run();
}

}  // namespace kilter::deepspeed

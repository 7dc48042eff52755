#include "ops/diff/matching.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/hash.h"
#include "base/raw_bytes.h"
#include "base/run_jobs.h"
#include "base/try.h"
#include "flow/source.h"
#include "model/naming.h"

namespace kilter::ops {
namespace {

constexpr std::uint64_t kMatchReadBytes = 1U << 20;

/// One side of the comparison and which of its tensors have no partner yet.
struct MatchSide {
  const WeightsInput* input = nullptr;
  std::vector<bool> taken;
  std::vector<model::CommonName> common;         // of those without a partner by name
  std::map<std::string, std::size_t> by_common;  // unambiguous ones
  std::map<std::string, std::size_t> times;      // of a common name

  explicit MatchSide(const WeightsInput& of) : input(&of), taken(of.names.size()) {
    for (std::size_t i = 0; i < taken.size(); ++i) taken[i] = of.names[i].empty();
  }

  bool any_left() const { return std::ranges::find(taken, false) != taken.end(); }

  void find_common_names() {
    common.resize(taken.size());
    for (std::size_t i = 0; i < taken.size(); ++i) {
      if (taken[i]) continue;
      common[i] = model::common_name(input->names[i]);
      ++times[common[i].name];
      by_common[common[i].name] = i;
    }
    for (const auto& [name, count] : times)
      if (count > 1) by_common.erase(name);
  }

  std::optional<std::size_t> left(const std::string& name) const {
    const auto found = by_common.find(name);
    if (found == by_common.end() || taken[found->second]) return std::nullopt;
    return found->second;
  }
};

std::string both_rules(const std::string& a, const std::string& b) {
  if (a.empty()) return b + " (B)";
  if (b.empty()) return a + " (A)";
  return a == b ? a : a + " (A), " + b + " (B)";
}

class TensorMatching {
 public:
  TensorMatching(const WeightsInput& a, const WeightsInput& b, unsigned thread_count,
                 const RunContext& context)
      : a_(a), b_(b), thread_count_(thread_count), context_(context), of_a_(a.names.size()) {}

  Result<std::vector<TensorMatch>> run() {
    by_name();
    if (a_.any_left() && b_.any_left()) {
      a_.find_common_names();
      b_.find_common_names();
      by_common_name();
      by_fused_name(a_, b_, true);
      by_fused_name(b_, a_, false);
      KILTER_TRY(by_content());
    }
    return in_order();
  }

 private:
  void pair(std::size_t a, std::size_t b, TensorMatch match) {
    match.a = a;
    match.b = b;
    a_.taken[a] = b_.taken[b] = true;
    of_a_[a].push_back(std::move(match));
  }

  void by_name() {
    for (std::size_t i = 0; i < a_.taken.size(); ++i) {
      if (a_.taken[i]) continue;
      const auto other = b_.input->find(a_.input->names[i]);
      if (other) pair(i, *other, {});
    }
  }

  void by_common_name() {
    for (std::size_t i = 0; i < a_.taken.size(); ++i) {
      if (a_.taken[i] || a_.times[a_.common[i].name] > 1) continue;
      const auto other = b_.left(a_.common[i].name);
      if (!other) continue;
      const std::string &left = a_.common[i].rules, &right = b_.common[*other].rules;
      TensorMatch match;
      match.rule = both_rules(left, right);
      const auto is_meta = [](const std::string& rules) {
        return rules.find("Meta") != std::string::npos;
      };
      if (is_meta(left) != is_meta(right)) match.meta_is_a = is_meta(left);
      pair(i, *other, match);
    }
  }

  /// Tensors of `whole` that `parts` has as several.
  void by_fused_name(MatchSide& whole, MatchSide& parts, bool whole_is_a) {
    for (std::size_t i = 0; i < whole.taken.size(); ++i) {
      if (whole.taken[i]) continue;
      const auto fused = model::fused_name(whole.common[i].name);
      if (!fused) continue;
      std::vector<std::size_t> found;
      for (const std::string& name : fused->parts)
        if (const auto part = parts.left(name)) found.push_back(*part);
      if (found.size() == fused->parts.size() && fit_together(whole, i, parts, found))
        pair_parts(i, found, parts, std::string(fused->scheme), whole_is_a);
    }
  }

  static bool fit_together(const MatchSide& whole, std::size_t at, const MatchSide& parts,
                           const std::vector<std::size_t>& found) {
    std::vector<std::int64_t> shape = whole.input->info(at).shape;
    if (shape.empty()) return false;
    std::int64_t rows = 0;
    for (const std::size_t part : found) {
      std::vector<std::int64_t> own = parts.input->info(part).shape;
      if (own.size() != shape.size()) return false;
      rows += own[0];
      own[0] = shape[0];
      if (own != shape) return false;
    }
    return rows == shape[0];
  }

  void pair_parts(std::size_t whole, const std::vector<std::size_t>& found, const MatchSide& parts,
                  const std::string& scheme, bool whole_is_a) {
    std::uint64_t row = 0;
    for (const std::size_t part : found) {
      TensorMatch match;
      match.rule = scheme + (whole_is_a ? " (A) in parts" : " (B) in parts");
      match.row_count = static_cast<std::uint64_t>(parts.input->info(part).shape[0]);
      (whole_is_a ? match.first_row_a : match.first_row_b) = row;
      row += *match.row_count;
      pair(whole_is_a ? whole : part, whole_is_a ? part : whole, match);
    }
  }

  using ContentKey = std::tuple<DType, std::vector<std::int64_t>>;
  using Digested = std::pair<MatchSide*, std::size_t>;

  static std::map<ContentKey, std::vector<std::size_t>> left_by_shape(const MatchSide& side) {
    std::map<ContentKey, std::vector<std::size_t>> out;
    for (std::size_t i = 0; i < side.taken.size(); ++i)
      if (!side.taken[i] && side.input->info(i).bytes() > 0)
        out[{side.input->info(i).dtype, side.input->info(i).shape}].push_back(i);
    return out;
  }

  Status by_content() {
    const auto left_a = left_by_shape(a_), left_b = left_by_shape(b_);
    std::vector<Digested> wanted;
    for (const auto& [key, tensors] : left_a) {
      const auto other = left_b.find(key);
      if (other == left_b.end()) continue;
      for (const std::size_t tensor : tensors) wanted.emplace_back(&a_, tensor);
      for (const std::size_t tensor : other->second) wanted.emplace_back(&b_, tensor);
    }
    if (wanted.empty()) return ok();
    std::vector<Digest256> digests(wanted.size());
    Jobs jobs{"match", wanted.size(), {}, {}};
    jobs.bytes = [&](std::size_t i) { return bytes_of(wanted[i]); };
    jobs.run = [&](std::size_t i) -> Status {
      KILTER_ASSIGN(digests[i], digest(wanted[i]));
      return {};
    };
    KILTER_TRY(run_jobs(jobs, thread_count_, context_));
    pair_equal(wanted, digests);
    return ok();
  }

  static std::uint64_t bytes_of(const Digested& one) {
    return one.first->input->info(one.second).bytes();
  }

  Result<Digest256> digest(const Digested& one) const {
    Blake3 hash;
    RawBytes buffer;
    for (std::uint64_t at = 0; at < bytes_of(one); at += buffer.size()) {
      KILTER_TRY(context_.check());
      buffer.resize(static_cast<std::size_t>(std::min(kMatchReadBytes, bytes_of(one) - at)));
      KILTER_TRY(one.first->input->checkpoint.source()->read_tensor(one.second, at, buffer));
      hash.update(buffer);
    }
    return hash.finish();
  }

  void pair_equal(const std::vector<Digested>& wanted, const std::vector<Digest256>& digests) {
    std::map<Digest256, std::pair<std::vector<std::size_t>, std::vector<std::size_t>>> same;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      auto& [in_a, in_b] = same[digests[i]];
      (wanted[i].first == &a_ ? in_a : in_b).push_back(wanted[i].second);
    }
    for (const auto& [digest, both] : same) {
      if (both.first.size() != 1 || both.second.size() != 1) continue;
      const bool alike =
          a_.input->info(both.first[0]).shape == b_.input->info(both.second[0]).shape &&
          a_.input->info(both.first[0]).dtype == b_.input->info(both.second[0]).dtype;
      TensorMatch match;
      match.rule = "same content";
      if (alike) pair(both.first[0], both.second[0], match);
    }
  }

  std::vector<TensorMatch> in_order() {
    std::vector<TensorMatch> out;
    for (std::size_t i = 0; i < of_a_.size(); ++i) {
      for (TensorMatch& match : of_a_[i]) out.push_back(std::move(match));
      if (of_a_[i].empty() && !a_.input->names[i].empty()) {
        out.emplace_back();
        out.back().a = i;
      }
    }
    for (std::size_t i = 0; i < b_.taken.size(); ++i) {
      if (b_.taken[i]) continue;
      out.emplace_back();
      out.back().b = i;
    }
    return out;
  }

  MatchSide a_, b_;
  unsigned thread_count_;
  const RunContext& context_;
  std::vector<std::vector<TensorMatch>> of_a_;  // by tensor of A
};

}  // namespace

Result<std::vector<TensorMatch>> match_tensors(const WeightsInput& a, const WeightsInput& b,
                                               unsigned thread_count, const RunContext& context) {
  return TensorMatching(a, b, thread_count, context).run();
}

}  // namespace kilter::ops

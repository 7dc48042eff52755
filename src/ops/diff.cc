// What differs between two checkpoints, tensor by tensor.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>

#include <nlohmann/json.hpp>

#include "kilter/weights_diff.h"

#include "base/json.h"
#include "base/raw_bytes.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "flow/source.h"
#include "ops/weights/weights_input.h"
#include "tensor/kernels/difference_sums.h"
#include "tensor/kernels/float_values.h"

namespace kilter {
namespace ops {
namespace {

// Fixed, so that sums are the same for any number of threads.
constexpr std::uint64_t kJobElements = 4U << 20, kReadElements = 64U << 10;
constexpr std::size_t kBlockElements = 1024;

std::uint64_t bytes_of(std::uint64_t elements, DType dtype) {
  return elements * dtype_row(dtype).bits / 8;
}

/// What a part of two tensors has to say.
struct PartDiff {
  DifferenceSums sums;
  bool same_bits = true;
  bool same_rounded = true;  ///< the wider one rounded is the narrower one
};

/// Two tensors of one shape that are compared.
struct Pair {
  std::size_t row = 0;  ///< in CheckpointDiff::tensors
  const WeightsInput* input_a = nullptr;
  const WeightsInput* input_b = nullptr;
  std::size_t a = 0, b = 0;
  DType dtype_a = DType::kF32, dtype_b = DType::kF32;
  bool floats = false;
  std::uint64_t elements = 0;
};

bool is_narrower(DType a, DType b) { return dtype_row(a).bits < dtype_row(b).bits; }

void compare_floats(const Pair& pair, Bytes a, Bytes b, std::size_t count, PartDiff& out) {
  double left[kBlockElements], right[kBlockElements];
  std::byte rounded[kBlockElements * 8];
  const std::size_t width_a = bytes_of(1, pair.dtype_a), width_b = bytes_of(1, pair.dtype_b);
  for (std::size_t at = 0; at < count; at += kBlockElements) {
    const std::size_t some = std::min(kBlockElements, count - at);
    const Bytes part_a = a.subspan(at * width_a, some * width_a);
    const Bytes part_b = b.subspan(at * width_b, some * width_b);
    widen_floats(pair.dtype_a, part_a.data(), some, left);
    widen_floats(pair.dtype_b, part_b.data(), some, right);
    out.sums += difference_sums(std::span(left, some), std::span(right, some));
    if (pair.dtype_a == pair.dtype_b || !out.same_rounded) continue;
    const bool to_a = is_narrower(pair.dtype_a, pair.dtype_b);
    const Bytes narrow = to_a ? part_a : part_b;
    narrow_floats(to_a ? pair.dtype_a : pair.dtype_b, to_a ? right : left, some, rounded);
    out.same_rounded = std::memcmp(rounded, narrow.data(), narrow.size()) == 0;
  }
}

/// Whatever is no float: by its bits.
void compare_bits(const Pair& pair, Bytes a, Bytes b, std::size_t count, PartDiff& out) {
  const std::size_t width = std::max<std::size_t>(bytes_of(1, pair.dtype_a), 1);
  out.sums.elements += count;
  if (out.same_bits && std::memcmp(a.data(), b.data(), a.size()) == 0) return;
  for (std::size_t at = 0; at < a.size(); at += width)
    out.sums.changed += std::memcmp(a.data() + at, b.data() + at, width) != 0 ? 1U : 0U;
}

Result<PartDiff> compare_part(const Pair& pair, std::uint64_t first, std::uint64_t count,
                              const RunContext& context) {
  PartDiff out;
  RawBytes a, b;
  for (std::uint64_t at = 0; at < count; at += kReadElements) {
    KILTER_TRY(context.check());
    const std::uint64_t some = std::min(kReadElements, count - at);
    a.resize(static_cast<std::size_t>(bytes_of(some, pair.dtype_a)));
    b.resize(static_cast<std::size_t>(bytes_of(some, pair.dtype_b)));
    KILTER_TRY(pair.input_a->checkpoint.source()->read_tensor(
        pair.a, bytes_of(first + at, pair.dtype_a), a));
    KILTER_TRY(pair.input_b->checkpoint.source()->read_tensor(
        pair.b, bytes_of(first + at, pair.dtype_b), b));
    const bool same = a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
    out.same_bits = out.same_bits && same && pair.dtype_a == pair.dtype_b;
    if (pair.floats)
      compare_floats(pair, a, b, static_cast<std::size_t>(some), out);
    else
      compare_bits(pair, a, b, static_cast<std::size_t>(some), out);
  }
  return out;
}

void finish(TensorDiff& row, const DifferenceSums& sums) {
  const double finite = static_cast<double>(sums.elements - sums.not_finite);
  row.elements = sums.elements;
  row.changed = sums.changed;
  row.not_finite = sums.not_finite;
  row.largest = sums.largest;
  row.mean = finite > 0 ? sums.sum / finite : 0;
  row.rms = finite > 0 ? std::sqrt(sums.squares / finite) : 0;
  const double norms = std::sqrt(sums.a_squares) * std::sqrt(sums.b_squares);
  row.cosine = norms > 0 ? std::clamp(sums.dot / norms, -1.0, 1.0) : 1;
  row.relative_norm = sums.a_squares > 0 ? std::sqrt(sums.squares / sums.a_squares) : 0;
}

class Comparison {
 public:
  Comparison(const WeightsInput& a, const WeightsInput& b, const DiffOptions& options)
      : a_(a), b_(b), options_(options) {}

  Result<CheckpointDiff> run() {
    const auto begun = std::chrono::steady_clock::now();
    out_.a = a_.address;
    out_.b = b_.address;
    match();
    KILTER_TRY(compare());
    compare_texts();
    for (const TensorDiff& row : out_.tensors)
      out_.same = out_.same && row.change == WeightChange::kIdentical;
    out_.same = out_.same && out_.texts.empty();
    out_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    return std::move(out_);
  }

 private:
  void match() {
    for (std::size_t i = 0; i < a_.names.size(); ++i) {
      const auto other = b_.find(a_.names[i]);
      const TensorInfo& info = a_.info(i);
      TensorDiff row;
      row.name = a_.names[i];
      row.dtype_a = info.dtype;
      row.shape_a = info.shape;
      row.change = WeightChange::kOnlyInA;
      if (other) add_pair(i, *other, row);
      out_.tensors.push_back(std::move(row));
    }
    for (std::size_t i = 0; i < b_.names.size(); ++i) {
      if (a_.find(b_.names[i])) continue;
      TensorDiff row;
      row.name = b_.names[i];
      row.dtype_b = b_.info(i).dtype;
      row.shape_b = b_.info(i).shape;
      row.change = WeightChange::kOnlyInB;
      out_.tensors.push_back(std::move(row));
    }
  }

  void add_pair(std::size_t a, std::size_t b, TensorDiff& row) {
    const TensorInfo &left = a_.info(a), &right = b_.info(b);
    row.dtype_b = right.dtype;
    row.shape_b = right.shape;
    row.change = WeightChange::kShapeChanged;
    if (left.shape != right.shape) return;
    Pair pair{out_.tensors.size(), &a_, &b_, a, b, left.dtype, right.dtype, false,
              left.element_count()};
    pair.floats = has_float_values(left.dtype) && has_float_values(right.dtype);
    row.change = WeightChange::kTypeChanged;
    if (!pair.floats && left.dtype != right.dtype) return;
    row.change = WeightChange::kChanged;
    if (!pair.floats && dtype_row(left.dtype).bits % 8 != 0) {  // packed: counted by bytes
      pair.dtype_a = pair.dtype_b = DType::kU8;
      pair.elements = left.bytes();
    }
    pairs_.push_back(pair);
  }

  Status compare() {
    std::vector<std::pair<std::size_t, std::uint64_t>> jobs;  // pair, first element
    for (std::size_t p = 0; p < pairs_.size(); ++p)
      for (std::uint64_t at = 0; at < std::max<std::uint64_t>(pairs_[p].elements, 1);
           at += kJobElements)
        jobs.emplace_back(p, at);
    std::vector<Result<PartDiff>> parts(jobs.size(), PartDiff{});
    {
      ThreadPool pool(options_.thread_count);
      for (std::size_t j = 0; j < jobs.size(); ++j)
        pool.submit([&, j] {
          const Pair& pair = pairs_[jobs[j].first];
          const std::uint64_t first = jobs[j].second;
          parts[j] = compare_part(pair, first, std::min(kJobElements, pair.elements - first),
                                  options_.context);
        });
      pool.wait_idle();
    }
    DifferenceSums all;
    for (std::size_t j = 0; j < jobs.size();) {
      const Pair& pair = pairs_[jobs[j].first];
      PartDiff whole;
      for (const std::size_t p = jobs[j].first; j < jobs.size() && jobs[j].first == p; ++j) {
        if (!parts[j]) return fail(std::move(parts[j]).error());
        whole.sums += parts[j]->sums;
        whole.same_bits = whole.same_bits && parts[j]->same_bits;
        whole.same_rounded = whole.same_rounded && parts[j]->same_rounded;
      }
      settle(pair, whole);
      all += whole.sums;
    }
    finish(out_.total, all);
    return ok();
  }

  void settle(const Pair& pair, const PartDiff& whole) {
    TensorDiff& row = out_.tensors[pair.row];
    finish(row, whole.sums);
    const bool same = pair.elements == 0 ? pair.dtype_a == pair.dtype_b : whole.same_bits;
    if (same)
      row.change = WeightChange::kIdentical;
    else if (pair.dtype_a != pair.dtype_b && whole.same_rounded)
      row.change = WeightChange::kEqualAfterRounding;
    out_.read_bytes += a_.info(pair.a).bytes() + b_.info(pair.b).bytes();
  }

  /// What other formats state is their container's own, and new with every file.
  static bool states_metadata(const WeightsInput& input) {
    return input.checkpoint.data().format.find("safetensors") != std::string::npos;
  }

  void compare_texts() {
    std::map<std::string, std::pair<std::string, std::string>> texts;
    if (states_metadata(a_) && states_metadata(b_)) {
      for (const auto& [key, value] : a_.checkpoint.data().metadata)
        texts["__metadata__." + key].first = value;
      for (const auto& [key, value] : b_.checkpoint.data().metadata)
        texts["__metadata__." + key].second = value;
    }
    for (const auto& [name, both] : texts)
      if (both.first != both.second) out_.texts.push_back({name, both.first, both.second});
    std::map<std::string, std::pair<std::string, std::string>> documents;
    for (const Document& one : a_.checkpoint.data().documents) documents[one.path].first = one.text;
    for (const Document& one : b_.checkpoint.data().documents)
      documents[one.path].second = one.text;
    const bool both_folders =
        a_.checkpoint.data().root_is_folder && b_.checkpoint.data().root_is_folder;
    for (const auto& [path, both] : documents)
      if (both_folders && both.first != both.second) out_.texts.push_back({path, "", ""});
  }

  const WeightsInput& a_;
  const WeightsInput& b_;
  const DiffOptions& options_;
  std::vector<Pair> pairs_;
  CheckpointDiff out_;
};

Json tensor_json(const TensorDiff& row) {
  Json out = {{"name", row.name}, {"change", change_name(row.change)}};
  if (row.change != WeightChange::kOnlyInB) {
    out["dtype_a"] = dtype_name(row.dtype_a);
    out["shape_a"] = row.shape_a;
  }
  if (row.change != WeightChange::kOnlyInA) {
    out["dtype_b"] = dtype_name(row.dtype_b);
    out["shape_b"] = row.shape_b;
  }
  return out;
}

void add_numbers(Json& out, const TensorDiff& row) {
  out["elements"] = row.elements;
  out["changed"] = row.changed;
  out["not_finite"] = row.not_finite;
  out["largest"] = row.largest;
  out["mean"] = row.mean;
  out["rms"] = row.rms;
  out["cosine"] = row.cosine;
  out["relative_norm"] = row.relative_norm;
}

bool was_compared(WeightChange change) {
  return change == WeightChange::kIdentical || change == WeightChange::kEqualAfterRounding ||
         change == WeightChange::kChanged;
}

}  // namespace
}  // namespace ops

std::string_view change_name(WeightChange change) {
  switch (change) {
    case WeightChange::kIdentical:
      return "identical";
    case WeightChange::kEqualAfterRounding:
      return "equal after rounding";
    case WeightChange::kChanged:
      return "changed";
    case WeightChange::kShapeChanged:
      return "shape changed";
    case WeightChange::kTypeChanged:
      return "dtype changed";
    case WeightChange::kOnlyInA:
      return "only in A";
    case WeightChange::kOnlyInB:
      return "only in B";
  }
  return "";
}

Result<CheckpointDiff> diff_checkpoints(const std::string& a, const std::string& b,
                                        const DiffOptions& options) {
  KILTER_ASSIGN(const ops::WeightsInput left, ops::open_weights(a, options.open, Part::kAll));
  KILTER_ASSIGN(const ops::WeightsInput right, ops::open_weights(b, options.open, Part::kAll));
  return ops::Comparison(left, right, options).run();
}

std::string diff_json(const CheckpointDiff& diff) {
  Json tensors = Json::array(), texts = Json::array();
  for (const TensorDiff& row : diff.tensors) {
    Json one = ops::tensor_json(row);
    if (ops::was_compared(row.change)) ops::add_numbers(one, row);
    tensors.push_back(std::move(one));
  }
  for (const auto& text : diff.texts)
    texts.push_back({{"name", text.name}, {"before", text.before}, {"after", text.after}});
  Json total = Json::object();
  ops::add_numbers(total, diff.total);
  return dump_json(Json{{"a", diff.a},
                        {"b", diff.b},
                        {"same", diff.same},
                        {"tensors", std::move(tensors)},
                        {"total", std::move(total)},
                        {"texts", std::move(texts)},
                        {"read_bytes", diff.read_bytes},
                        {"seconds", diff.seconds}});
}

}  // namespace kilter

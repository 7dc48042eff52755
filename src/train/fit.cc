#include "train/fit.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "base/raw_bytes.h"
#include "base/try.h"
#include "train/state_path.h"

namespace kilter::train {
namespace {

constexpr std::size_t kToldMax = 20;

/// What does not fit, in the order it was met; the first ones in full.
class Mismatches {
 public:
  void add(const std::string& path, const std::string& what) {
    if (count_++ < kToldMax)
      text_ += fmt::format("{}{}: {}", text_.empty() ? "" : "; ", path, what);
  }
  Status status() const {
    if (count_ == 0) return ok();
    std::string text = text_;
    if (count_ > kToldMax) text += fmt::format("; and {} more", count_ - kToldMax);
    return fail(Error(ErrorCode::kInvalidArgument, "the checkpoint does not fit this run: " + text)
                    .advise("resume with the model, optimizer and names it was saved with"));
  }

 private:
  std::size_t count_ = 0;
  std::string text_;
};

std::string look_of(DType dtype, const std::vector<std::int64_t>& shape) {
  return fmt::format("{} [{}]", dtype_name(dtype), fmt::join(shape, ", "));
}

bool is_strided(const LiveTensor& tensor) {
  if (tensor.strides.empty()) return false;
  TensorInfo info;
  info.shape = tensor.shape;
  info.strides = tensor.strides;
  return !info.contiguous();
}

/// From C order to where a strided tensor has its elements.
void scatter(const std::byte* from, const LiveTensor& tensor) {
  const std::size_t element = dtype_row(tensor.dtype).bits / 8U;
  auto* const to = static_cast<std::byte*>(tensor.data);
  std::vector<std::int64_t> index(tensor.shape.size(), 0);
  std::int64_t at = 0;
  std::uint64_t count = 1;
  for (const std::int64_t size : tensor.shape) count *= static_cast<std::uint64_t>(size);
  for (std::uint64_t i = 0; i < count; ++i) {
    std::memcpy(to + static_cast<std::size_t>(at) * element, from + i * element, element);
    for (std::size_t d = index.size(); d-- > 0;) {
      at += tensor.strides[d];
      if (++index[d] < tensor.shape[d]) break;
      at -= tensor.strides[d] * tensor.shape[d];
      index[d] = 0;
    }
  }
}

}  // namespace

Result<std::vector<LoadTarget>> fit_state(const State& state, const Checkpoint& checkpoint,
                                          const LoadedState& loaded) {
  std::map<std::string, std::size_t> there;
  for (const TensorPlace& place : tensor_places(loaded.tree, loaded.root))
    there.emplace(path_text(place.path), place.tensor);
  Mismatches mismatches;
  std::vector<LoadTarget> targets;
  for (const TensorPlace& place : tensor_places(state.tree(), state.tree().root())) {
    const LiveTensor& live = state.tensors()[place.tensor];
    const std::string path = path_text(place.path);
    const auto found = there.find(path);
    if (found == there.end()) {
      mismatches.add(path, "missing in the checkpoint");
      continue;
    }
    const TensorInfo& info = checkpoint.tensors()[found->second];
    if (info.dtype != live.dtype || info.shape != live.shape) {
      mismatches.add(
          path, fmt::format("is {} here and {} in the checkpoint", look_of(live.dtype, live.shape),
                            look_of(info.dtype, info.shape)));
    } else {
      targets.push_back({found->second, live});
    }
    there.erase(found);
  }
  for (const auto& [path, number] : there) mismatches.add(path, "unexpected in the checkpoint");
  KILTER_TRY(mismatches.status());
  return targets;
}

Status load_fitted(const Checkpoint& checkpoint, std::vector<LoadTarget> targets,
                   const RunContext& context) {
  std::vector<LiveTensor> strided;
  std::vector<RawBytes> buffers;
  buffers.reserve(targets.size());
  for (LoadTarget& target : targets) {
    if (is_strided(target.tensor)) {
      strided.push_back(target.tensor);
      buffers.emplace_back(checkpoint.tensors()[target.number].bytes());
      target.tensor.data = buffers.back().data();
    }
    target.tensor.strides.clear();
  }
  KILTER_TRY(load_into(checkpoint, targets, context));
  for (std::size_t i = 0; i < strided.size(); ++i) scatter(buffers[i].data(), strided[i]);
  return ok();
}

Error none_intact(const std::vector<DamagedStep>& damaged) {
  std::string text = "no step is intact";
  for (std::size_t i = 0; i < std::min(damaged.size(), kToldMax); ++i)
    text += fmt::format("; step {}: {}", damaged[i].step, damaged[i].error.text());
  return Error(ErrorCode::kCorrupt, text)
      .advise(
          "`kilter check STORE --data` says what is left; `kilter repair` takes it from a copy");
}

}  // namespace kilter::train

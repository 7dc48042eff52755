#include "ops/convert_plan.h"

#include <algorithm>
#include <map>

#include "kilter/dtype.h"

#include "base/checked.h"
#include "ops/view_key.h"

namespace kilter::ops {

namespace {

struct TargetRow {
  Target target;
  std::string_view name;
  std::string_view format;
};
constexpr TargetRow kTargets[] = {
    {Target::kSafetensors, "safetensors", "safetensors"},
    {Target::kTorch, "torch", "torch-zip"},
    {Target::kNpz, "npz", "npz"},
    {Target::kDcp, "dcp", "dcp"},
};

struct ExtensionRow {
  std::string_view extension;
  Target target;
};
constexpr ExtensionRow kExtensions[] = {
    {".safetensors", Target::kSafetensors},
    {".sft", Target::kSafetensors},
    {".pt", Target::kTorch},
    {".pth", Target::kTorch},
    {".ckpt", Target::kTorch},
    {".bin", Target::kTorch},
    {".npz", Target::kNpz},
};

bool target_has(Target target, DType dtype) {
  const DTypeRow& row = dtype_row(dtype);
  switch (target) {
    case Target::kSafetensors:
      return !row.safetensors.empty();
    case Target::kTorch:
    case Target::kDcp:
      return !row.torch.empty();
    case Target::kNpz:
      return !row.numpy.empty();
  }
  return false;
}

/// The plain dtype of half a complex number.
DType half_of(DType dtype) {
  switch (dtype_row(dtype).bits) {
    case 128:
      return DType::kF64;
    case 64:
      return DType::kF32;
    default:
      return DType::kF16;
  }
}

DType plain_of_bits(unsigned bits, bool is_signed) {
  switch (bits) {
    case 8:
      return is_signed ? DType::kI8 : DType::kU8;
    case 16:
      return DType::kU16;
    case 32:
      return DType::kI32;
    default:
      return DType::kU8;
  }
}

struct ByteRange {
  std::uint64_t begin = 0, end = 0;
};

/// Bytes of the storage that a view touches. validate() proved that nothing overflows.
ByteRange touched(const TensorInfo& t) {
  const std::uint64_t bits = dtype_row(t.dtype).bits;
  if (t.element_count() == 0) return {t.offset_elements * bits / 8, t.offset_elements * bits / 8};
  std::uint64_t last = t.offset_elements;
  for (std::size_t i = 0; i < t.shape.size(); ++i)
    last += static_cast<std::uint64_t>(t.shape[i] - 1) * static_cast<std::uint64_t>(t.strides[i]);
  return {t.offset_elements * bits / 8, ((last + 1) * bits + 7) / 8};
}

class Planner {
 public:
  Planner(const Checkpoint& source, const Selection& selection, Target target,
          const std::vector<std::size_t>& same_as)
      : source_(source), selection_(selection), target_(target), same_as_(same_as) {}

  ConversionPlan run() {
    out_.plan.verb = "convert";
    out_.fates.resize(selection_.tensors.size());
    for (const Selected& one : selection_.tensors) {
      ConvertReport::Tensor& fate = out_.fates[one.tensor];
      fate = {source_.tensors()[one.tensor].name, one.name, "copied", one.reason,
              info(one).bytes()};
      if (one.name.empty()) fate.fate = "dropped";
    }
    if (target_ == Target::kTorch) {
      plan_storages();
    } else {
      for (const Selected& one : selection_.tensors)
        if (!one.name.empty()) add_contiguous({&one});
    }
    for (const ConvertReport::Tensor& fate : out_.fates)
      out_.plan.accounts.push_back(
          {fate.from, fate.to.empty() ? Fate::kDropped : Fate::kCopied, fate.to, fate.reason});
    return std::move(out_);
  }

 private:
  using Group = std::vector<const Selected*>;

  /// Only torch can say that two names are one tensor.
  std::size_t stands_for(const Selected& one) const {
    return target_ == Target::kTorch ? same_as_[one.tensor] : one.tensor;
  }
  const TensorInfo& info(const Selected& one) const { return source_.tensors()[stands_for(one)]; }

  void note(const Selected& one, std::string_view fate, const std::string& reason) {
    ConvertReport::Tensor& row = out_.fates[one.tensor];
    row.fate = fate;
    row.reason += (row.reason.empty() ? "" : "; ") + reason;
  }

  /// One output for a group of names of the very same view.
  void add_contiguous(const Group& group) {
    const Selected& first = *group.front();
    const TensorInfo& tensor = info(first);
    Storable storable = storable_as(target_, tensor);
    PlanOutput output;
    output.name = first.name;
    output.dtype = storable.dtype;
    output.shape = storable.shape;
    output.bytes = tensor.bytes();
    output.inputs = {{source_.source(), InputKind::kTensor, stands_for(first), 0}};
    for (const Selected* one : group) {
      if (group.size() > 1) {
        output.views.push_back(
            {one->name, output.dtype, output.shape, contiguous_strides(output.shape), 0});
      }
      if (!tensor.contiguous()) note(*one, "made contiguous", "its elements lay apart");
      if (!storable.reason.empty()) note(*one, "recoded", storable.reason);
    }
    out_.plan.outputs.push_back(std::move(output));
  }

  void plan_storages() {
    std::map<std::uint32_t, Group> by_storage;
    std::vector<std::uint32_t> order;  // of first use, so that the output follows the source
    for (const Selected& one : selection_.tensors) {
      if (one.name.empty()) continue;
      auto& group = by_storage[info(one).storage];
      if (group.empty()) order.push_back(info(one).storage);
      group.push_back(&one);
    }
    for (const std::uint32_t storage : order) plan_storage(storage, by_storage[storage]);
  }

  void plan_storage(std::uint32_t storage, const Group& group) {
    std::map<ViewKey, Group> views;
    std::vector<ViewKey> order;
    for (const Selected* one : group) {
      auto& same = views[view_key(info(*one))];
      if (same.empty()) order.push_back(view_key(info(*one)));
      same.push_back(one);
    }
    const bool lone = order.size() == 1 && info(*group.front()).contiguous();
    if (!lone && can_share(storage, group, views)) {
      add_shared(storage, group);
      return;
    }
    for (const ViewKey& key : order) add_contiguous(views[key]);
  }

  /// Views stay views unless their bits need work on the way or most of the storage is unused.
  bool can_share(std::uint32_t storage, const Group& group,
                 const std::map<ViewKey, Group>& views) const {
    const StorageInfo& info_of = source_.data().index.storages[storage];
    const DTypeRow& first = dtype_row(info(*group.front()).dtype);
    std::uint64_t begin = ~0ULL, end = 0, used = 0;
    for (const auto& [key, same] : views) {
      const TensorInfo& tensor = info(*same.front());
      const DTypeRow& row = dtype_row(tensor.dtype);
      if (tensor.conjugate || tensor.negative || row.bits % 8 != 0) return false;
      if (!storable_as(target_, tensor).reason.empty()) return false;
      if (info_of.big_endian && row.swap_bytes != first.swap_bytes) return false;
      begin = std::min(begin, touched(tensor).begin);
      end = std::max(end, touched(tensor).end);
      used += tensor.bytes();
    }
    return end > begin && (end - begin) / 2 <= used;
  }

  void add_shared(std::uint32_t storage, const Group& group) {
    constexpr std::uint64_t kAlignBytes = 16;  // the widest element, so that offsets stay whole
    std::uint64_t begin = ~0ULL, end = 0;
    DType dtype = info(*group.front()).dtype;
    for (const Selected* one : group) {
      begin = std::min(begin, touched(info(*one)).begin);
      end = std::max(end, touched(info(*one)).end);
      if (info(*one).dtype != dtype) dtype = DType::kU8;
    }
    begin = begin / kAlignBytes * kAlignBytes;
    const std::uint64_t item = dtype_row(dtype).bits / 8U;
    PlanOutput output;
    output.name = group.front()->name;
    output.dtype = dtype;
    output.bytes = round_up(end - begin, item);
    output.shape = {static_cast<std::int64_t>(output.bytes / item)};
    output.inputs = {{source_.source(), InputKind::kStorage, storage, begin}};
    for (const Selected* one : group) {
      const TensorInfo& tensor = info(*one);
      const std::uint64_t width = dtype_row(tensor.dtype).bits / 8U;
      output.views.push_back({one->name, tensor.dtype, tensor.shape, tensor.strides,
                              tensor.offset_elements - begin / width});
    }
    out_.plan.outputs.push_back(std::move(output));
  }

  const Checkpoint& source_;
  const Selection& selection_;
  Target target_;
  const std::vector<std::size_t>& same_as_;
  ConversionPlan out_;
};

}  // namespace

std::string_view target_name(Target target) {
  for (const TargetRow& row : kTargets)
    if (row.target == target) return row.name;
  return "";
}

std::string_view target_format(Target target) {
  for (const TargetRow& row : kTargets)
    if (row.target == target) return row.format;
  return "";
}

Result<Target> choose_target(const std::string& to, const std::string& path) {
  for (const TargetRow& row : kTargets)
    if (row.name == to) return row.target;
  if (to.empty()) {
    const auto slash = path.find_last_of('/');
    const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    for (const ExtensionRow& row : kExtensions)
      if (name.ends_with(row.extension) && name.size() > row.extension.size()) return row.target;
    if (name.find('.') == std::string::npos || path.ends_with('/')) return Target::kSafetensors;
  }
  Error error(ErrorCode::kInvalidArgument, to.empty()
                                               ? "the name does not say which format to write"
                                               : "cannot write '" + to + "'");
  error.path = to.empty() ? path : "";
  error.hint = "give --to safetensors, torch, npz or dcp";
  return fail(std::move(error));
}

Storable storable_as(Target target, const TensorInfo& tensor) {
  if (target_has(target, tensor.dtype)) return {tensor.dtype, tensor.shape, ""};
  const DTypeRow& row = dtype_row(tensor.dtype);
  Storable out{tensor.dtype, tensor.shape, ""};
  const std::string lacks = std::string(target_name(target)) + " has no " + std::string(row.name);
  if (target == Target::kNpz && row.kind == DTypeKind::kFloat && row.bits == 16) {
    out.dtype = DType::kV2;  // what numpy itself makes of bf16
    out.reason = lacks + ": written as void elements of 2 bytes";
    return out;
  }
  if (row.kind == DTypeKind::kComplex) {
    out.dtype = half_of(tensor.dtype);
    out.shape.push_back(2);
    out.reason = lacks + ": written as real and imaginary parts in a last dimension of 2";
  } else if (row.bits % 8 == 0) {
    out.dtype = plain_of_bits(row.bits, row.torch.starts_with("q") || row.torch.starts_with("int"));
    out.reason = lacks + ": the same bytes as " + std::string(dtype_name(out.dtype));
  } else {
    out.dtype = DType::kU8;
    out.shape = {static_cast<std::int64_t>(tensor.bytes())};
    out.reason = lacks + ": its packed bytes as u8";
  }
  return out;
}

ConversionPlan plan_conversion(const Checkpoint& source, const Selection& selection, Target target,
                               const std::vector<std::size_t>& same_as) {
  return Planner(source, selection, target, same_as).run();
}

}  // namespace kilter::ops

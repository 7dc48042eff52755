#include "formats/torch/tensor_writer.h"

#include <algorithm>

#include "formats/torch/rebuild.h"
#include "formats/torch/storages.h"

namespace kilter::torch {
namespace {

/// Without its quantizer a quantized tensor is only its integers.
DType plain_dtype(DType dtype) {
  switch (dtype) {
    case DType::kQI8:
      return DType::kI8;
    case DType::kQU8:
      return DType::kU8;
    case DType::kQI32:
      return DType::kI32;
    default:
      return dtype;
  }
}

void write_integers(const std::vector<std::int64_t>& values, PickleWriter* out) {
  if (values.empty()) return out->empty_tuple();
  out->mark();
  for (const std::int64_t value : values) out->integer(value);
  out->tuple();
}

void write_no_hooks(PickleWriter* out) {
  out->global("collections.OrderedDict");
  out->empty_tuple();
  out->reduce();
}

}  // namespace

TensorWriter::TensorWriter(const Plan& plan) : plan_(plan), mixed_(plan.outputs.size(), false) {
  for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
    const PlanOutput& output = plan.outputs[i];
    const std::size_t first = views_.size();
    if (output.views.empty())
      add({i, output.name, output.dtype, output.shape, contiguous_strides(output.shape), 0, false,
           false});
    for (const PlanView& view : output.views)
      add({i, view.name, view.dtype, view.shape, view.strides, view.offset_elements, false, false});
    for (std::size_t v = first; v < views_.size(); ++v)
      mixed_[i] = mixed_[i] || views_[v].dtype != views_[first].dtype;
    take_flags(output, first);
  }
}

void TensorWriter::add(View view) {
  by_name_.try_emplace(view.name, views_.size());
  views_.push_back(std::move(view));
}

/// Whether a tensor was a parameter only its source knows.
void TensorWriter::take_flags(const PlanOutput& output, std::size_t first) {
  if (output.inputs.size() != 1 || output.inputs[0].source == nullptr) return;
  const PlanInput& input = output.inputs[0];
  const TensorIndex& index = input.source->index();
  const auto copy = [](const TensorInfo& from, View* to) {
    to->parameter = from.parameter;
    to->requires_grad = from.requires_grad;
  };
  if (input.kind == InputKind::kTensor && input.index < index.tensors.size()) {
    for (std::size_t v = first; v < views_.size(); ++v)
      copy(index.tensors[input.index], &views_[v]);
    return;
  }
  if (input.kind != InputKind::kStorage) return;
  // Of several tensors that are the same elements, one may be a parameter and another its data.
  std::vector<bool> by_name(views_.size(), false);
  for (const TensorInfo& tensor : index.tensors) {
    if (tensor.storage != input.index) continue;
    const std::uint64_t skipped =
        input.offset_bytes * 8 / std::max<std::uint64_t>(1, dtype_row(tensor.dtype).bits);
    for (std::size_t v = first; v < views_.size(); ++v) {
      View& view = views_[v];
      if (view.dtype == tensor.dtype && view.shape == tensor.shape &&
          view.strides == tensor.strides &&
          view.offset_elements + skipped == tensor.offset_elements && !by_name[v]) {
        copy(tensor, &view);
        by_name[v] = view.name == tensor.name;
      }
    }
  }
}

std::size_t TensorWriter::find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? kNoView : found->second;
}

bool TensorWriter::same(std::size_t a, std::size_t b) const {
  const View &x = views_[a], &y = views_[b];
  return x.output == y.output && x.dtype == y.dtype && x.shape == y.shape &&
         x.strides == y.strides && x.offset_elements == y.offset_elements;
}

Status TensorWriter::check() const {
  for (const View& view : views_) {
    Error error(ErrorCode::kUnsupported, "torch has no dtype for this tensor");
    error.tensor = view.name;
    error.found = dtype_name(view.dtype);
    if (dtype_row(view.dtype).torch.empty()) return fail(std::move(error));
    if (view.dtype == DType::kF4E2M1 && !view.shape.empty() && view.shape.back() % 2 != 0) {
      error.message = "torch holds 4-bit floats in pairs, this tensor has an odd last dimension";
      return fail(std::move(error));
    }
  }
  return ok();
}

/// Typed storages exist for the older dtypes; the others, and storages seen as several dtypes, are
/// plain bytes, and the call states the dtype.
bool TensorWriter::typed(std::size_t view, bool quantized) const {
  const View& v = views_[view];
  const DType dtype = quantized ? v.dtype : plain_dtype(v.dtype);
  return quantized || (!mixed_[v.output] && !dtype_row(dtype).torch_storage.empty());
}

void TensorWriter::write_storage(std::size_t view, bool quantized, PickleWriter* out) const {
  const View& v = views_[view];
  const PlanOutput& output = plan_.outputs[v.output];
  const DType dtype = quantized ? v.dtype : plain_dtype(v.dtype);
  out->mark();
  out->name("storage");
  std::uint64_t count = output.bytes;
  if (typed(view, quantized)) {
    out->global(std::string("torch.").append(dtype_row(dtype).torch_storage));
    count /= storage_element_bytes(dtype);
  } else {
    out->global("torch.storage.UntypedStorage");
  }
  out->string(std::to_string(v.output));
  out->name("cpu");
  out->integer(static_cast<std::int64_t>(count));
  out->tuple();
  out->persistent_id();
}

void TensorWriter::write_view(std::size_t view, bool quantized, PickleWriter* out) const {
  const View& v = views_[view];
  write_storage(view, quantized, out);
  if (v.dtype != DType::kF4E2M1) {
    out->integer(static_cast<std::int64_t>(v.offset_elements));
    write_integers(v.shape, out);
    write_integers(v.strides, out);
    return;
  }
  // torch counts pairs of 4-bit floats.
  std::vector<std::int64_t> shape = v.shape;
  if (!shape.empty()) shape.back() /= 2;
  out->integer(static_cast<std::int64_t>(v.offset_elements / 2));
  write_integers(shape, out);
  write_integers(contiguous_strides(shape), out);
}

std::string_view TensorWriter::plain_function(std::size_t view) const {
  return typed(view, false) ? "torch._utils._rebuild_tensor_v2" : "torch._utils._rebuild_tensor_v3";
}

std::string_view TensorWriter::function(std::size_t view) const {
  return views_[view].parameter ? kRebuildParameter : plain_function(view);
}

void TensorWriter::write_plain_arguments(std::size_t view, PickleWriter* out) const {
  const View& v = views_[view];
  out->mark();
  write_view(view, false, out);
  out->boolean(v.requires_grad && !v.parameter);
  write_no_hooks(out);
  if (!typed(view, false))
    out->global(std::string("torch.").append(dtype_row(plain_dtype(v.dtype)).torch));
  out->tuple();
}

void TensorWriter::write_arguments(std::size_t view, PickleWriter* out) const {
  if (!views_[view].parameter) return write_plain_arguments(view, out);
  out->mark();
  out->global(plain_function(view));
  write_plain_arguments(view, out);
  out->reduce();
  out->boolean(views_[view].requires_grad);
  write_no_hooks(out);
  out->tuple();
}

void TensorWriter::write(std::size_t view, PickleWriter* out) const {
  out->global(function(view));
  write_arguments(view, out);
  out->reduce();
}

}  // namespace kilter::torch

#include "native/state_builder.h"

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "base/try.h"
#include "flow/memory_source.h"
#include "native/bind.h"
#include "native/long_work.h"
#include "ops/convert_run.h"

namespace kilter::python {
std::shared_ptr<Opened> StateBuilder::finish(StateId root) {
  if (root >= state_.size()) throw nb::index_error("no such node");
  state_.set_root(root);
  auto data = std::make_shared<CheckpointData>();
  data->path = data->root = "(live tensors)";
  data->format = metadata_.empty() ? "live" : "safetensors";
  data->state = std::move(state_);
  data->metadata = std::move(metadata_);
  data->ties = std::move(ties_);
  auto source =
      unwrap(make_memory_source(std::move(index_), std::move(storages_), "(live tensors)"));
  data->index = source->index();
  return std::make_shared<Opened>(Checkpoint(std::move(data), std::move(source)));
}

State StateBuilder::training_state(StateId root) {
  if (root >= state_.size()) throw nb::index_error("no such node");
  State out;
  for (std::size_t i = 0; i < index_.tensors.size(); ++i) {
    TensorInfo& tensor = index_.tensors[i];
    const std::uint64_t skip = tensor.offset_elements * dtype_row(tensor.dtype).bits / 8;
    LiveTensor live;
    live.dtype = tensor.dtype;
    live.data = const_cast<std::byte*>(storages_[tensor.storage].data() + skip);
    if (!tensor.contiguous()) live.strides = std::move(tensor.strides);
    live.shape = std::move(tensor.shape);
    live.held = held_[i];
    out.add_tensor(std::move(live));
  }
  state_.set_root(root);
  out.tree() = std::move(state_);
  for (auto& [name, bytes] : files_) out.file(name, std::move(bytes));
  return out;
}

namespace {

void write(const Opened& source, const std::string& target, const std::string& to, bool force,
           std::uint64_t shard_bytes_max, const nb::object& progress) {
  ConvertOptions options;
  options.to = to;
  options.force = force;
  options.shard_bytes_max = shard_bytes_max;
  long_work(progress, [&](const RunContext& context) {
    options.context = context;
    return ops::convert_checkpoint(source.checkpoint(), target, options);
  });
}

std::string bytes_text(const nb::bytes& bytes) { return {bytes.c_str(), bytes.size()}; }

}  // namespace

void bind_state_builder(nb::module_& module) {
  using Self = StateBuilder;
  nb::class_<Self>(module, "StateBuilder", "Collects what is to be written.")
      .def(nb::init<>())
      .def("none", [](Self& self) { return self.add(StateKind::kNone); })
      .def(
          "bool_", [](Self& self, bool v) { return self.integer(StateKind::kBool, v ? 1 : 0); },
          nb::arg("value"))
      .def(
          "int_", [](Self& self, std::int64_t v) { return self.integer(StateKind::kInt, v); },
          nb::arg("value"))
      .def(
          "big_int",
          [](Self& self, std::string v) { return self.add(StateKind::kBigInt, {}, std::move(v)); },
          nb::arg("decimal"))
      .def(
          "float_", [](Self& self, double v) { return self.number(StateKind::kFloat, v, 0); },
          nb::arg("value"))
      .def(
          "complex_",
          [](Self& self, double real, double imaginary) {
            return self.number(StateKind::kComplex, real, imaginary);
          },
          nb::arg("real"), nb::arg("imaginary"))
      .def(
          "str_",
          [](Self& self, const nb::bytes& utf8) {
            return self.add(StateKind::kString, {}, bytes_text(utf8));
          },
          nb::arg("utf8"))
      .def(
          "bytes_",
          [](Self& self, const nb::bytes& value) {
            return self.add(StateKind::kBytes, {}, bytes_text(value));
          },
          nb::arg("value"))
      .def("list_", [](Self& self) { return self.add(StateKind::kList); })
      .def("dict_", [](Self& self) { return self.add(StateKind::kDict); })
      .def(
          "tuple_",
          [](Self& self, Ids items) { return self.add(StateKind::kTuple, std::move(items)); },
          nb::arg("items"))
      .def(
          "set_",
          [](Self& self, Ids items, bool frozen) {
            return self.add(StateKind::kSet, std::move(items), frozen ? "frozenset" : "");
          },
          nb::arg("items"), nb::arg("frozen"))
      .def(
          "global_",
          [](Self& self, std::string name) {
            return self.add(StateKind::kGlobal, {}, std::move(name));
          },
          nb::arg("name"))
      .def(
          "tensor_node",
          [](Self& self, std::int64_t number) { return self.integer(StateKind::kTensor, number); },
          nb::arg("number"))
      .def("object_", &Self::object, nb::arg("name"), nb::arg("arguments"), nb::arg("state") = -1,
           nb::arg("extra") = -1)
      .def("fill", &Self::fill, nb::arg("container"), nb::arg("items"))
      .def("storage", &Self::storage, nb::arg("address"), nb::arg("bytes"))
      .def("tensor", &Self::tensor, nb::arg("name"), nb::arg("dtype"), nb::arg("shape"),
           nb::arg("strides"), nb::arg("storage"), nb::arg("offset_elements"), nb::arg("flags"))
      .def("live_tensor", &Self::live_tensor, nb::arg("dtype"), nb::arg("shape"),
           nb::arg("address"), nb::arg("bytes"), nb::arg("flags"))
      .def("tie", &Self::tie, nb::arg("later"), nb::arg("earlier"))
      .def("metadata", &Self::metadata, nb::arg("key"), nb::arg("value"))
      .def(
          "file",
          [](Self& self, std::string name, const nb::bytes& bytes) {
            self.file(std::move(name), bytes_text(bytes));
          },
          nb::arg("name"), nb::arg("bytes"))
      .def("finish", &Self::finish, nb::arg("root"));
  module.def("write", &write, nb::arg("source"), nb::arg("target"), nb::arg("to"), nb::arg("force"),
             nb::arg("shard_bytes_max"), nb::arg("progress").none(),
             "Writes a checkpoint: whole or not at all.");
}

}  // namespace kilter::python

// Python's live tensors and values as a checkpoint that can be written.
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "base/try.h"
#include "flow/memory_source.h"
#include "native/bind.h"
#include "native/long_work.h"
#include "native/opened.h"
#include "ops/convert_run.h"

namespace kilter::python {
namespace {

using Ids = std::vector<StateId>;

/// Collects storages, tensors and nodes. Whoever fills it keeps the memory alive and unchanged
/// until what was finished from it has been written.
class StateBuilder {
 public:
  StateId add(StateKind kind, Ids items = {}, std::string text = {}) {
    StateNode node;
    node.kind = kind;
    node.items = std::move(items);
    node.text = std::move(text);
    return state_.add(std::move(node));
  }
  StateId integer(StateKind kind, std::int64_t value) {
    const StateId id = add(kind);
    state_[id].integer = value;
    return id;
  }
  StateId number(StateKind kind, double real, double imaginary) {
    const StateId id = add(kind);
    state_[id].number = real;
    state_[id].imaginary = imaginary;
    return id;
  }
  StateId object(std::string name, Ids arguments, std::int64_t state, std::int64_t extra) {
    const StateId id = add(StateKind::kObject, std::move(arguments), std::move(name));
    if (state >= 0) state_[id].state = static_cast<StateId>(state);
    if (extra >= 0) state_[id].extra = static_cast<StateId>(extra);
    return id;
  }
  void fill(StateId container, Ids items) {
    if (container >= state_.size()) throw nb::index_error("no such node");
    state_[container].items = std::move(items);
  }

  std::uint32_t storage(std::uintptr_t address, std::uint64_t bytes) {
    storages_.emplace_back(reinterpret_cast<const std::byte*>(address), bytes);
    index_.storages.emplace_back();
    return static_cast<std::uint32_t>(storages_.size() - 1);
  }

  /// Number of the tensor.
  std::size_t tensor(std::string name, const std::string& dtype, std::vector<std::int64_t> shape,
                     std::vector<std::int64_t> strides, std::uint32_t storage,
                     std::uint64_t offset_elements, unsigned flags) {
    const auto known = dtype_from_name(dtype);
    if (!known) throw nb::value_error("unknown dtype");
    TensorInfo info;
    info.name = std::move(name);
    info.dtype = *known;
    info.shape = std::move(shape);
    info.strides = std::move(strides);
    info.storage = storage;
    info.offset_elements = offset_elements;
    info.requires_grad = (flags & 1U) != 0;
    info.parameter = (flags & 2U) != 0;
    info.conjugate = (flags & 4U) != 0;
    info.negative = (flags & 8U) != 0;
    index_.tensors.push_back(std::move(info));
    return index_.tensors.size() - 1;
  }

  void tie(std::string later, std::string earlier) {
    ties_.emplace_back(std::move(later), std::move(earlier));
  }
  void metadata(std::string key, std::string value) {
    metadata_.emplace_back(std::move(key), std::move(value));
  }

  /// What was collected, as a checkpoint. Ends the collecting.
  std::shared_ptr<Opened> finish(StateId root) {
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

 private:
  TensorIndex index_;
  std::vector<Bytes> storages_;
  StateTree state_;
  std::vector<std::pair<std::string, std::string>> ties_, metadata_;
};

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
      .def("tie", &Self::tie, nb::arg("later"), nb::arg("earlier"))
      .def("metadata", &Self::metadata, nb::arg("key"), nb::arg("value"))
      .def("finish", &Self::finish, nb::arg("root"));
  module.def("write", &write, nb::arg("source"), nb::arg("target"), nb::arg("to"), nb::arg("force"),
             nb::arg("shard_bytes_max"), nb::arg("progress").none(),
             "Writes a checkpoint: whole or not at all.");
}

}  // namespace kilter::python

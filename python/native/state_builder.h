// Python's live tensors and values, on their way into a file or a step.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kilter/state.h"

#include "native/opened.h"

namespace kilter::python {

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
    if (storage >= storages_.size()) throw nb::index_error("no such storage");
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
    held_.push_back((flags & 16U) != 0);
    return index_.tensors.size() - 1;
  }

  /// A contiguous tensor and its node in one, without a name.
  StateId live_tensor(const std::string& dtype, std::vector<std::int64_t> shape,
                      std::uintptr_t address, std::uint64_t bytes, unsigned flags) {
    std::vector<std::int64_t> strides = contiguous_strides(shape);
    const std::size_t number =
        tensor({}, dtype, std::move(shape), std::move(strides), storage(address, bytes), 0, flags);
    return integer(StateKind::kTensor, static_cast<std::int64_t>(number));
  }

  void tie(std::string later, std::string earlier) {
    ties_.emplace_back(std::move(later), std::move(earlier));
  }
  void metadata(std::string key, std::string value) {
    metadata_.emplace_back(std::move(key), std::move(value));
  }
  /// A small file beside the tensors of a training state.
  void file(std::string name, std::string bytes) {
    files_.emplace_back(std::move(name), std::move(bytes));
  }

  /// What was collected, as the state of a training run. Ends the collecting.
  State training_state(StateId root);
  /// What was collected, as a checkpoint. Ends the collecting.
  std::shared_ptr<Opened> finish(StateId root);

 private:
  TensorIndex index_;
  std::vector<Bytes> storages_;
  std::vector<bool> held_;  ///< by tensor
  StateTree state_;
  std::vector<std::pair<std::string, std::string>> ties_, metadata_, files_;
};

}  // namespace kilter::python

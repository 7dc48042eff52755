// Tensors as rebuild calls.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "flow/plan.h"
#include "formats/torch/pickle_writer.h"

namespace kilter::torch {

/// The views of a plan by name, and what their sources say about them.
class TensorWriter {
 public:
  explicit TensorWriter(const Plan& plan);

  struct View {
    std::size_t output = 0;
    std::string name;
    DType dtype = DType::kF32;
    std::vector<std::int64_t> shape;
    std::vector<std::int64_t> strides;
    std::uint64_t offset_elements = 0;
    bool parameter = false;
    bool requires_grad = false;
  };
  const std::vector<View>& views() const { return views_; }
  /// kNoView if the plan has no view of that name.
  static constexpr std::size_t kNoView = SIZE_MAX;
  std::size_t find(std::string_view name) const;
  /// Another view of the same output with the same elements?
  bool same(std::size_t a, std::size_t b) const;

  /// kUnsupported for a dtype that torch lacks.
  Status check() const;
  /// Writes a tensor, wrapped as a parameter where it was one.
  void write(std::size_t view, PickleWriter* out) const;
  /// The function that rebuilds it, and the tuple of its arguments: write() without REDUCE.
  std::string_view function(std::size_t view) const;
  void write_arguments(std::size_t view, PickleWriter* out) const;
  /// `storage, offset, size, stride`: the first arguments of every rebuild call.
  void write_view(std::size_t view, bool quantized, PickleWriter* out) const;

 private:
  void add(View view);
  void take_flags(const PlanOutput& output, std::size_t first);
  std::string_view plain_function(std::size_t view) const;
  void write_plain_arguments(std::size_t view, PickleWriter* out) const;
  bool typed(std::size_t view, bool quantized) const;
  void write_storage(std::size_t view, bool quantized, PickleWriter* out) const;

  const Plan& plan_;
  std::vector<View> views_;
  std::unordered_map<std::string, std::size_t> by_name_;
  std::vector<bool> mixed_;  ///< outputs whose views have several dtypes
};

}  // namespace kilter::torch

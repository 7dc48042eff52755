// A merge of tensors in memory, run as the engine would run it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "flow/memory_source.h"
#include "ops/merge/tensor_merge.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops::test {

using Values = std::vector<double>;

/// Numbers of a normal distribution, as `dtype` holds them; some of them 0 where asked.
inline Values normal_values(std::size_t count, double deviation, DType dtype, std::uint64_t seed,
                            double zeros = 0) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(0, deviation);
  std::uniform_real_distribution<double> uniform(0, 1);
  Values out(count);
  for (double& value : out) value = uniform(random) < zeros ? 0 : normal(random);
  std::vector<std::byte> bytes(count * dtype_row(dtype).bits / 8);
  narrow_floats(dtype, out.data(), count, bytes.data());
  widen_floats(dtype, bytes.data(), count, out.data());
  return out;
}

inline Values sum_of(const Values& a, const Values& b) {
  Values out(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) out[i] = a[i] + b[i];
  return out;
}

inline std::vector<std::byte> narrowed(DType dtype, const Values& values) {
  std::vector<std::byte> out(values.size() * dtype_row(dtype).bits / 8);
  narrow_floats(dtype, values.data(), values.size(), out.data());
  return out;
}

class MergeBed {
 public:
  MergeBed(MergeMethod method, std::vector<std::int64_t> shape, DType dtype = DType::kF32)
      : dtype_(dtype) {
    merge_.name = "layer.weight";
    merge_.shape = std::move(shape);
    merge_.method = method;
    merge_.to = dtype;
    merge_.parameters = merge_defaults(method);
  }

  TensorMerge& merge() { return merge_; }
  std::size_t elements() const {
    std::size_t out = 1;
    for (const std::int64_t extent : merge_.shape) out *= static_cast<std::size_t>(extent);
    return out;
  }
  /// Values of the base and of each term, as stored.
  const Values& base() const { return base_; }
  const Values& term(std::size_t i) const { return terms_[i]; }

  MergeBed& with_base(Values values) {
    merge_.base = make_term(values, "base");
    base_ = std::move(values);
    return *this;
  }
  MergeBed& with_term(Values values, TermParameters parameters = {}) {
    merge_.terms.push_back(make_term(values, "term" + std::to_string(terms_.size())));
    merge_.terms.back().parameters = parameters;
    terms_.push_back(std::move(values));
    return *this;
  }
  /// A base and `count` terms that differ from it.
  MergeBed& with_models(std::size_t count, TermParameters parameters = {}, bool base = true) {
    const Values from = normal_values(elements(), 0.5, dtype_, 1);
    if (base) with_base(from);
    for (std::size_t i = 0; i < count; ++i)
      with_term(sum_of(from, normal_values(elements(), 0.05, dtype_, 10 + i, 0.2)), parameters);
    return *this;
  }

  Result<std::shared_ptr<const Kernel>> kernel(unsigned threads = 1,
                                               std::uint64_t max_memory_bytes = 512U << 20) const {
    MergePasses passes;
    passes.thread_count = threads;
    passes.max_memory_bytes = max_memory_bytes;
    auto kernels = make_merge_kernels(std::span(&merge_, 1), passes);
    if (!kernels) return tl::unexpected(std::move(kernels).error());
    return kernels->front();
  }

  /// The output's bytes, made in tiles of so many elements.
  std::vector<std::byte> run(unsigned threads = 1, std::size_t tile_elements = 1000000,
                             std::uint64_t max_memory_bytes = 512U << 20) const {
    const auto kernel = this->kernel(threads, max_memory_bytes);
    EXPECT_TRUE(kernel.has_value()) << kernel.error().text();
    return kernel.has_value() ? run(**kernel, tile_elements) : std::vector<std::byte>{};
  }

  std::vector<std::byte> run(const Kernel& kernel, std::size_t tile_elements) const {
    const std::size_t width = dtype_row(merge_.to).bits / 8;
    std::vector<std::byte> out(elements() * width);
    for (std::size_t at = 0; at < elements(); at += tile_elements) {
      const std::size_t some = std::min(tile_elements, elements() - at);
      std::vector<Bytes> inputs;
      for (const auto& bytes : stored_) {
        const std::size_t each = bytes->size() / std::max<std::size_t>(elements(), 1);
        inputs.push_back(Bytes(*bytes).subspan(at * each, some * each));
      }
      const KernelTile tile{at * width, std::span(out).subspan(at * width, some * width), inputs};
      const Status done = kernel.run(tile);
      EXPECT_TRUE(done.has_value()) << done.error().text();
    }
    return out;
  }

  Values run_values(unsigned threads = 1, std::size_t tile_elements = 1000000) const {
    const std::vector<std::byte> bytes = run(threads, tile_elements);
    Values out(elements());
    widen_floats(merge_.to, bytes.data(), out.size(), out.data());
    return out;
  }

  /// The same for any threads, tiles and budget; returns those bytes.
  std::vector<std::byte> run_every_way() const {
    const std::vector<std::byte> out = run(1);
    EXPECT_EQ(out, run(2, 4096));
    EXPECT_EQ(out, run(8, 808));
    EXPECT_EQ(out, run(3, 8, 1U << 16));
    return out;
  }

 private:
  MergeTerm make_term(Values& values, const std::string& name) {
    auto bytes = std::make_shared<std::vector<std::byte>>(narrowed(dtype_, values));
    widen_floats(dtype_, bytes->data(), values.size(), values.data());
    TensorIndex index;
    index.files.push_back({name, bytes->size()});
    StorageInfo storage;
    storage.stored_bytes = storage.bytes = bytes->size();
    index.storages.push_back(storage);
    TensorInfo info;
    info.name = merge_.name;
    info.dtype = dtype_;
    info.shape = merge_.shape;
    info.strides = contiguous_strides(merge_.shape);
    index.tensors.push_back(info);
    auto source = make_memory_source(std::move(index), {Bytes(*bytes)}, name);
    EXPECT_TRUE(source.has_value()) << source.error().text();
    MergeTerm term;
    term.dtype = dtype_;
    term.path = name;
    term.input = {*source, InputKind::kTensor, 0, 0};
    stored_.push_back(std::move(bytes));  // the base is given first
    return term;
  }

  DType dtype_;
  TensorMerge merge_;
  Values base_;
  std::vector<Values> terms_;
  std::vector<std::shared_ptr<std::vector<std::byte>>> stored_;
};

}  // namespace kilter::ops::test

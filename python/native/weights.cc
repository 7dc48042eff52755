// Operations on weights: each returns the text of the program's --json.
#include "kilter/weights.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "kilter/merge.h"
#include "kilter/weights_diff.h"

#include "native/bind.h"
#include "native/long_work.h"
#include "store/address.h"

namespace kilter::python {
namespace {

using Strings = std::vector<std::string>;

DType float_dtype(const std::string& name) {
  if (name == "f8_e4m3") return DType::kF8E4M3FN;
  if (const auto dtype = dtype_from_name(name)) return *dtype;
  if (const auto dtype = dtype_from_torch(name)) return *dtype;
  throw nb::value_error("dtype is 'f64', 'f32', 'bf16', 'f16', 'f8_e4m3' or 'f8_e5m2'");
}

/// How weights are written; what Python hands over as it is.
struct Output {
  std::string to;
  std::uint64_t shard_bytes_max = 0;
  Strings allow;
  bool force = false, dry_run = false;
  std::uint64_t max_memory_bytes = 0;
  unsigned thread_count = 0;

  void fill(WeightsOptions& options) const {
    options.to = to;
    options.shard_bytes_max = shard_bytes_max;
    options.force = force;
    options.dry_run = dry_run;
    options.max_memory_bytes = max_memory_bytes;
    options.thread_count = thread_count;
    for (const std::string& name : allow) {
      const auto one = allow_from_name(name);
      if (!one)
        throw nb::value_error(
            "allow holds 'missing', 'extra', 'shape', 'dtype', 'values', 'nonfinite' or "
            "'overflow'");
      options.allow.insert(*one);
    }
  }
};

std::string cast_files(const std::string& source, const std::string& target,
                       const std::string& dtype,
                       const std::vector<std::pair<std::string, std::string>>& keep,
                       const Output& output, const nb::object& progress) {
  CastOptions options;
  output.fill(options);
  options.dtype = float_dtype(dtype);
  for (const auto& [glob, kept] : keep) options.keep.emplace_back(glob, float_dtype(kept));
  return weights_json(long_work(progress, [&](const RunContext& context) {
    options.context = context;
    const auto files = store::files_for({source}, &options.max_memory_bytes);
    options.open.files = files.get();
    return cast(source, target, options);
  }));
}

std::string average_files(const Strings& sources, const std::vector<double>& weights,
                          const std::string& target, const std::string& dtype, const Output& output,
                          const nb::object& progress) {
  BlendOptions options;
  output.fill(options);
  if (!dtype.empty()) options.dtype = float_dtype(dtype);
  return weights_json(long_work(progress, [&](const RunContext& context) {
    options.context = context;
    const auto files = store::files_for(sources, &options.max_memory_bytes);
    options.open.files = files.get();
    return average(sources, target, weights, options);
  }));
}

/// What a merge of checkpoints may be told besides.
struct MergeExtras {
  std::string block_weights, vae, ema;
  Strings discard;
};

std::string merge_files(const std::string& way, const Strings& sources, double ratio,
                        const std::string& target, const std::string& dtype,
                        const MergeExtras& extras, const Output& output,
                        const nb::object& progress) {
  MergeOptions options;
  output.fill(options);
  if (!dtype.empty()) options.dtype = float_dtype(dtype);
  options.block_weights = extras.block_weights;
  options.vae = extras.vae;
  options.discard = extras.discard;
  const auto ema = ema_weights_from_name(extras.ema);
  const auto merge_way = merge_way_from_name(way);
  if (!ema || !merge_way) throw nb::value_error("ema is 'drop', 'keep' or 'use'");
  options.ema = *ema;
  Strings opened = sources;
  if (!options.vae.empty()) opened.push_back(options.vae);
  return weights_json(long_work(progress, [&](const RunContext& context) {
    options.context = context;
    const auto files = store::files_for(opened, &options.max_memory_bytes);
    options.open.files = files.get();
    return merge_models(*merge_way, sources, ratio, target, options);
  }));
}

std::string diff_files(const std::string& a, const std::string& b, unsigned thread_count,
                       const nb::object& progress) {
  DiffOptions options;
  options.thread_count = thread_count;
  return diff_json(long_work(progress, [&](const RunContext& context) {
    options.context = context;
    const auto files = store::files_for({a, b});
    options.open.files = files.get();
    return diff_checkpoints(a, b, options);
  }));
}

}  // namespace

void bind_weights(nb::module_& module) {
  nb::class_<Output>(module, "WeightsOutput")
      .def(nb::init<std::string, std::uint64_t, Strings, bool, bool, std::uint64_t, unsigned>(),
           nb::arg("to"), nb::arg("shard_bytes_max"), nb::arg("allow"), nb::arg("force"),
           nb::arg("dry_run"), nb::arg("max_memory_bytes"), nb::arg("thread_count"));
  module.def("cast", &cast_files, nb::arg("source"), nb::arg("target"), nb::arg("dtype"),
             nb::arg("keep"), nb::arg("output"), nb::arg("progress").none());
  module.def("average", &average_files, nb::arg("sources"), nb::arg("weights"), nb::arg("target"),
             nb::arg("dtype"), nb::arg("output"), nb::arg("progress").none());
  nb::class_<MergeExtras>(module, "MergeExtras")
      .def(nb::init<std::string, std::string, std::string, Strings>(), nb::arg("block_weights"),
           nb::arg("vae"), nb::arg("ema"), nb::arg("discard"));
  module.def("merge", &merge_files, nb::arg("way"), nb::arg("sources"), nb::arg("ratio"),
             nb::arg("target"), nb::arg("dtype"), nb::arg("extras"), nb::arg("output"),
             nb::arg("progress").none());
  module.def("diff", &diff_files, nb::arg("a"), nb::arg("b"), nb::arg("thread_count"),
             nb::arg("progress").none());
}

}  // namespace kilter::python

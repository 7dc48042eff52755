// Operations on weights: each returns the text of the program's --json.
#include "kilter/weights.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "kilter/delta.h"
#include "kilter/series.h"
#include "kilter/store_steps.h"
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

std::string blend_files(const std::string& verb, const Strings& sources,
                        const std::vector<double>& weights, const std::string& target,
                        const std::string& dtype, const Output& output,
                        const nb::object& progress) {
  BlendOptions options;
  output.fill(options);
  if (!dtype.empty()) options.dtype = float_dtype(dtype);
  return weights_json(long_work(progress, [&](const RunContext& context) {
    options.context = context;
    const auto files = store::files_for(sources, &options.max_memory_bytes);
    options.open.files = files.get();
    if (verb == "average") return average(sources, target, weights, options);
    if (verb == "weighted")
      return merge_weighted(sources.at(0), sources.at(1), weights.at(0), target, options);
    if (verb == "slerp")
      return merge_slerp(sources.at(0), sources.at(1), weights.at(0), target, options);
    return merge_add_difference(sources.at(0), sources.at(1), sources.at(2), weights.at(0), target,
                                options);
  }));
}

std::string delta_files(bool make, const std::string& base, const std::string& other,
                        const std::string& target, const Output& output,
                        const nb::object& progress) {
  WeightsOptions options;
  output.fill(options);
  return delta_json(long_work(progress, [&](const RunContext& context) {
    options.context = context;
    const auto files = store::files_for({base, other}, &options.max_memory_bytes);
    options.open.files = files.get();
    return make ? delta_make(base, other, target, options)
                : delta_apply(base, other, target, options);
  }));
}

/// `kind`: "constant", "warm-up" (`number` is the decay) or "power" (it is gamma).
std::string ema_files(const Strings& sources, const std::string& target, const std::string& kind,
                      double number, bool correct_bias, const std::string& dtype,
                      const Output& output, const nb::object& progress) {
  BlendOptions options;
  output.fill(options);
  if (!dtype.empty()) options.dtype = float_dtype(dtype);
  EmaProfile profile;
  profile.correct_bias = correct_bias;
  (kind == "power" ? profile.gamma : profile.decay) = number;
  if (kind == "power") profile.kind = EmaProfile::Kind::kPower;
  if (kind == "warm-up") profile.kind = EmaProfile::Kind::kWarmUp;
  return ema_json(long_work(progress, [&](const RunContext& context) -> Result<EmaReport> {
    options.context = context;
    Strings series = sources;
    if (sources.size() == 1 && is_store_address(sources[0])) {
      auto steps = store_steps(sources[0]);
      if (!steps) return fail(std::move(steps).error());
      series = *std::move(steps);
    }
    const auto files = store::files_for(series, &options.max_memory_bytes);
    options.open.files = files.get();
    return ema(series, target, profile, options);
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
  module.def("blend", &blend_files, nb::arg("verb"), nb::arg("sources"), nb::arg("weights"),
             nb::arg("target"), nb::arg("dtype"), nb::arg("output"), nb::arg("progress").none());
  module.def("delta", &delta_files, nb::arg("make"), nb::arg("base"), nb::arg("other"),
             nb::arg("target"), nb::arg("output"), nb::arg("progress").none());
  module.def("ema", &ema_files, nb::arg("sources"), nb::arg("target"), nb::arg("kind"),
             nb::arg("number"), nb::arg("correct_bias"), nb::arg("dtype"), nb::arg("output"),
             nb::arg("progress").none());
  module.def("diff", &diff_files, nb::arg("a"), nb::arg("b"), nb::arg("thread_count"),
             nb::arg("progress").none());
}

}  // namespace kilter::python

// Operations on weights: each returns the text of the program's --json.
#include "kilter/weights.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <tuple>

#include "kilter/delta.h"
#include "kilter/merge.h"
#include "kilter/series.h"
#include "kilter/slim.h"
#include "kilter/stats.h"
#include "kilter/store_steps.h"
#include "kilter/weights_diff.h"

#include "native/bind.h"
#include "native/long_work.h"
#include "store/address.h"

namespace kilter::python {
namespace {

using Strings = std::vector<std::string>;

// What Python hands over for spectrum="all"; any other negative number leaves the choice to diff.
constexpr std::int64_t kAllMatrices = -1;

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
                       const std::string& scales, std::pair<std::int64_t, std::int64_t> block,
                       const Output& output, const nb::object& progress) {
  CastOptions options;
  output.fill(options);
  options.dtype = float_dtype(dtype);
  const auto layout = scale_layout_from_name(scales);
  if (!layout)
    throw nb::value_error("scales is 'none', 'deepseek', 'compressed-tensors' or 'comfyui'");
  options.scales = {*layout, block.first, block.second};
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

/// Runs `operation`(options) with the file systems that `sources` need.
template <typename Options, typename Operation>
std::string weights_work(const Strings& sources, Options& options, const nb::object& progress,
                         Operation operation) {
  return weights_json(long_work(progress, [&](const RunContext& context) {
    options.context = context;
    const auto files = store::files_for(sources, &options.max_memory_bytes);
    options.open.files = files.get();
    return operation(options);
  }));
}

PruneWay prune_way(const std::string& name) {
  constexpr std::pair<std::string_view, PruneWay> kWays[] = {
      {"magnitude", PruneWay::kMagnitude}, {"pattern", PruneWay::kPattern},
      {"rows", PruneWay::kRows},           {"columns", PruneWay::kColumns},
      {"heads", PruneWay::kHeads},         {"mask", PruneWay::kMask}};
  for (const auto& [known, way] : kWays)
    if (known == name) return way;
  throw nb::value_error("structured is 'rows', 'columns' or 'heads'");
}

std::string prune_files(const std::string& source, const std::string& target,
                        const std::string& way, double share, bool global,
                        std::pair<std::uint32_t, std::uint32_t> pattern, std::uint32_t head_count,
                        const std::pair<Strings, Strings>& only_exclude,
                        const std::pair<std::string, std::string>& masks, const Output& output,
                        const nb::object& progress) {
  PruneOptions options;
  output.fill(options);
  options.way = prune_way(way);
  options.sparsity = options.fraction = share;
  options.global = global;
  std::tie(options.pattern_keep, options.pattern_group) = pattern;
  options.head_count = head_count;
  std::tie(options.only, options.exclude) = only_exclude;
  std::tie(options.mask_source, options.mask_target) = masks;
  Strings sources = {source};
  if (!options.mask_source.empty()) sources.push_back(options.mask_source);
  return weights_work(sources, options, progress,
                      [&](const PruneOptions& how) { return prune(source, target, how); });
}

std::string strip_files(const std::string& source, const std::string& target, bool ema,
                        bool keep_ema, bool keep_metadata, const Strings& keep, const Strings& drop,
                        const Output& output, const nb::object& progress) {
  StripOptions options;
  output.fill(options);
  if (ema) options.part = Part::kEma;
  options.keep_ema = keep_ema;
  options.keep_metadata = keep_metadata;
  options.keep = keep;
  options.drop = drop;
  return weights_work({source}, options, progress,
                      [&](const StripOptions& how) { return strip(source, target, how); });
}

std::string rename_files(const std::string& source, const std::string& target,
                         const std::vector<std::pair<std::string, std::string>>& rules,
                         const Output& output, const nb::object& progress) {
  RenameOptions options;
  output.fill(options);
  options.rename = rules;
  return weights_work({source}, options, progress, [&](const RenameOptions& how) {
    return rename_tensors(source, target, how);
  });
}

std::string shard_files(const std::string& source, const std::string& target, const Output& output,
                        const nb::object& progress) {
  WeightsOptions options;
  output.fill(options);
  return weights_work({source}, options, progress,
                      [&](const WeightsOptions& how) { return shard(source, target, how); });
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

std::string diff_files(const std::string& a, const std::string& b, const std::string& against,
                       std::int64_t spectrum_tensors, unsigned thread_count,
                       const nb::object& progress) {
  DiffOptions options;
  options.against = against;
  if (spectrum_tensors == kAllMatrices) options.spectrum_tensors = kSpectrumAll;
  if (spectrum_tensors >= 0) options.spectrum_tensors = static_cast<std::size_t>(spectrum_tensors);
  options.thread_count = thread_count;
  return diff_json(long_work(progress, [&](const RunContext& context) {
    options.context = context;
    Strings addresses = {a, b};
    if (!against.empty()) addresses.push_back(against);
    const auto files = store::files_for(addresses);
    options.open.files = files.get();
    return diff_checkpoints(a, b, options);
  }));
}

std::string stats_of(const std::string& address, const Strings& only, double outlier_deviations,
                     unsigned thread_count, const nb::object& progress) {
  StatsOptions options;
  options.only = only;
  options.outlier_deviations = outlier_deviations;
  options.thread_count = thread_count;
  return stats_json(long_work(progress, [&](const RunContext& context) {
    options.context = context;
    const auto files = store::files_for({address});
    options.open.files = files.get();
    return checkpoint_stats(address, options);
  }));
}

}  // namespace

void bind_weights(nb::module_& module) {
  nb::class_<Output>(module, "WeightsOutput")
      .def(nb::init<std::string, std::uint64_t, Strings, bool, bool, std::uint64_t, unsigned>(),
           nb::arg("to"), nb::arg("shard_bytes_max"), nb::arg("allow"), nb::arg("force"),
           nb::arg("dry_run"), nb::arg("max_memory_bytes"), nb::arg("thread_count"));
  module.def("cast", &cast_files, nb::arg("source"), nb::arg("target"), nb::arg("dtype"),
             nb::arg("keep"), nb::arg("scales"), nb::arg("block"), nb::arg("output"),
             nb::arg("progress").none());
  module.def("prune", &prune_files, nb::arg("source"), nb::arg("target"), nb::arg("way"),
             nb::arg("share"), nb::arg("by_global"), nb::arg("pattern"), nb::arg("head_count"),
             nb::arg("only_exclude"), nb::arg("masks"), nb::arg("output"),
             nb::arg("progress").none());
  module.def("strip", &strip_files, nb::arg("source"), nb::arg("target"), nb::arg("ema"),
             nb::arg("keep_ema"), nb::arg("keep_metadata"), nb::arg("keep"), nb::arg("drop"),
             nb::arg("output"), nb::arg("progress").none());
  module.def("rename", &rename_files, nb::arg("source"), nb::arg("target"), nb::arg("rules"),
             nb::arg("output"), nb::arg("progress").none());
  module.def("shard", &shard_files, nb::arg("source"), nb::arg("target"), nb::arg("output"),
             nb::arg("progress").none());
  module.def("average", &average_files, nb::arg("sources"), nb::arg("weights"), nb::arg("target"),
             nb::arg("dtype"), nb::arg("output"), nb::arg("progress").none());
  nb::class_<MergeExtras>(module, "MergeExtras")
      .def(nb::init<std::string, std::string, std::string, Strings>(), nb::arg("block_weights"),
           nb::arg("vae"), nb::arg("ema"), nb::arg("discard"));
  module.def("merge", &merge_files, nb::arg("way"), nb::arg("sources"), nb::arg("ratio"),
             nb::arg("target"), nb::arg("dtype"), nb::arg("extras"), nb::arg("output"),
             nb::arg("progress").none());
  module.def("delta", &delta_files, nb::arg("make"), nb::arg("base"), nb::arg("other"),
             nb::arg("target"), nb::arg("output"), nb::arg("progress").none());
  module.def("ema", &ema_files, nb::arg("sources"), nb::arg("target"), nb::arg("kind"),
             nb::arg("number"), nb::arg("correct_bias"), nb::arg("dtype"), nb::arg("output"),
             nb::arg("progress").none());
  module.def("diff", &diff_files, nb::arg("a"), nb::arg("b"), nb::arg("against"),
             nb::arg("spectrum_tensors"), nb::arg("thread_count"), nb::arg("progress").none());
  module.def("stats", &stats_of, nb::arg("address"), nb::arg("only"), nb::arg("outlier_deviations"),
             nb::arg("thread_count"), nb::arg("progress").none());
}

}  // namespace kilter::python

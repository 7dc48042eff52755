// The verbs about files: each returns the text of the program's --json.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "kilter/convert.h"
#include "kilter/inspect.h"
#include "kilter/scan.h"
#include "kilter/verify.h"

#include "native/bind.h"
#include "native/long_work.h"
#include "store/address.h"

namespace kilter::python {
namespace {

using Strings = std::vector<std::string>;

Part part_named(const std::string& name) {
  if (name == "weights") return Part::kWeights;
  if (name == "ema") return Part::kEma;
  if (name == "optimizer") return Part::kOptimizer;
  if (name == "all") return Part::kAll;
  throw nb::value_error("part is 'all', 'weights', 'ema' or 'optimizer'");
}

std::string convert_files(const std::string& source, const std::string& target,
                          const std::string& to, std::uint64_t shard_bytes_max, const Strings& only,
                          const std::vector<std::pair<std::string, std::string>>& rename,
                          const std::string& part, bool force, bool dry_run,
                          std::uint64_t max_memory_bytes, unsigned thread_count,
                          const nb::object& progress) {
  ConvertOptions options;
  options.to = to;
  options.shard_bytes_max = shard_bytes_max;
  options.only = only;
  options.rename = rename;
  options.part = part_named(part);
  options.force = force;
  options.dry_run = dry_run;
  options.max_memory_bytes = max_memory_bytes;
  options.thread_count = thread_count;
  const ConvertReport report = long_work(progress, [&](const RunContext& context) {
    options.context = context;
    const auto files = store::files_for({source}, &options.max_memory_bytes);
    options.open.files = files.get();
    return convert(source, target, options);
  });
  return convert_json(report);
}

std::string inspect_file(const std::string& address, bool hashes, const std::string& tensors,
                         bool tree, const nb::object& progress) {
  InspectOptions options;
  options.hashes = hashes;
  options.tensor_hashes = hashes && !tensors.empty();
  // The report reads through the file system until its text is made.
  const auto files = store::files_for({address});
  options.open.files = files.get();
  const InspectReport report = long_work(progress, [&](const RunContext& context) {
    options.context = context;
    return inspect(address, options);
  });
  return inspect_json(report, tensors, tree);
}

std::string scan_files(const Strings& paths, const nb::object& progress) {
  ScanOptions options;
  const auto files = store::files_for(paths);
  options.files = files.get();
  const ScanReport report = long_work(progress, [&](const RunContext& context) {
    options.context = context;
    return scan(paths, options);
  });
  return scan_json(report);
}

std::string verify_file(const std::string& address, bool numbers, const std::string& rescue,
                        const nb::object& progress) {
  VerifyOptions options;
  options.numbers = numbers;
  options.rescue_path = rescue;
  const auto files = store::files_for({address});
  options.rescue.open.files = files.get();
  const VerifyReport report = long_work(progress, [&](const RunContext& context) {
    options.context = context;
    return verify(address, options);
  });
  return verify_json(report);
}

}  // namespace

void bind_verbs(nb::module_& module) {
  module.def("convert", &convert_files, nb::arg("source"), nb::arg("target"), nb::arg("to"),
             nb::arg("shard_bytes_max"), nb::arg("only"), nb::arg("rename"), nb::arg("part"),
             nb::arg("force"), nb::arg("dry_run"), nb::arg("max_memory_bytes"),
             nb::arg("thread_count"), nb::arg("progress").none());
  module.def("inspect", &inspect_file, nb::arg("address"), nb::arg("hashes"), nb::arg("tensors"),
             nb::arg("tree"), nb::arg("progress").none());
  module.def("scan", &scan_files, nb::arg("paths"), nb::arg("progress").none());
  module.def("verify", &verify_file, nb::arg("address"), nb::arg("numbers"), nb::arg("rescue"),
             nb::arg("progress").none());
}

}  // namespace kilter::python

#include "kilter/sharded.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "kilter/scan.h"

#include "base/try.h"
#include "io/memory_file_system.h"
#include "native/bind.h"
#include "native/long_work.h"
#include "native/opened.h"
#include "native/reports.h"
#include "native/saver_options.h"

namespace kilter::python {
namespace {

/// Name, dtype, shape, strides (elements), address of the first element.
using LiveRow = std::tuple<std::string, std::string, std::vector<std::int64_t>,
                           std::vector<std::int64_t>, std::uintptr_t>;
/// Number of the tensor, offsets of the box, its shape, strides in memory, address.
using BoxRow = std::tuple<std::size_t, std::vector<std::int64_t>, std::vector<std::int64_t>,
                          std::vector<std::int64_t>, std::uintptr_t>;

ShardedSaver open_sharded(const std::string& address, const std::string& branch,
                          const std::string& author, const std::string& coding,
                          unsigned thread_count, std::uint64_t write_memory_bytes) {
  SaverOptions options;
  options.branch = branch;
  options.author = author;
  options.coding = coding_named(coding);
  options.thread_count = thread_count;
  options.write_memory_bytes = write_memory_bytes;
  return released([&] { return ShardedSaver::open(address, std::move(options)); });
}

LiveTensor live_tensor(const std::string& dtype, std::vector<std::int64_t> shape,
                       std::vector<std::int64_t> strides, std::uintptr_t address) {
  const auto known = dtype_from_name(dtype);
  if (!known) throw nb::value_error("unknown dtype");
  LiveTensor out;
  out.dtype = *known;
  out.shape = std::move(shape);
  out.strides = std::move(strides);
  out.data = reinterpret_cast<void*>(address);
  return out;
}

std::string write_part(ShardedSaver& self, unsigned rank, const std::vector<LiveRow>& rows) {
  std::vector<std::pair<std::string, LiveTensor>> tensors;
  for (const auto& [name, dtype, shape, strides, address] : rows)
    tensors.emplace_back(name, live_tensor(dtype, shape, strides, address));
  return long_work(nb::none(), [&](const RunContext&) { return self.write(rank, tensors); });
}

Row commit_parts(ShardedSaver& self, std::int64_t step, const std::vector<std::string>& parts,
                 const std::vector<std::tuple<std::string, std::string>>& files,
                 const Row& metadata) {
  std::vector<std::pair<std::string, std::string>> beside;
  for (const auto& [name, text] : files) beside.emplace_back(name, text);
  const Metadata stated = metadata_from(metadata);
  return report_dict(released([&] { return self.commit(step, parts, beside, stated); }));
}

void load_boxes_into(const Opened& checkpoint, const std::vector<BoxRow>& rows,
                     const nb::object& progress) {
  const auto& tensors = checkpoint.index().tensors;
  std::vector<BoxTarget> targets;
  for (const auto& [number, offsets, shape, strides, address] : rows) {
    if (number >= tensors.size()) throw nb::index_error("no such tensor");
    BoxTarget target{number, offsets, {}};
    target.target.dtype = tensors[number].dtype;
    target.target.shape = shape;
    target.target.strides = strides;
    target.target.data = reinterpret_cast<void*>(address);
    targets.push_back(std::move(target));
  }
  long_work(progress, [&](const RunContext& context) {
    return load_boxes(checkpoint.checkpoint(), targets, context);
  });
}

constexpr std::uint64_t kTextBytesMax = 1ULL << 30;

/// None where the checkpoint has no such file.
std::optional<std::string> file_text(const Opened& checkpoint, const std::string& name) {
  const auto& files = checkpoint.index().files;
  const auto found = std::ranges::find(files, name, &FileEntry::path);
  if (found == files.end()) return std::nullopt;
  const auto number = static_cast<std::uint32_t>(found - files.begin());
  return released([&]() -> Result<std::string> {
    if (found->bytes > kTextBytesMax)
      return fail(Error(ErrorCode::kLimitExceeded, "the file is too large").at_path(name));
    std::string text(static_cast<std::size_t>(found->bytes), '\0');
    KILTER_TRY(checkpoint.checkpoint().source()->read_file(
        number, 0, std::as_writable_bytes(std::span(text))));
    return text;
  });
}

/// What `kilter scan` says of a file with these bytes: the verdict, and the worst finding.
std::pair<std::string, std::string> judge_bytes(const nb::bytes& data) {
  return released([&]() -> Result<std::pair<std::string, std::string>> {
    const auto files = io::make_memory_file_system();
    const std::string path = "object";
    {
      KILTER_ASSIGN(const auto file, files->create(path));
      KILTER_TRY(file->write_at(0, std::as_bytes(std::span(data.c_str(), data.size()))));
    }
    ScanOptions options;
    options.files = files.get();
    KILTER_ASSIGN(const ScanReport report, scan({path}, options));
    std::string evidence;
    for (const ScanFile& file : report.files)
      for (const Finding& finding : file.findings)
        if (finding.severity >= Severity::kMalformed && evidence.empty())
          evidence = finding.message + " " + finding.evidence;
    return std::pair(std::string(verdict_name(report.verdict)), evidence);
  });
}

}  // namespace

void bind_sharded(nb::module_& module) {
  nb::class_<ShardedSaver>(module, "ShardedSaver", "One rank's end of a step saved by several.")
      .def("write", &write_part, nb::arg("rank"), nb::arg("tensors"))
      .def("commit", &commit_parts, nb::arg("step"), nb::arg("parts"), nb::arg("files"),
           nb::arg("metadata"))
      .def("release", &ShardedSaver::release);
  module.def("open_sharded", &open_sharded, nb::arg("address"), nb::arg("branch"),
             nb::arg("author"), nb::arg("coding"), nb::arg("thread_count"),
             nb::arg("write_memory_bytes"));
  module.def("file_text", &file_text, nb::arg("checkpoint"), nb::arg("name"));
  module.def("judge_bytes", &judge_bytes, nb::arg("data"));
  module.def("load_boxes", &load_boxes_into, nb::arg("checkpoint"), nb::arg("boxes"),
             nb::arg("progress").none());
}

}  // namespace kilter::python

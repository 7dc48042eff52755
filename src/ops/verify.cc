#include "kilter/verify.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/try.h"
#include "formats/folder/index_probe.h"
#include "formats/format.h"
#include "ops/convert_run.h"
#include "ops/report_json.h"
#include "tensor/kernels/number_counts.h"

namespace kilter {

namespace {

using formats::CheckArguments;

/// Reads every tensor in tiles and counts what is not finite.
Status count_all_numbers(const Checkpoint& checkpoint, const RunContext& context,
                         VerifyReport* report) {
  constexpr std::size_t kBlockBytes = 6U << 20;  // a multiple of every element size, 6-bit too
  std::vector<std::byte> block(kBlockBytes);
  std::uint64_t total_bytes = 0, done_bytes = 0;
  for (const TensorInfo& tensor : checkpoint.tensors()) total_bytes += tensor.bytes();
  if (context.progress != nullptr) context.progress->begin("count numbers", total_bytes);
  for (std::size_t i = 0; i < checkpoint.tensors().size(); ++i) {
    const TensorInfo& tensor = checkpoint.tensors()[i];
    NumberCount count{tensor.name, 0, 0};
    for (std::uint64_t at = 0; at < tensor.bytes();) {
      KILTER_TRY(context.check());
      const auto size =
          static_cast<std::size_t>(std::min<std::uint64_t>(kBlockBytes, tensor.bytes() - at));
      KILTER_TRY(checkpoint.read_tensor(i, at, {block.data(), size}));
      const std::uint64_t bits = dtype_row(tensor.dtype).bits;
      const std::uint64_t first = at * 8 / bits;
      const std::uint64_t elements =
          std::min<std::uint64_t>(size * 8 / bits, tensor.element_count() - first);
      const NumberCounts found = count_numbers(tensor.dtype, {block.data(), size}, elements);
      count.nan_count += found.nan;
      count.inf_count += found.infinite;
      at += size;
      done_bytes += size;
      if (context.progress != nullptr) context.progress->update(done_bytes);
    }
    if (count.nan_count + count.inf_count > 0) report->numbers.push_back(count);
  }
  if (context.progress != nullptr) context.progress->end();
  return ok();
}

bool is_fault(const Finding& finding) { return finding.severity != Severity::kNote; }

/// Names of tensors that findings hit, directly.
std::set<std::string> hit_tensors(const std::vector<Finding>& findings) {
  std::set<std::string> out;
  for (const Finding& finding : findings)
    if (is_fault(finding) && !finding.tensor.empty()) out.insert(finding.tensor);
  return out;
}

/// Tensors whose bytes can be read to the end; the reason is kept as a finding for the others.
Status find_readable(const Checkpoint& checkpoint, const std::set<std::string>& damaged,
                     const RunContext& context, VerifyReport* report) {
  std::vector<std::byte> block(4U << 20);
  for (std::size_t i = 0; i < checkpoint.tensors().size(); ++i) {
    const TensorInfo& tensor = checkpoint.tensors()[i];
    Status status = ok();
    for (std::uint64_t at = 0; at < tensor.bytes() && status; at += block.size()) {
      KILTER_TRY(context.check());
      const auto size =
          static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), tensor.bytes() - at));
      status = checkpoint.read_tensor(i, at, {block.data(), size});
    }
    const bool intact = status.has_value() && !damaged.contains(tensor.name);
    (intact ? report->rescued : report->lost).push_back(tensor.name);
  }
  return ok();
}

Status rescue(const std::string& address, const VerifyOptions& options, VerifyReport* report) {
  OpenOptions lenient = options.rescue.open;
  lenient.lenient = true;
  KILTER_ASSIGN(Checkpoint checkpoint, open_checkpoint(address, lenient));
  const std::vector<Finding>& seen = checkpoint.data().findings;
  for (const Finding& finding : seen) report->findings.push_back(finding);
  std::set<std::string> damaged = hit_tensors(report->findings);
  KILTER_TRY(find_readable(checkpoint, damaged, options.context, report));
  const std::set<std::string> rescued(report->rescued.begin(), report->rescued.end());
  for (const std::string& name : damaged) {
    const auto& lost = report->lost;
    if (!rescued.contains(name) && std::find(lost.begin(), lost.end(), name) == lost.end())
      report->lost.push_back(name);
  }
  if (report->rescued.empty()) {
    Error error(ErrorCode::kMalformed, "no tensor is intact: nothing was written");
    error.path = address;
    return fail(std::move(error));
  }
  ConvertOptions convert_options = options.rescue;
  convert_options.context = options.context;
  KILTER_ASSIGN(report->rescue, ops::convert_checkpoint(checkpoint, options.rescue_path,
                                                        convert_options, &report->rescued));
  return ok();
}

}  // namespace

Result<VerifyReport> verify(const std::string& address, const VerifyOptions& options) {
  io::FileSystem& files =
      options.rescue.open.files != nullptr ? *options.rescue.open.files : io::real_file_system();
  VerifyReport report;
  report.path = address;
  KILTER_ASSIGN(const formats::Probe probe, formats::probe_checkpoint(files, address));
  const formats::Recognized recognized = formats::recognize(probe);
  if (recognized.format == nullptr) {
    // Says in the error what the file is instead.
    KILTER_ASSIGN(Checkpoint never, open_checkpoint(address, options.rescue.open));
    report.format = never.data().format;
    return report;
  }
  report.format = recognized.format->name();
  const CheckArguments arguments{&files, address, &probe, true, options.context};
  KILTER_TRY(recognized.format->check(arguments, &report.findings));
  auto checkpoint = open_checkpoint(address, options.rescue.open);
  if (checkpoint) {
    report.tensor_count = checkpoint->tensors().size();
    for (const FileEntry& file : checkpoint->data().index.files) report.checked_bytes += file.bytes;
    if (options.numbers) KILTER_TRY(count_all_numbers(*checkpoint, options.context, &report));
  } else if (std::none_of(report.findings.begin(), report.findings.end(), is_fault)) {
    return fail(std::move(checkpoint).error());
  }
  report.sound = std::none_of(report.findings.begin(), report.findings.end(), is_fault);
  if (!options.rescue_path.empty()) KILTER_TRY(rescue(address, options, &report));
  return report;
}

std::string verify_json(const VerifyReport& report) {
  Json numbers = Json::array();
  for (const NumberCount& count : report.numbers) {
    numbers.push_back(
        {{"tensor", count.tensor}, {"nan", count.nan_count}, {"inf", count.inf_count}});
  }
  Json out = {{"path", report.path},
              {"format", report.format},
              {"sound", report.sound},
              {"tensor_count", report.tensor_count},
              {"checked_bytes", report.checked_bytes},
              {"findings", ops::findings_to_json(report.findings)},
              {"numbers", std::move(numbers)}};
  if (report.rescue) {
    out["rescued"] = report.rescued;
    out["lost"] = report.lost;
    out["rescue"] = ops::convert_to_json(*report.rescue);
  }
  return dump_json(out);
}

}  // namespace kilter

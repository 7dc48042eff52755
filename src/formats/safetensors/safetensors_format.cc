#include "formats/safetensors/safetensors_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "base/text.h"
#include "base/try.h"
#include "formats/file_name.h"
#include "formats/safetensors/header.h"
#include "formats/safetensors/layout.h"
#include "formats/safetensors/safetensors_scan.h"
#include "formats/safetensors/safetensors_sink.h"
#include "formats/state_json/state_json.h"

namespace kilter::formats {
namespace {

namespace st = safetensors;

/// The first byte after the length that is no JSON whitespace.
std::optional<char> first_json_char(std::string_view text) {
  const std::size_t at = text.find_first_not_of(" \t\r\n");
  if (at == std::string_view::npos) return std::nullopt;
  return text[at];
}

void append_tensor(st::Entry& entry, std::uint64_t data_offset_bytes, TensorIndex* index) {
  StorageInfo& storage = index->storages.emplace_back();
  storage.offset_bytes = data_offset_bytes + entry.begin_bytes;
  storage.stored_bytes = storage.bytes = entry.end_bytes - entry.begin_bytes;
  TensorInfo& tensor = index->tensors.emplace_back();
  tensor.name = std::move(entry.name);
  tensor.dtype = entry.dtype;
  tensor.strides = contiguous_strides(entry.shape);
  tensor.shape = std::move(entry.shape);
  tensor.storage = static_cast<std::uint32_t>(index->storages.size() - 1);
}

std::string detail_text(const st::Header& header) {
  return fmt::format("header {} bytes, data aligned to {}", format_count(header.header_bytes),
                     header.data_offset_bytes() % 8 == 0 ? 8 : 1);
}

class SafetensorsFormat final : public Format {
 public:
  std::string_view name() const override { return "safetensors"; }
  std::string_view title() const override { return "safetensors file"; }

  Detection detect(const Probe& probe) const override {
    if (probe.is_folder || probe.head.size() < st::kLengthBytes + 1) return {};
    const auto header_bytes = ByteReader(probe.head).u64_le().value_or(0);
    const std::string_view rest = as_text(Bytes(probe.head)).substr(st::kLengthBytes);
    const auto first =
        first_json_char(rest.substr(0, std::min<std::uint64_t>(header_bytes, rest.size())));
    const std::string evidence = fmt::format("u64 header length {}", header_bytes);
    if (first && *first != '{') return {};
    if (header_bytes > st::kHeaderBytesMax) {
      const bool object =
          rest.starts_with("{\"") && rest.find("data_offsets") != std::string_view::npos;
      return object ? Detection{60, evidence + " (out of bounds), then a JSON object"}
                    : Detection{};
    }
    if (header_bytes < 2) return {};
    if (!first) return {30, evidence + ", then only whitespace"};
    if (header_bytes <= probe.bytes - st::kLengthBytes) return {95, evidence + ", then '{'"};
    return {rest.starts_with("{\"") ? 70 : 20, evidence + " (past the end of the file), then '{'"};
  }

  Result<CheckpointData> open(const OpenArguments& arguments) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    KILTER_ASSIGN(st::Header header, st::read_header(*file, arguments.options.header_bytes_max));
    if (!header.faults.empty() && !arguments.options.lenient)
      return fail(std::move(header.faults.front().error));

    CheckpointData data;
    data.format = name();
    data.format_detail = detail_text(header);
    data.root = arguments.path;
    data.index.files = {{file_name_of(arguments.path), file->bytes()}};
    data.index.storages.reserve(header.entries.size());
    data.index.tensors.reserve(header.entries.size());
    keep_entries(&header, &data.index);
    data.metadata = std::move(header.metadata);
    for (const Fault& fault : header.faults)
      data.findings.push_back(finding_from(fault, Severity::kMalformed, arguments.path));
    KILTER_TRY(data.index.validate());
    KILTER_TRY(state_json::attach_state_json(*arguments.files,
                                             state_json::state_json_path(arguments.path), &data));
    return data;
  }

  Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    const auto header = st::read_header(*file, st::kHeaderBytesMax);
    if (!header) return report_unreadable(header.error(), arguments.path, findings);
    for (const Fault& fault : header->faults)
      findings->push_back(finding_from(fault, Severity::kMalformed, arguments.path));
    if (!header->faults.empty()) return ok();
    // Sound by itself; what its state file says must fit it too.
    auto data = open({arguments.files, arguments.path, arguments.probe, OpenOptions()});
    if (!data) return report_unreadable(data.error(), arguments.path, findings);
    std::move(data->findings.begin(), data->findings.end(), std::back_inserter(*findings));
    return ok();
  }

  Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    const auto header = st::read_header(*file, st::kHeaderBytesMax);
    if (header) {
      for (const Fault& fault : header->faults)
        findings->push_back(finding_from(fault, Severity::kMalformed, arguments.path));
      st::scan_header(*header, arguments.path, findings);
    } else {
      KILTER_TRY(report_unreadable(header.error(), arguments.path, findings));
    }
    st::scan_polyglot(*arguments.probe, findings);
    return ok();
  }

  std::unique_ptr<Sink> make_sink(const WriteOptions& options) const override {
    return st::make_safetensors_sink(options);
  }

 private:
  /// In a damaged file a tensor is kept if it is sound and all there; names stay unique.
  static void keep_entries(st::Header* header, TensorIndex* index) {
    std::set<std::string> kept;
    for (st::Entry& entry : header->entries) {
      if (!entry.usable) continue;
      if (!header->faults.empty() && !kept.insert(entry.name).second) continue;
      append_tensor(entry, header->data_offset_bytes(), index);
    }
  }

  /// Content that cannot be judged is a finding; a disk that cannot be read is an error.
  static Status report_unreadable(const Error& error, std::string_view path,
                                  std::vector<Finding>* findings) {
    if (error.code != ErrorCode::kMalformed && error.code != ErrorCode::kLimitExceeded)
      return fail(error);
    findings->push_back(finding_from({"safetensors.header", error}, severity_of(error.code), path));
    return ok();
  }
};

}  // namespace

const Format& safetensors_format() {
  static const SafetensorsFormat kFormat;
  return kFormat;
}

}  // namespace kilter::formats

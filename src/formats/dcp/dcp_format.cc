#include "formats/dcp/dcp_format.h"

#include <algorithm>
#include <iterator>

#include "base/try.h"
#include "formats/dcp/dcp_reader.h"
#include "formats/dcp/dcp_sink.h"
#include "formats/dcp/items.h"
#include "formats/file_name.h"
#include "formats/findings.h"
#include "formats/pickle/scan.h"
#include "formats/torch/zip_reader.h"
#include "formats/zip/scan_zip.h"
#include "io/safe_path.h"

namespace kilter::formats {
namespace {

/// Content that breaks rules is a finding; what keeps us from looking is an error.
Status report(const Error& error, const std::string& path, std::vector<Finding>* findings) {
  if (error.code == ErrorCode::kIo || error.code == ErrorCode::kPermission ||
      error.code == ErrorCode::kCancelled)
    return fail(error);
  findings->push_back(finding_from({"dcp.unreadable", error}, severity_of(error.code), path));
  return ok();
}

/// Calls `use(file, place, path)` for every item of the checkpoint that can be found.
template <typename Use>
Status each_item(const CheckArguments& arguments, const dcp::Metadata& metadata, Use use,
                 std::vector<Finding>* findings) {
  const std::string& root = arguments.probe->path;
  std::unique_ptr<io::ReadFile> file;
  std::string open_name;
  for (const dcp::Item& item : dcp::list_items(metadata)) {
    KILTER_TRY(arguments.context.check());
    if (item.place == nullptr) continue;  // open() tells
    if (open_name != item.place->file) {
      open_name = item.place->file;
      auto opened = io::open_beneath(*arguments.files, root, open_name);
      file = opened ? std::move(*opened) : nullptr;
      if (!opened) KILTER_TRY(report(opened.error(), root + "/" + open_name, findings));
    }
    if (!file) continue;
    const std::string path = dcp::item_path(root, *item.place, metadata.entries[item.entry].fqn);
    const Status status = use(*file, *item.place, path);
    if (!status) KILTER_TRY(report(status.error(), path, findings));
  }
  return ok();
}

Status scan_item(const RunContext& run, const io::ReadFile& file, const dcp::Place& place,
                 const std::string& path, std::vector<Finding>* findings) {
  KILTER_ASSIGN(const auto item, dcp::item_file(file, place, path));
  pickle::ScanContext context;
  context.path = path;
  context.wrapping = pickle::Wrapping::kTorchZip;
  return zip::scan_zip(*item, context, findings, run);
}

class DcpFormat final : public Format {
 public:
  std::string_view name() const override { return "dcp"; }
  std::string_view title() const override { return "torch distributed checkpoint"; }

  Detection detect(const Probe& probe) const override {
    if (!probe.is_folder) return {};
    const auto has = [&](std::string_view name) {
      return std::binary_search(probe.entry_names.begin(), probe.entry_names.end(), name);
    };
    const bool data = std::any_of(
        probe.entry_names.begin(), probe.entry_names.end(), [](const std::string& name) {
          return name.ends_with(dcp::kDataSuffix) && name.find('/') == std::string::npos;
        });
    if (has(dcp::kMetadataName)) return {data ? 97 : 92, "a folder with .metadata"};
    if (has(dcp::kUnfinishedName)) return {96, "a folder with .metadata.tmp"};
    if (data) return {91, "a folder with .distcp files"};
    if (is_safetensors_mode(probe)) return {94, "a folder of shards in safetensors"};
    return {};
  }

  Result<CheckpointData> open(const OpenArguments& arguments) const override {
    const auto open =
        is_safetensors_mode(*arguments.probe) ? dcp::open_sharded_safetensors : dcp::open_dcp;
    auto data = open(*arguments.files, arguments.probe->path, arguments.probe->entry_names,
                     arguments.options);
    if (!data) return fail(std::move(data).error().at_path(arguments.probe->path));
    return data;
  }

  Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    OpenArguments opening{arguments.files, arguments.path, arguments.probe, {}};
    opening.options.lenient = true;
    auto opened = open(opening);
    if (!opened) return report(opened.error(), arguments.path, findings);
    std::move(opened->findings.begin(), opened->findings.end(), std::back_inserter(*findings));
    if (!arguments.read_data || is_safetensors_mode(*arguments.probe)) return ok();
    KILTER_ASSIGN(const auto metadata, metadata_of(arguments));
    return each_item(
        arguments, metadata,
        [&](const io::ReadFile& file, const dcp::Place& place, const std::string& path) {
          return check_members(file, place, path, findings);
        },
        findings);
  }

  Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    KILTER_TRY(arguments.context.check());
    if (is_safetensors_mode(*arguments.probe)) return scan_shards(arguments, findings);
    const std::string path = arguments.probe->path + "/" + std::string(dcp::kMetadataName);
    KILTER_TRY(scan_metadata(arguments, path, findings));
    auto metadata = metadata_of(arguments);
    if (!metadata) return report(metadata.error(), path, findings);
    return each_item(
        arguments, *metadata,
        [&](const io::ReadFile& file, const dcp::Place& place, const std::string& item_path) {
          return scan_item(arguments.context, file, place, item_path, findings);
        },
        findings);
  }

  std::unique_ptr<Sink> make_sink(const WriteOptions& options) const override {
    return dcp::make_dcp_sink(options);
  }

 private:
  static bool is_safetensors_mode(const Probe& probe) {
    return std::any_of(probe.entry_names.begin(), probe.entry_names.end(),
                       [](const std::string& name) { return dcp::is_sharded_safetensors(name); }) &&
           std::none_of(probe.entry_names.begin(), probe.entry_names.end(),
                        [](const std::string& name) { return name == dcp::kMetadataName; });
  }

  static Status scan_shards(const CheckArguments& arguments, std::vector<Finding>* findings) {
    for (const std::string& name : arguments.probe->entry_names) {
      if (!dcp::is_sharded_safetensors(name)) continue;
      CheckArguments one = arguments;
      one.path = arguments.probe->path + "/" + name;
      const auto probe = make_probe(*arguments.files, one.path);
      if (!probe) {
        KILTER_TRY(report(probe.error(), one.path, findings));
        continue;
      }
      one.probe = &*probe;
      const Format* format = recognize(*probe).format;
      const Status status = format == nullptr ? ok() : format->scan(one, findings);
      if (!status) KILTER_TRY(report(status.error(), one.path, findings));
    }
    return ok();
  }

  static Result<dcp::Metadata> metadata_of(const CheckArguments& arguments) {
    return dcp::read_metadata(*arguments.files, arguments.probe->path, arguments.probe->entry_names,
                              OpenOptions().header_bytes_max);
  }

  /// Also where it is no metadata at all: torch would unpickle it.
  static Status scan_metadata(const CheckArguments& arguments, const std::string& path,
                              std::vector<Finding>* findings) {
    const auto file = io::open_beneath(*arguments.files, arguments.probe->path, dcp::kMetadataName);
    if (!file) return ok();  // unfinished: told below
    std::vector<std::byte> bytes(
        static_cast<std::size_t>(std::min((*file)->bytes(), OpenOptions().header_bytes_max)));
    KILTER_TRY((*file)->read_at(0, bytes));
    pickle::ScanContext context;
    context.path = path;
    pickle::scan_pickles(bytes, 0, context, findings);
    return ok();
  }

  static Status check_members(const io::ReadFile& file, const dcp::Place& place,
                              const std::string& path, std::vector<Finding>* findings) {
    KILTER_ASSIGN(const auto item, dcp::item_file(file, place, path));
    KILTER_ASSIGN(const auto archive, zip::read_archive(*item));
    findings->insert(findings->end(), archive.findings.begin(), archive.findings.end());
    for (const zip::Member& member : archive.members) {
      if (member.folder() || !member.data_fits) continue;
      auto status = zip::check_member(*item, member);
      if (status) continue;
      Error error = std::move(status).error();
      if (error.code == ErrorCode::kIo) return fail(std::move(error));
      error.tensor = path.substr(path.rfind('!') + 1);
      findings->push_back(
          finding_from({"torch.storage-corrupt", error}, severity_of(error.code), path));
    }
    return ok();
  }
};

}  // namespace

const Format& dcp_format() {
  static const DcpFormat kFormat;
  return kFormat;
}

Result<bool> scan_distributed_file(io::FileSystem& files, const std::string& path,
                                   const RunContext& context, std::vector<Finding>* findings) {
  if (!path.ends_with(dcp::kDataSuffix)) return false;
  const std::string root = folder_of(path), name = file_name_of(path);
  const auto metadata = dcp::read_metadata(files, root, {std::string(dcp::kMetadataName)},
                                           OpenOptions().header_bytes_max);
  if (!metadata) return false;  // it is judged where it lies
  KILTER_ASSIGN(const auto file, io::open_beneath(files, root, name));
  bool listed = false;
  for (const dcp::Item& item : dcp::list_items(*metadata)) {
    if (item.place == nullptr || item.place->file != name) continue;
    KILTER_TRY(context.check());
    listed = true;
    const std::string where = dcp::item_path(root, *item.place, metadata->entries[item.entry].fqn);
    const Status status = scan_item(context, *file, *item.place, where, findings);
    if (!status) KILTER_TRY(report(status.error(), where, findings));
  }
  return listed;
}

}  // namespace kilter::formats

#include "formats/folder/folder_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "base/try.h"
#include "formats/findings.h"
#include "formats/folder/documents.h"
#include "formats/folder/folder_opening.h"
#include "formats/folder/hub_links.h"

namespace kilter::formats {
namespace {

constexpr std::string_view kTellingNames[] = {"config.json",         "model_index.json",
                                              "adapter_config.json", "tokenizer_config.json",
                                              "model.safetensors",   "model.safetensors.index.json",
                                              "pytorch_model.bin",   "trainer_state.json"};

bool is_content_error(const Error& error) {
  return error.code != ErrorCode::kIo && error.code != ErrorCode::kPermission &&
         error.code != ErrorCode::kCancelled;
}

class FolderFormat final : public Format {
 public:
  std::string_view name() const override { return "folder"; }
  std::string_view title() const override { return "folder"; }

  Detection detect(const Probe& probe) const override {
    if (!probe.is_folder || probe.entry_names.empty()) return {};
    for (const std::string_view name : kTellingNames)
      if (std::binary_search(probe.entry_names.begin(), probe.entry_names.end(), name))
        return {90, fmt::format("a folder with {}", name)};
    return {40, fmt::format("a folder of {} files", probe.entry_names.size())};
  }

  Result<CheckpointData> open(const OpenArguments& arguments) const override {
    return open_folder(arguments);
  }

  Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    OpenArguments opening{arguments.files, arguments.path, arguments.probe, OpenOptions()};
    opening.options.lenient = true;
    auto data = open_folder(opening);
    if (!data && !is_content_error(data.error())) return fail(std::move(data).error());
    if (!data) {
      const Fault fault{"folder.broken", std::move(data).error()};
      findings->push_back(finding_from(fault, severity_of(fault.error.code), arguments.path));
      return ok();
    }
    std::vector<Finding> found = std::move(data->findings);
    KILTER_TRY(each_file(
        arguments,
        [&](const Format* format, const CheckArguments& one) {
          return format == nullptr ? ok() : format->check(one, &found);
        },
        &found));
    keep_once(std::move(found), findings);
    return ok();
  }

  Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    return each_file(
        arguments,
        [&](const Format* format, const CheckArguments& one) {
          if (format != nullptr) return format->scan(one, findings);
          if (scan_document_file(*one.files, one.path, *one.probe, findings)) return ok();
          Finding finding;
          finding.rule = "file.unknown-format";
          finding.severity = Severity::kUnknown;
          finding.path = one.path;
          finding.message = "not scanned: no known format fits its content";
          findings->push_back(std::move(finding));
          return ok();
        },
        findings);
  }

 private:
  /// Calls `use(format or null, arguments)` for every file; one bad file never stops the rest.
  template <typename Use>
  Status each_file(const CheckArguments& arguments, Use use, std::vector<Finding>* findings) const {
    const auto tell = [&](const Error& error, const std::string& path) {
      findings->push_back(finding_from({"file.unreadable", error}, Severity::kUnknown, path));
    };
    io::FileSystem& files = with_hub_links(*arguments.files);
    for (const std::string& name : arguments.probe->entry_names) {
      KILTER_TRY(arguments.context.check());
      const std::string path = arguments.probe->path + "/" + name;
      const auto probe = make_probe(files, path);
      if (!probe) {
        tell(probe.error(), path);
        continue;
      }
      CheckArguments one = arguments;
      one.files = &files;
      one.path = path;
      one.probe = &*probe;
      auto status = use(recognize(*probe).format, one);
      if (!status && status.error().code == ErrorCode::kCancelled) return status;
      if (!status) tell(status.error(), path);
    }
    return ok();
  }

  static void keep_once(std::vector<Finding> found, std::vector<Finding>* findings) {
    std::set<std::tuple<std::string, std::string, std::string, std::string>> seen;
    for (Finding& finding : found)
      if (seen.emplace(finding.rule, finding.path, finding.tensor, finding.message).second)
        findings->push_back(std::move(finding));
  }
};

}  // namespace

const Format& folder_format() {
  static const FolderFormat kFormat;
  return kFormat;
}

}  // namespace kilter::formats

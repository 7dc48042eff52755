// The format "torch-zip".
#include "base/text.h"
#include "base/try.h"
#include "formats/findings.h"
#include "formats/torch/archive_chain.h"
#include "formats/torch/torch_formats.h"
#include "formats/torch/zip_reader.h"
#include "formats/torch/zip_sink.h"
#include "formats/zip/scan_zip.h"
#include "formats/zip/sub_file.h"

namespace kilter::formats {
namespace {

using namespace std::string_view_literals;

/// True if a name in a zip header ends in "data.pkl": headers hold names as plain bytes.
bool names_pickle(std::string_view bytes) {
  for (std::size_t at = bytes.find("data.pkl"); at != std::string_view::npos;
       at = bytes.find("data.pkl", at + 1)) {
    if (at == 0 || bytes[at - 1] == '/' || bytes[at - 1] < ' ') return true;
  }
  return false;
}

/// A fault of content ends up in `findings`; what kept us from looking stays an error.
Status report(const Error& error, std::string_view rule, const std::string& path,
              std::vector<Finding>* findings) {
  if (error.code == ErrorCode::kIo || error.code == ErrorCode::kPermission ||
      error.code == ErrorCode::kCancelled || error.code == ErrorCode::kNotFound)
    return fail(error);
  findings->push_back(finding_from({std::string(rule), error}, severity_of(error.code), path));
  return ok();
}

class TorchZipFormat final : public Format {
 public:
  std::string_view name() const override { return "torch-zip"; }
  std::string_view title() const override { return "PyTorch zip archive"; }

  Detection detect(const Probe& probe) const override {
    if (probe.is_folder) return {};
    const std::string_view head = as_text(probe.head);
    const std::string_view tail = as_text(probe.tail);
    const bool begins = head.starts_with("PK\3\4");
    const bool ends = tail.find("PK\5\6") != std::string_view::npos;
    if (!begins && !ends) return {};
    const bool torch = names_pickle(head.substr(0, begins ? 4096 : 0)) || names_pickle(tail) ||
                       tail.find(".data/serialization_id") != std::string_view::npos;
    if (!torch) return {};
    if (begins && ends) return {96, "zip archive with a member data.pkl"};
    if (begins) return {85, "begins as a zip archive with data.pkl; its directory is missing"};
    return {60, "ends as a zip archive with a member data.pkl"};
  }

  Result<CheckpointData> open(const OpenArguments& arguments) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    KILTER_ASSIGN(const auto chain, torch::split_chain(*file));
    if (!chain.empty()) return torch::open_chain(*file, chain, arguments.options);
    KILTER_ASSIGN(auto opened, torch::open_zip(*file, arguments.options));
    return std::move(opened.data);
  }

  Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    return each_archive(arguments, [&](const io::ReadFile& file) {
      return check_archive(arguments, file, findings);
    });
  }

  Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    return each_archive(arguments, [&](const io::ReadFile& file) -> Status {
      pickle::ScanContext context;
      context.path = file.path();
      context.wrapping = pickle::Wrapping::kTorchZip;
      KILTER_TRY(zip::scan_zip(file, context, findings, arguments.context));
      return scan_structure(file, findings);
    });
  }

  std::unique_ptr<Sink> make_sink(const WriteOptions& options) const override {
    return torch::make_zip_sink(options);
  }

 private:
  /// Calls `use(archive)` for the file, or for each archive of a chain: the others would only count
  /// as bytes before the last.
  template <typename Use>
  static Status each_archive(const CheckArguments& arguments, Use use) {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    KILTER_ASSIGN(const auto chain, torch::split_chain(*file));
    if (chain.empty()) return use(*file);
    for (const torch::ChainLink& link : chain) {
      KILTER_TRY(arguments.context.check());
      KILTER_TRY(
          use(zip::RangeFile(*file, torch::link_path(*file, link), link.offset_bytes, link.bytes)));
    }
    return ok();
  }

  static Status check_archive(const CheckArguments& arguments, const io::ReadFile& file,
                              std::vector<Finding>* findings) {
    OpenOptions options;
    options.lenient = true;
    auto opened = torch::open_zip(file, options);
    if (!opened) return report(opened.error(), "torch.unreadable", file.path(), findings);
    std::move(opened->data.findings.begin(), opened->data.findings.end(),
              std::back_inserter(*findings));
    if (arguments.read_data) return check_members(arguments, file, *opened, findings);
    return ok();
  }

  /// What loading would meet: views and storages that do not fit each other (CVE-2026-24747).
  static Status scan_structure(const io::ReadFile& file, std::vector<Finding>* findings) {
    OpenOptions options;
    options.lenient = true;
    const auto opened = torch::open_zip(file, options);
    if (!opened) {
      // Pickles that name arbitrary things were judged above; here only the frame counts.
      if (opened.error().code == ErrorCode::kUnsupported) return ok();
      return report(opened.error(), "torch.unreadable", file.path(), findings);
    }
    for (const Finding& finding : opened->data.findings)
      if (finding.rule.starts_with("torch.")) findings->push_back(finding);
    return ok();
  }

  static Status check_members(const CheckArguments& arguments, const io::ReadFile& file,
                              const torch::ZipCheckpoint& opened, std::vector<Finding>* findings) {
    std::vector<std::vector<std::string_view>> users(opened.archive.members.size());
    for (const TensorInfo& tensor : opened.data.index.tensors)
      if (const std::size_t at = opened.storage_members[tensor.storage];
          at != torch::ZipStorages::kNoMember)
        users[at].push_back(tensor.name);
    for (std::size_t i = 0; i < opened.archive.members.size(); ++i) {
      KILTER_TRY(arguments.context.check());
      const zip::Member& member = opened.archive.members[i];
      if (member.folder() || !member.data_fits) continue;  // told by its structure already
      const auto status = zip::check_member(file, member);
      if (status) continue;
      KILTER_TRY(report_member(status.error(), users[i], arguments.path, findings));
    }
    return ok();
  }

  static Status report_member(Error error, const std::vector<std::string_view>& names,
                              const std::string& path, std::vector<Finding>* findings) {
    constexpr std::size_t kNamedMax = 100;
    if (names.empty()) return report(error, "torch.member-broken", path, findings);
    for (std::size_t i = 0; i < names.size() && i < kNamedMax; ++i) {
      error.tensor = names[i];
      KILTER_TRY(report(error, "torch.storage-corrupt", path, findings));
    }
    return ok();
  }
};

}  // namespace

const Format& torch_zip_format() {
  static const TorchZipFormat kFormat;
  return kFormat;
}

}  // namespace kilter::formats

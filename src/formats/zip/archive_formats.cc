#include "formats/zip/archive_formats.h"

#include "base/try.h"
#include "formats/findings.h"
#include "formats/tar/archive.h"
#include "formats/zip/archive.h"
#include "formats/zip/scan_zip.h"

namespace kilter::formats {
namespace {

/// Below every format that knows what it sees.
constexpr int kScore = 12;

bool is_disk_error(ErrorCode code) {
  return code == ErrorCode::kIo || code == ErrorCode::kPermission || code == ErrorCode::kCancelled;
}

Error no_checkpoint(const OpenArguments& arguments, std::string_view what) {
  return Error(ErrorCode::kUnsupported,
               std::string("this ").append(what).append(" archive is no checkpoint"))
      .at_path(arguments.path)
      .advise("unpack it, or let `kilter scan` look into it");
}

class ZipArchiveFormat final : public Format {
 public:
  std::string_view name() const override { return "zip"; }
  std::string_view title() const override { return "zip archive"; }

  Detection detect(const Probe& probe) const override {
    if (probe.is_folder) return {};
    const std::string_view head = as_text(probe.head);
    if (head.starts_with("PK\3\4") || head.starts_with("PK\5\6"))
      return {kScore, "begins as a zip archive"};
    if (as_text(probe.tail).find("PK\5\6") != std::string_view::npos &&
        as_text(probe.tail).find("PK\1\2") != std::string_view::npos)
      return {kScore / 2, "ends as a zip archive"};
    return {};
  }

  Result<CheckpointData> open(const OpenArguments& arguments) const override {
    return fail(no_checkpoint(arguments, "zip"));
  }

  Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    const auto archive = zip::read_archive(*file);
    if (!archive) return tell(archive.error(), arguments.path, findings);
    findings->insert(findings->end(), archive->findings.begin(), archive->findings.end());
    for (const zip::Member& member : archive->members) {
      if (!arguments.read_data || member.folder() || !member.readable()) continue;
      KILTER_TRY(arguments.context.check());
      if (const auto status = zip::check_member(*file, member); !status)
        KILTER_TRY(tell(status.error(), arguments.path, findings));
    }
    return ok();
  }

  Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    pickle::ScanContext context;
    context.path = arguments.path;
    context.wrapping = pickle::Wrapping::kOther;
    return zip::scan_zip(*file, context, findings, arguments.context);
  }

 private:
  static Status tell(const Error& error, const std::string& path, std::vector<Finding>* findings) {
    if (is_disk_error(error.code)) return fail(error);
    findings->push_back(finding_from({"zip.broken", error}, severity_of(error.code), path));
    return ok();
  }
};

class TarArchiveFormat final : public Format {
 public:
  std::string_view name() const override { return "tar"; }
  std::string_view title() const override { return "tar archive"; }

  Detection detect(const Probe& probe) const override {
    if (probe.is_folder || !tar::is_header(probe.head)) return {};
    return {kScore, "begins with a tar header whose checksum holds"};
  }

  Result<CheckpointData> open(const OpenArguments& arguments) const override {
    return fail(no_checkpoint(arguments, "tar"));
  }

  Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    const auto archive = tar::read_archive(*file);
    if (!archive && is_disk_error(archive.error().code)) return fail(archive.error());
    if (!archive)
      findings->push_back(finding_from({"tar.broken", archive.error()},
                                       severity_of(archive.error().code), arguments.path));
    else
      findings->insert(findings->end(), archive->findings.begin(), archive->findings.end());
    return ok();
  }

  Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    pickle::ScanContext context;
    context.path = arguments.path;
    context.wrapping = pickle::Wrapping::kOther;
    return zip::scan_tar(*file, context, findings, arguments.context);
  }
};

}  // namespace

const Format& zip_archive_format() {
  static const ZipArchiveFormat kFormat;
  return kFormat;
}

const Format& tar_archive_format() {
  static const TarArchiveFormat kFormat;
  return kFormat;
}

}  // namespace kilter::formats

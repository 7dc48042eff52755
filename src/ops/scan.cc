#include "kilter/scan.h"

#include <algorithm>
#include <mutex>

#include "base/text.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "formats/dcp/dcp_format.h"
#include "formats/folder/documents.h"
#include "formats/format.h"
#include "io/file_system.h"
#include "ops/file_walk.h"

namespace kilter {

namespace {

constexpr std::string_view kZstdMagic = "\x28\xb5\x2f\xfd";

Verdict verdict_of(const std::vector<Finding>& findings) {
  Severity worst = Severity::kNote;
  for (const Finding& finding : findings) worst = std::max(worst, finding.severity);
  switch (worst) {
    case Severity::kNote:
      return Verdict::kSafe;
    case Severity::kUnknown:
      return Verdict::kUnknown;
    case Severity::kMalformed:
      return Verdict::kMalformed;
    case Severity::kSuspicious:
      return Verdict::kSuspicious;
    case Severity::kDangerous:
      return Verdict::kDangerous;
  }
  return Verdict::kUnknown;
}

Finding not_judged(std::string rule, const Error& error) {
  Finding finding;
  finding.rule = std::move(rule);
  finding.severity = Severity::kUnknown;
  finding.path = error.path;
  finding.offset_bytes = error.offset_bytes;
  finding.message = "could not be judged: " + error.message;
  if (!error.expected.empty())
    finding.evidence = "expected " + error.expected + ", found " + error.found;
  return finding;
}

/// What a file that no format claims can still be: a text that people read, or nothing we know.
void scan_unclaimed(io::FileSystem& files, const formats::Probe& probe, ScanFile* out) {
  if (formats::scan_document_file(files, probe.path, probe, &out->findings)) {
    out->format = "document";
    return;
  }
  const auto diagnosis = formats::diagnose(files, probe);
  out->format = diagnosis ? diagnosis->kind : "unknown";
  Finding finding;
  finding.rule = diagnosis ? "file." + diagnosis->kind : "file.unknown-format";
  finding.severity = Severity::kUnknown;
  finding.path = probe.path;
  finding.message = diagnosis ? "not scanned: " + diagnosis->message
                              : "not scanned: no known format fits its content";
  out->findings.push_back(std::move(finding));
}

Status scan_one(io::FileSystem& files, const std::string& path, const RunContext& context,
                ScanFile* out) {
  KILTER_ASSIGN(const formats::Probe probe, formats::make_probe(files, path));
  // Compressed streams may show any bytes: only their metadata says what they are.
  if (as_text(probe.head).starts_with(kZstdMagic)) {
    KILTER_ASSIGN(const bool listed,
                  formats::scan_distributed_file(files, path, context, &out->findings));
    if (listed) {
      out->format = "dcp";
      return ok();
    }
  }
  const formats::Recognized recognized = formats::recognize(probe);
  if (recognized.format == nullptr) {
    scan_unclaimed(files, probe, out);
    return ok();
  }
  out->format = recognized.format->name();
  const formats::CheckArguments arguments{&files, path, &probe, false, context};
  return recognized.format->scan(arguments, &out->findings);
}

ScanFile scan_file(io::FileSystem& files, const std::string& path, const RunContext& context) {
  ScanFile out;
  out.path = path;
  const Status status = scan_one(files, path, context, &out);
  // A fault after a payload hides nothing: what was found before it stays.
  if (!status) {
    const bool unreadable = status.error().code == ErrorCode::kIo ||
                            status.error().code == ErrorCode::kPermission ||
                            status.error().code == ErrorCode::kNotFound;
    out.findings.push_back(
        not_judged(unreadable ? "file.unreadable" : "file.not-judged", status.error()));
  }
  if (out.format.empty()) out.format = "unknown";
  out.verdict = verdict_of(out.findings);
  return out;
}

/// Reports bytes of finished files; workers call it in any order.
class Tally {
 public:
  Tally(io::FileSystem& files, const std::vector<std::string>& paths, Progress* progress)
      : progress_(progress) {
    if (progress_ == nullptr) return;
    std::uint64_t total_bytes = 0;
    for (const std::string& path : paths) {
      const auto stat = files.stat(path);
      bytes_.push_back(stat ? stat->bytes : 0);
      total_bytes += bytes_.back();
    }
    progress_->begin("scan", total_bytes);
  }
  void done(std::size_t file) {
    if (progress_ == nullptr) return;
    const std::lock_guard lock(mutex_);
    done_bytes_ += bytes_[file];
    progress_->update(done_bytes_);
  }
  void end() {
    if (progress_ != nullptr) progress_->end();
  }

 private:
  Progress* progress_;
  std::vector<std::uint64_t> bytes_;
  std::mutex mutex_;
  std::uint64_t done_bytes_ = 0;
};

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSafe:
      return "safe";
    case Verdict::kUnknown:
      return "unknown";
    case Verdict::kMalformed:
      return "malformed";
    case Verdict::kSuspicious:
      return "suspicious";
    case Verdict::kDangerous:
      return "dangerous";
  }
  return "unknown";
}

Result<ScanReport> scan(const std::vector<std::string>& paths, const ScanOptions& options) {
  io::FileSystem& files = options.files != nullptr ? *options.files : io::real_file_system();
  ScanReport report;
  std::vector<std::string> found;
  for (const std::string& path : paths) {
    std::vector<ops::WalkFault> faults;
    KILTER_TRY(ops::walk_files(files, path, options.context, &found, &faults));
    for (const ops::WalkFault& fault : faults) {
      ScanFile file;
      file.path = fault.path;
      file.format = "unknown";
      file.findings.push_back(not_judged(fault.rule, fault.error));
      file.verdict = Verdict::kUnknown;
      report.files.push_back(std::move(file));
    }
  }
  std::vector<ScanFile> scanned(found.size());
  Tally tally(files, found, options.context.progress);
  if (found.size() == 1) {
    scanned[0] = scan_file(files, found[0], options.context);
    tally.done(0);
  } else if (!found.empty()) {
    ThreadPool pool(options.thread_count);
    for (std::size_t i = 0; i < found.size(); ++i) {
      pool.submit([&, i] {
        if (options.context.check()) scanned[i] = scan_file(files, found[i], options.context);
        tally.done(i);
      });
    }
    pool.wait_idle();
  }
  tally.end();
  KILTER_TRY(options.context.check());
  for (ScanFile& file : scanned) report.files.push_back(std::move(file));
  std::stable_sort(report.files.begin(), report.files.end(),
                   [](const ScanFile& a, const ScanFile& b) { return a.path < b.path; });
  report.verdict = report.files.empty() ? Verdict::kUnknown : Verdict::kSafe;
  for (const ScanFile& file : report.files) report.verdict = std::max(report.verdict, file.verdict);
  return report;
}

}  // namespace kilter

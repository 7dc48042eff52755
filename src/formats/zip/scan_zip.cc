#include "formats/zip/scan_zip.h"

#include <algorithm>
#include <array>
#include <deque>
#include <memory>

#include "base/text.h"
#include "base/try.h"
#include "formats/findings.h"
#include "formats/tar/archive.h"
#include "formats/zip/archive.h"
#include "formats/zip/content.h"
#include "formats/zip/finding_list.h"
#include "formats/zip/sub_file.h"

namespace kilter::zip {
namespace {

using pickle::Wrapping;

/// How much of a member that only might be a pickle is run to find out.
constexpr std::uint64_t kProofBytes = 1 << 20;
/// Inflated archives are held in memory; all of them together at most this.
constexpr std::uint64_t kHeldBytesMax = 512ULL << 20;
constexpr std::size_t kFindingCountMax = 10'000;
/// Archives can overlap themselves: what is walked is counted, not only what is unpacked.
constexpr std::size_t kArchiveCountMax = 1000;
constexpr std::uint64_t kPartCountMax = 5'000'000;

/// Operators that reach files, as they stand in TorchScript's code listing.
constexpr std::array<std::string_view, 8> kFileOperators = {
    "torch.save(",          "torch.from_file(",    "aten::save",          "aten::from_file",
    "ops.image.write_file", "ops.image.read_file", "ops.torchaudio.sox_", "ops.aten.from_file"};

/// Names in TorchScript's pickles that are no Python: classes of the archive's own code, and tags
/// of types. torch.load hands such archives to torch.jit.load, whose unpickler knows nothing else.
bool is_script_name(const Finding& finding) {
  return finding.rule.starts_with("pickle.") &&
         (finding.evidence.starts_with("__torch__.") ||
          finding.evidence.starts_with("torch.jit._pickle."));
}

/// One archive still to be walked.
struct Task {
  const io::ReadFile* file = nullptr;
  Wrapping wrapping = Wrapping::kOther;
  int depth = 0;
  bool tar = false;
  bool script = false;  ///< a TorchScript archive
};

/// A member of any archive: where its bytes are, or how to get them.
struct Part {
  std::string name;
  const Member* zipped = nullptr;  ///< null: plain bytes of the file
  std::uint64_t offset_bytes = 0;
  std::uint64_t bytes = 0;
};

/// True if the pickle calls a function that has a proper name: a list of words can look like a
/// pickle that names one, but hardly like one that calls it.
bool calls_something(const pickle::Graph& graph) {
  const auto sound = [](std::string_view text) {
    return !text.empty() && text.size() < 300 &&
           std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
  };
  bool named = false;
  bool called = false;
  for (const pickle::Event& event : graph.events) {
    called = called || event.kind == pickle::EventKind::kCall;
    if (event.kind != pickle::EventKind::kGlobal || event.node == pickle::kNoNode) continue;
    const pickle::Node& node = graph[event.node];
    named = named || (sound(node.text) && sound(node.text2));
  }
  return named && called;
}

class ArchiveScan {
 public:
  ArchiveScan(const pickle::ScanContext& context, std::vector<Finding>* findings,
              const RunContext& run, const ScanLimits& limits)
      : context_(context), findings_(*findings), run_(run), limits_(limits) {}

  Status walk(const io::ReadFile& file, bool tar) {
    tasks_.push_back({&file, context_.wrapping, 0, tar, false});
    while (!tasks_.empty()) {
      const Task task = tasks_.front();
      tasks_.pop_front();
      KILTER_TRY(task.tar ? tar_archive(task) : zip_archive(task));
    }
    return ok();
  }

 private:
  void add(std::string_view rule, Severity severity, std::string path, std::string message,
           std::string evidence = {}) {
    if (findings_.size() > kFindingCountMax) return;
    Finding finding;
    finding.rule = rule;
    finding.severity = severity;
    finding.path = std::move(path);
    finding.message = std::move(message);
    finding.evidence = std::move(evidence);
    findings_.push_back(std::move(finding));
  }

  /// Faults of content become findings; the rest stays an error.
  Status tell(const Error& error, std::string_view rule, const std::string& path) {
    if (error.code == ErrorCode::kIo || error.code == ErrorCode::kCancelled ||
        error.code == ErrorCode::kPermission)
      return fail(error);
    findings_.push_back(
        formats::finding_from({std::string(rule), error}, formats::severity_of(error.code), path));
    return ok();
  }

  Status zip_archive(const Task& task) {
    const std::string& path = task.file->path();
    auto archive = read_archive(*task.file);
    if (!archive) {
      KILTER_TRY(tell(archive.error(), "zip.broken", path));
      KILTER_ASSIGN(archive, salvage_archive(*task.file));
    }
    std::move(archive->findings.begin(), archive->findings.end(), std::back_inserter(findings_));
    const bool torch = std::any_of(archive->members.begin(), archive->members.end(),
                                   [](const Member& m) { return m.name.ends_with("data.pkl"); });
    Task inner = task;
    inner.script =
        torch && std::any_of(archive->members.begin(), archive->members.end(),
                             [](const Member& m) { return m.name.ends_with("/constants.pkl"); });
    if (torch) inner.wrapping = Wrapping::kTorchZip;
    if (archive->prefix_bytes > 0)
      KILTER_TRY(part(inner, {"", nullptr, 0, archive->prefix_bytes}, path));
    for (const Member& member : archive->members) {
      if (member.folder() || member.name.empty()) continue;
      KILTER_TRY(run_.check());
      KILTER_TRY(
          part(inner, {member.name, &member, 0, member.bytes}, cat({path, "!", member.name})));
    }
    return ok();
  }

  Status tar_archive(const Task& task) {
    auto archive = tar::read_archive(*task.file);
    if (!archive) return tell(archive.error(), "tar.broken", task.file->path());
    std::move(archive->findings.begin(), archive->findings.end(), std::back_inserter(findings_));
    for (const tar::Member& member : archive->members) {
      if (member.kind != tar::MemberKind::kFile) continue;
      KILTER_TRY(run_.check());
      const std::uint64_t room = task.file->bytes() - member.data_offset_bytes;
      KILTER_TRY(
          part(task, {member.name, nullptr, member.data_offset_bytes, std::min(member.bytes, room)},
               cat({task.file->path(), "!", member.name})));
    }
    return ok();
  }

  /// At most `count` of the first bytes, whatever the archive says about them.
  Result<MemberBytes> bytes_of(const Task& task, const Part& part, std::uint64_t count) {
    if (part.zipped != nullptr && (part.zipped->method == 8 || count >= part.bytes))
      return read_member_anyway(*task.file, *part.zipped, count);
    MemberBytes out;
    if (part.zipped != nullptr && !part.zipped->data_fits) return out;
    const std::uint64_t offset =
        part.zipped != nullptr ? part.zipped->data_offset_bytes : part.offset_bytes;
    const std::uint64_t stored = part.zipped != nullptr ? part.zipped->stored_bytes : part.bytes;
    if (offset > task.file->bytes()) return out;
    out.bytes.resize(
        static_cast<std::size_t>(std::min({count, stored, task.file->bytes() - offset})));
    KILTER_TRY(task.file->read_at(offset, out.bytes));
    return out;
  }

  Status part(const Task& task, const Part& part, const std::string& path) {
    if (++part_count_ > kPartCountMax) {
      if (part_count_ == kPartCountMax + 1)
        add("archive.too-many", Severity::kSuspicious, path,
            "too many members in archives inside archives; the rest was not looked into");
      return ok();
    }
    KILTER_ASSIGN(const MemberBytes head, bytes_of(task, part, kContentHeadBytes));
    if (task.script && part.name.find("/code/") != std::string::npos)
      return torch_code(task, part, path);
    if (task.wrapping == Wrapping::kTorchTar &&
        (part.name.ends_with("storages") || part.name.ends_with("tensors")))
      return mixed_pickles(task, part, path);
    switch (content_of(head.bytes, part.name)) {
      case Content::kPlain:
        return ok();
      case Content::kPickle:
        return is_storage_name(part.name) ? maybe_pickle(task, part, path)
                                          : whole_pickle(task, part, path, 0);
      case Content::kMaybePickle:
        return maybe_pickle(task, part, path);
      case Content::kLegacyTorch:
        return whole_pickle(task, part, path, 5);
      case Content::kNumpy:
        return numpy(task, part, path, head.bytes);
      case Content::kZip:
        return nested(task, part, path, false);
      case Content::kTar:
        return nested(task, part, path, true);
      case Content::kPacked:
        add("archive.not-scanned", Severity::kUnknown, path,
            cat({"the member is a ", content_title(head.bytes, part.name),
                 "; it was not looked into"}));
        return ok();
      case Content::kProgram:
        add("archive.program", Severity::kSuspicious, path,
            cat({"the member is a program (", content_title(head.bytes, part.name),
                 "): no weights need one"}));
        return ok();
    }
    return ok();
  }

  /// All of a member's bytes within the budgets; nullopt if they are too many (a finding says so).
  Result<std::optional<std::vector<std::byte>>> whole(const Task& task, const Part& part,
                                                      const std::string& path) {
    const std::uint64_t room =
        std::min(limits_.member_bytes_max, limits_.total_bytes_max - spent_bytes_);
    KILTER_ASSIGN(MemberBytes member, bytes_of(task, part, room));
    spent_bytes_ += member.bytes.size();
    const bool cut = (member.fault && member.fault->code == ErrorCode::kLimitExceeded) ||
                     (part.zipped == nullptr && part.bytes > room);
    if (cut) {
      add("archive.too-large", Severity::kSuspicious, path,
          "the member is larger than the budget for looking through it; only its beginning was "
          "judged",
          cat({format_bytes(room), " of ", format_bytes(part.bytes)}));
    } else if (member.fault) {
      KILTER_TRY(tell(*member.fault,
                      member.fault->code == ErrorCode::kCorrupt ? "zip.crc-mismatch" : "zip.broken",
                      path));
    }
    return std::move(member.bytes);
  }

  pickle::ScanContext pickle_context(const Task& task, const std::string& path,
                                     std::optional<Wrapping> wrapping = {}) const {
    pickle::ScanContext context = context_;
    context.path = path;
    context.wrapping = wrapping.value_or(task.wrapping);
    return context;
  }

  Status whole_pickle(const Task& task, const Part& part, const std::string& path, int streams) {
    KILTER_ASSIGN(const auto bytes, whole(task, part, path));
    if (!bytes) return ok();
    const auto wrapping =
        streams > 0 ? std::optional(Wrapping::kTorchLegacy) : std::optional<Wrapping>();
    const std::size_t before = findings_.size();
    pickle::scan_pickles(*bytes, 0, pickle_context(task, path, wrapping), &findings_, streams);
    if (task.script)
      findings_.erase(std::remove_if(findings_.begin() + static_cast<std::ptrdiff_t>(before),
                                     findings_.end(), is_script_name),
                      findings_.end());
    return ok();
  }

  /// Pickles with raw numbers between them: what is broken there is no fault, calls are.
  Status mixed_pickles(const Task& task, const Part& part, const std::string& path) {
    KILTER_ASSIGN(const auto bytes, whole(task, part, path));
    if (!bytes) return ok();
    std::vector<Finding> seen;
    pickle::scan_pickles(*bytes, 0, pickle_context(task, path), &seen);
    for (Finding& finding : seen)
      if (finding.severity >= Severity::kSuspicious && finding.rule != "pickle.trailing-bytes")
        findings_.push_back(std::move(finding));
    return ok();
  }

  /// Runs the beginning; only what calls a function is a pickle worth judging.
  Status maybe_pickle(const Task& task, const Part& part, const std::string& path) {
    KILTER_ASSIGN(const MemberBytes head, bytes_of(task, part, kProofBytes));
    pickle::Graph graph;
    pickle::run_stream(head.bytes, 0, context_.limits, &graph);
    return calls_something(graph) ? whole_pickle(task, part, path, 0) : ok();
  }

  /// A .npy is judged where its header says that a pickle follows.
  Status numpy(const Task& task, const Part& part, const std::string& path, Bytes head) {
    ByteReader reader(head);
    (void)reader.skip(6);
    const std::uint8_t version = reader.u8().value_or(1);
    (void)reader.skip(1);
    const std::uint64_t header_bytes =
        version == 1 ? reader.u16_le().value_or(0) : reader.u32_le().value_or(0);
    const std::uint64_t begin = reader.position() + header_bytes;
    auto text = as_text(head).substr(
        0, static_cast<std::size_t>(std::min<std::uint64_t>(begin, head.size())));
    if (begin <= head.size() && text.find("O'") == std::string_view::npos &&
        text.find("O\"") == std::string_view::npos)
      return ok();
    KILTER_ASSIGN(const auto bytes, whole(task, part, path));
    if (!bytes || bytes->size() <= begin) return ok();
    pickle::scan_pickles(Bytes(*bytes).subspan(static_cast<std::size_t>(begin)), begin,
                         pickle_context(task, path, Wrapping::kNumpy), &findings_);
    return ok();
  }

  Status nested(const Task& task, const Part& part, const std::string& path, bool tar) {
    if (task.depth + 1 > limits_.depth_max || files_.size() >= kArchiveCountMax) {
      add("archive.too-deep", Severity::kSuspicious, path,
          "archives lie inside archives too deeply or too often; this one was not looked into",
          cat({"depth ", std::to_string(task.depth + 1)}));
      return ok();
    }
    const bool stored = part.zipped == nullptr || part.zipped->method == 0;
    std::unique_ptr<io::ReadFile> file;
    if (stored) {
      if (part.zipped != nullptr && !part.zipped->data_fits) return ok();
      const std::uint64_t offset =
          part.zipped != nullptr ? part.zipped->data_offset_bytes : part.offset_bytes;
      const std::uint64_t count = part.zipped != nullptr ? part.zipped->stored_bytes : part.bytes;
      if (!range_fits(offset, count, task.file->bytes())) return ok();
      file = std::make_unique<RangeFile>(*task.file, path, offset, count);
    } else {
      if (held_bytes_ > kHeldBytesMax || part.bytes > kHeldBytesMax - held_bytes_) {
        add("archive.too-large", Severity::kSuspicious, path,
            "archives inside the archive expand beyond the budget; this one was not looked into");
        return ok();
      }
      KILTER_ASSIGN(auto bytes, whole(task, part, path));
      if (!bytes) return ok();
      held_bytes_ += bytes->size();
      file = std::make_unique<MemoryFile>(path, std::move(*bytes));
    }
    tasks_.push_back({file.get(), Wrapping::kOther, task.depth + 1, tar, false});
    files_.push_back(std::move(file));
    return ok();
  }

  Status torch_code(const Task& task, const Part& part, const std::string& path) {
    if (!part.name.ends_with(".py")) return ok();  // debug_pkl: line numbers, never unpickled
    KILTER_ASSIGN(const auto bytes, whole(task, part, path));
    if (!bytes) return ok();
    const std::string_view text = as_text(*bytes);
    for (const std::string_view name : kFileOperators) {
      if (const std::size_t at = text.find(name); at != std::string_view::npos) {
        add("torchscript.file-operator", Severity::kSuspicious, path,
            "TorchScript code reads or writes files when the model runs",
            escape_text(text.substr(at, 120), 120));
        findings_.back().offset_bytes = at;
        findings_.back().loaders = {"torch.jit.load"};
      }
    }
    if (!std::exchange(code_noted_, true)) {
      add("torchscript.code", Severity::kNote, path,
          "the archive holds TorchScript code: torch.jit.load compiles it for its own interpreter, "
          "which runs operators, not Python");
      findings_.back().loaders = {"torch.jit.load"};
    }
    return ok();
  }

  const pickle::ScanContext& context_;
  std::vector<Finding>& findings_;
  const RunContext& run_;
  const ScanLimits& limits_;
  std::deque<Task> tasks_;
  std::vector<std::unique_ptr<io::ReadFile>> files_;  // archives inside archives, while we walk
  std::uint64_t part_count_ = 0;
  std::uint64_t spent_bytes_ = 0;
  std::uint64_t held_bytes_ = 0;
  bool code_noted_ = false;
};

}  // namespace

Status scan_zip(const io::ReadFile& file, const pickle::ScanContext& context,
                std::vector<Finding>* findings, const RunContext& run, const ScanLimits& limits) {
  return ArchiveScan(context, findings, run, limits).walk(file, false);
}

Status scan_tar(const io::ReadFile& file, const pickle::ScanContext& context,
                std::vector<Finding>* findings, const RunContext& run, const ScanLimits& limits) {
  return ArchiveScan(context, findings, run, limits).walk(file, true);
}

}  // namespace kilter::zip

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "base/try.h"
#include "formats/file_name.h"
#include "formats/findings.h"
#include "formats/merge_data.h"
#include "formats/npy/array.h"
#include "formats/npy/member_head.h"
#include "formats/npy/npy_formats.h"
#include "formats/npy/npy_header.h"
#include "formats/npy/npz_sink.h"
#include "formats/state_json/state_json.h"
#include "formats/zip/archive.h"
#include "formats/zip/scan_zip.h"

namespace kilter::formats {
namespace {

constexpr std::string_view kExtension = ".npy";
constexpr std::uint64_t kFirstBytes = 4096;  // holds nearly every header

bool is_member_fault(const Error& error) {
  return error.code != ErrorCode::kIo && error.code != ErrorCode::kPermission &&
         error.code != ErrorCode::kCancelled && error.code != ErrorCode::kNotFound;
}

/// The members of an archive, opened one by one.
class Opening {
 public:
  Opening(const io::ReadFile& file, const OpenArguments& arguments, CheckpointData* data)
      : file_(file), arguments_(arguments), data_(data), entries_(&data->state) {}

  Status run(const zip::Archive& archive) {
    for (const zip::Member& member : archive.members) {
      if (member.name.ends_with('/')) continue;
      auto node = open_member(member);
      if (node) {
        entries_.add(name_of(member), *node);
        continue;
      }
      if (!is_member_fault(node.error()) || !arguments_.options.lenient)
        return fail(std::move(node).error());
      const Fault fault{"npz.broken-member", std::move(node).error()};
      data_->findings.push_back(
          finding_from(fault, severity_of(fault.error.code), arguments_.path));
    }
    if (!only_tensors_) data_->state.set_root(entries_.finish());
    if (only_tensors_) data_->state = StateTree();
    return ok();
  }

 private:
  static std::string name_of(const zip::Member& member) {
    return member.name.ends_with(kExtension)
               ? member.name.substr(0, member.name.size() - kExtension.size())
               : member.name;
  }

  Error located(Error error, const zip::Member& member) const {
    if (error.path.empty() || error.path == arguments_.path)
      error.path = arguments_.path + "!" + member.name;
    if (error.tensor.empty()) error.tensor = name_of(member);
    return error;
  }

  Result<StateId> open_member(const zip::Member& member) {
    if (!names_.insert(name_of(member)).second)
      return fail(located(Error(ErrorCode::kMalformed, "the archive has the same array twice")
                              .at_offset(member.header_offset_bytes),
                          member));
    if (!member.readable())
      return fail(located(Error(ErrorCode::kUnsupported,
                                "the member is encrypted or compressed in "
                                "a way numpy does not read")
                              .wanted("stored or deflate", fmt::format("method {}", member.method)),
                          member));
    auto head = npy::read_member_head(file_, member, kFirstBytes);
    if (!head) return fail(located(std::move(head).error(), member));
    if (!as_text(Bytes(*head)).starts_with(npy::kMagic)) return note_other(member);
    auto node = add(member, std::move(*head));
    if (!node) return fail(located(std::move(node).error(), member));
    return node;
  }

  Result<StateId> add(const zip::Member& member, std::vector<std::byte> head) {
    const bool stored = member.method == 0;
    KILTER_ASSIGN(const std::uint64_t need, npy::npy_header_bytes(head, 0));
    if (need > head.size()) {
      KILTER_ASSIGN(head, npy::read_member_head(file_, member, need));
    }
    KILTER_ASSIGN(const npy::NpyHeader header, npy::parse_npy_header(head, 0));
    npy::ArrayPlace place;
    place.path = arguments_.path + "!" + member.name;
    place.name = name_of(member);
    place.bytes = member.bytes;
    place.coding = stored ? StorageCoding::kRaw : StorageCoding::kDeflate;
    place.offset_bytes = member.data_offset_bytes;
    place.stored_bytes = member.stored_bytes;
    if (!stored) place.crc32 = member.crc32;
    place.read_all = [&](std::uint64_t bytes_max) {
      return zip::read_member(file_, member, bytes_max);
    };
    only_tensors_ = only_tensors_ && header.elements == npy::Elements::kNumbers;
    return npy::add_array(header, place, arguments_.options, data_);
  }

  /// numpy gives such members back as bytes; they are named, not kept.
  Result<StateId> note_other(const zip::Member& member) {
    only_tensors_ = false;
    Finding finding;
    finding.rule = "npz.foreign-member";
    finding.path = arguments_.path + "!" + member.name;
    finding.message = "the archive holds a file that is no array; it is listed, not read";
    finding.evidence = format_bytes(member.bytes);
    data_->findings.push_back(std::move(finding));
    StateNode node;
    node.kind = StateKind::kObject;
    node.text = "zipfile.ZipExtFile";
    return data_->state.add(std::move(node));
  }

  const io::ReadFile& file_;
  const OpenArguments& arguments_;
  CheckpointData* data_;
  DictBuilder entries_;
  std::set<std::string> names_;
  bool only_tensors_ = true;
};

class NpzFormat final : public Format {
 public:
  std::string_view name() const override { return "npz"; }
  std::string_view title() const override { return "numpy archive"; }

  /// The first member's name, or any name in what the tail holds of the central directory.
  Detection detect(const Probe& probe) const override {
    const std::string_view head = as_text(Bytes(probe.head)), tail = as_text(Bytes(probe.tail));
    if (probe.is_folder) return {};
    if (head.starts_with("PK\5\6") && probe.bytes == 22) return {50, "an empty zip archive"};
    if (!head.starts_with("PK\3\4") || head.size() < 30) return {};
    const std::size_t name_bytes =
        ByteReader(Bytes(probe.head).subspan(26, 2)).u16_le().value_or(0);
    if (head.substr(30, name_bytes).ends_with(kExtension))
      return {85, "a zip archive whose first member is a .npy"};
    if (tail.find(".npyPK\1\2") != std::string_view::npos || tail.find(".npyPK\5\6") != tail.npos)
      return {55, "a zip archive with .npy members"};
    return {};
  }

  Result<CheckpointData> open(const OpenArguments& arguments) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    auto archive = zip::read_archive(*file);
    if (!archive && arguments.options.lenient && is_member_fault(archive.error()))
      archive = salvage(*file, archive.error());
    if (!archive) return fail(std::move(archive).error().at_path(arguments.path));
    CheckpointData data;
    data.format = name();
    data.root = arguments.path;
    data.index.files = {{file_name_of(arguments.path), file->bytes()}};
    data.findings = std::move(archive->findings);
    const auto compressed = std::count_if(archive->members.begin(), archive->members.end(),
                                          [](const zip::Member& m) { return m.method != 0; });
    data.format_detail = fmt::format("{} member(s), {} compressed{}", archive->members.size(),
                                     compressed, archive->zip64 ? ", zip64" : "");
    KILTER_TRY(Opening(*file, arguments, &data).run(*archive));
    KILTER_TRY(data.index.validate());
    KILTER_TRY(state_json::attach_state_json(*arguments.files,
                                             state_json::state_json_path(arguments.path), &data));
    return data;
  }

  Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    OpenOptions options;
    options.lenient = true;
    auto data = open({arguments.files, arguments.path, arguments.probe, options});
    if (!data) return report("npz.broken", data.error(), arguments.path, findings);
    std::move(data->findings.begin(), data->findings.end(), std::back_inserter(*findings));
    return arguments.read_data ? check_members(arguments, findings) : ok();
  }

  Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    pickle::ScanContext context;
    context.path = arguments.path;
    context.wrapping = pickle::Wrapping::kNumpy;
    return zip::scan_zip(*file, context, findings, arguments.context);
  }

  std::unique_ptr<Sink> make_sink(const WriteOptions& options) const override {
    return npy::make_npz_sink(options);
  }

 private:
  static Result<zip::Archive> salvage(const io::ReadFile& file, const Error& why) {
    KILTER_ASSIGN(zip::Archive archive, zip::salvage_archive(file));
    archive.findings.push_back(
        finding_from({"zip.broken", why}, severity_of(why.code), file.path()));
    return archive;
  }

  static Status report(std::string rule, const Error& error, std::string_view path,
                       std::vector<Finding>* findings) {
    if (!is_member_fault(error)) return fail(error);
    findings->push_back(finding_from({std::move(rule), error}, severity_of(error.code), path));
    return ok();
  }

  static Status check_members(const CheckArguments& arguments, std::vector<Finding>* findings) {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    const auto archive = zip::read_archive(*file);
    if (!archive) return ok();  // reported already
    for (const zip::Member& member : archive->members) {
      KILTER_TRY(arguments.context.check());
      if (!member.readable() || member.name.ends_with('/')) continue;
      auto status = zip::check_member(*file, member);
      if (status) continue;
      Error error = std::move(status).error();
      if (error.tensor.empty()) error.tensor = member.name.substr(0, member.name.rfind(kExtension));
      KILTER_TRY(report("npz.damaged-member", error, arguments.path, findings));
    }
    return ok();
  }
};

}  // namespace

const Format& npz_format() {
  static const NpzFormat kFormat;
  return kFormat;
}

}  // namespace kilter::formats

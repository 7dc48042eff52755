#include "formats/torch/zip_reader.h"

#include <algorithm>

#include "base/text.h"
#include "base/try.h"
#include "base/utf8.h"
#include "formats/file_name.h"
#include "formats/findings.h"
#include "formats/torch/assemble.h"
#include "formats/zip/finding_list.h"

namespace kilter::torch {
namespace {

constexpr std::uint64_t kDocumentBytesMax = 2 << 20;
constexpr std::uint64_t kDocumentsBytesMax = 16 << 20;

/// TorchScript's code and extra files: at most this many become documents.
constexpr std::size_t kDocumentCountMax = 10'000;

class ZipOpener {
 public:
  ZipOpener(const io::ReadFile& file, const OpenOptions& options, const zip::Limits& limits)
      : file_(file), options_(options), limits_(limits), data_(out_.data) {}

  Result<ZipCheckpoint> run() {
    KILTER_TRY(read_directory());
    const auto layout = find_layout(out_.archive);
    if (!layout && broken_) return fail(std::move(*broken_));
    if (!layout)
      return fail(Error(ErrorCode::kUnsupported, "zip archive without a data.pkl")
                      .at_path(file_.path())
                      .advise("this is no torch checkpoint; `kilter scan` looks into any archive"));
    out_.layout = *layout;
    begin();
    KILTER_TRY(read_pickles());
    judge_layout(out_.archive, out_.layout, file_.path(), &data_.findings);
    if (out_.layout.script()) read_documents();
    return std::move(out_);
  }

 private:
  const zip::Member& member(std::size_t i) const { return out_.archive.members[i]; }
  std::string member_path(std::size_t i) const { return file_.path() + "!" + member(i).name; }

  Status read_directory() {
    auto archive = zip::read_archive(file_, limits_);
    if (!archive && options_.lenient && archive.error().code == ErrorCode::kMalformed) {
      broken_ = std::move(archive).error();
      archive = zip::salvage_archive(file_);
    }
    if (!archive) return fail(std::move(archive).error());
    out_.archive = std::move(*archive);
    data_.findings = out_.archive.findings;
    return ok();
  }

  void begin() {
    data_.format = "torch-zip";
    data_.root = file_.path();
    data_.index.files = {{formats::file_name_of(file_.path()), file_.bytes()}};
    std::string detail = out_.layout.script() ? "TorchScript archive" : "zip";
    if (const auto version = small_text("version")) {
      data_.metadata.emplace_back("version", *version);
      detail += ", version " + escape_text(*version, 20);
    }
    if (const auto order = small_text("byteorder")) {
      data_.metadata.emplace_back("byteorder", *order);
      big_endian_ = *order == "big";
      if (!big_endian_ && *order != "little")
        zip::FindingList(&data_.findings, 1, file_.path())
            .add("torch.byteorder", Severity::kMalformed, out_.layout.root + "byteorder",
                 "the stated byte order is neither \"little\" nor \"big\"; little is assumed",
                 escape_text(*order, 40));
    }
    detail += big_endian_ ? ", big-endian" : ", little-endian";
    for (const std::string_view name :
         {".format_version", ".storage_alignment", ".data/serialization_id"})
      if (const auto text = small_text(name)) data_.metadata.emplace_back(name, *text);
    detail_ = std::move(detail);
  }

  /// A member of a few bytes as text without its line end; nullopt if there is none or it is
  /// broken.
  std::optional<std::string> small_text(std::string_view name) {
    const auto found = out_.archive.find(out_.layout.root + std::string(name));
    if (!found) return std::nullopt;
    const auto bytes = zip::read_member(file_, member(*found), kSmallMemberBytesMax);
    if (!bytes) {
      data_.findings.push_back(formats::finding_from({"torch.member-broken", bytes.error()},
                                                     Severity::kMalformed, file_.path()));
      return std::nullopt;
    }
    std::string text(as_text(*bytes));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    return replace_invalid_utf8(text);
  }

  /// A member's bytes. A damaged one is an error, or a finding when opened leniently.
  Result<std::vector<std::byte>> pickle_bytes(std::size_t i) {
    auto bytes = zip::read_member(file_, member(i), options_.header_bytes_max);
    if (bytes || !options_.lenient) return bytes;
    KILTER_ASSIGN(auto some, zip::read_member_anyway(file_, member(i), options_.header_bytes_max));
    if (some.fault)
      data_.findings.push_back(formats::finding_from({"torch.member-broken", *some.fault},
                                                     Severity::kMalformed, file_.path()));
    return std::move(some.bytes);
  }

  Status read_pickles() {
    const std::string& root = out_.layout.root;
    ZipStorages storages(out_.archive, root + "data/", "", big_endian_);
    data_.index.storages.reserve(out_.archive.members.size());
    KILTER_TRY(read_pickle(out_.layout.data_pickle, &storages, &data_));
    std::string detail = std::move(data_.format_detail);
    data_.format_detail = detail_.append(", ").append(detail);
    judge_unused(storages);
    remember(storages.members());
    if (!out_.layout.constants_pickle) return ok();
    CheckpointData constants;
    constants.root = data_.root;
    constants.index.files = data_.index.files;
    ZipStorages more(out_.archive, root + "constants/", root + "data/", big_endian_);
    KILTER_TRY(read_pickle(*out_.layout.constants_pickle, &more, &constants));
    if (constants.state.empty()) return ok();
    merge(std::move(constants), "module", "constants", "constants", &data_);
    remember(more.members());
    return ok();
  }

  /// Takes over the members of the storages that came last; there is an entry for each storage.
  void remember(const std::vector<std::size_t>& members) {
    auto& all = out_.storage_members;
    all.insert(all.end(), members.begin(), members.end());
    all.resize(data_.index.storages.size(), ZipStorages::kNoMember);
  }

  Status read_pickle(std::size_t i, ZipStorages* storages, CheckpointData* data) {
    KILTER_ASSIGN(const auto bytes, pickle_bytes(i));
    KILTER_TRY(lift_pickle(bytes, member_path(i), options_, storages, data));
    return settle(options_, storages, data);
  }

  /// Storages in the archive that the pickle never mentions.
  void judge_unused(const ZipStorages& storages) {
    std::vector<bool> used(out_.archive.members.size(), false);
    for (const std::size_t at : storages.members())
      if (at != ZipStorages::kNoMember) used[at] = true;
    const std::string folder = out_.layout.root + "data/";
    std::size_t count = 0;
    for (std::size_t i = 0; i < used.size(); ++i)
      if (!used[i] && member(i).name.starts_with(folder) && !member(i).folder()) ++count;
    if (count > 0)
      zip::FindingList(&data_.findings, 1, file_.path())
          .add("torch.unused-storage", Severity::kNote, "",
               std::to_string(count) + " storages of the archive are used by no tensor");
  }

  void read_documents() {
    std::uint64_t total = 0;
    std::vector<std::size_t> wanted = out_.layout.code;
    wanted.insert(wanted.end(), out_.layout.extras.begin(), out_.layout.extras.end());
    for (const std::size_t i : wanted) {
      if (data_.documents.size() >= kDocumentCountMax) break;
      const zip::Member& m = member(i);
      if (m.bytes > kDocumentBytesMax || total + m.bytes > kDocumentsBytesMax) continue;
      const auto bytes = zip::read_member(file_, m, kDocumentBytesMax);
      if (!bytes || !is_valid_utf8(as_text(*bytes))) continue;
      total += bytes->size();
      data_.documents.push_back(
          {m.name.substr(out_.layout.root.size()), std::string(as_text(*bytes))});
    }
  }

  const io::ReadFile& file_;
  const OpenOptions& options_;
  const zip::Limits& limits_;
  ZipCheckpoint out_;
  CheckpointData& data_;
  bool big_endian_ = false;
  std::optional<Error> broken_;  ///< why the archive had to be salvaged
  std::string detail_;
};

}  // namespace

Result<ZipCheckpoint> open_zip(const io::ReadFile& file, const OpenOptions& options,
                               const zip::Limits& limits) {
  return ZipOpener(file, options, limits).run();
}

}  // namespace kilter::torch

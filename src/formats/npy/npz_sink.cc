#include "formats/npy/npz_sink.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <set>

#include "base/checked.h"
#include "base/text.h"
#include "base/try.h"
#include "formats/npy/npy_header.h"
#include "formats/state_json/state_json.h"
#include "formats/zip/zip_format.h"

namespace kilter::npy {
namespace {

constexpr std::uint64_t kDataAlignBytes = 64;
constexpr std::uint16_t kAlignExtra = 0xd935;  // as Android's zipalign pads; readers skip it
constexpr std::uint16_t kVersionNeeded = 20, kVersionZip64 = 45;
constexpr std::uint16_t kDosDate = 0x21;  // 1980-01-01, so that equal input gives equal bytes

void put16(std::string& out, std::uint64_t value) {
  out += static_cast<char>(value & 0xff);
  out += static_cast<char>(value >> 8 & 0xff);
}
void put32(std::string& out, std::uint64_t value) {
  put16(out, value & 0xffff);
  put16(out, value >> 16 & 0xffff);
}
void put64(std::string& out, std::uint64_t value) {
  put32(out, value & 0xffffffff);
  put32(out, value >> 32);
}

/// One member as laid out; positions in bytes.
struct MemberPlan {
  std::string name;
  std::size_t output = 0;
  std::string array_header;
  std::uint64_t data_bytes = 0;
  std::uint64_t begin_bytes = 0;  ///< of the local header
  std::uint64_t bytes() const { return array_header.size() + data_bytes; }
  bool zip64() const { return bytes() >= zip::kSentinel32; }
};

std::uint16_t flags_of(const MemberPlan& member) {
  const bool ascii = std::all_of(member.name.begin(), member.name.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  return static_cast<std::uint16_t>(zip::kFlagDescriptor | (ascii ? 0 : zip::kFlagUtf8));
}

/// What both headers say between signature and sizes.
void put_common(std::string& out, const MemberPlan& member) {
  put16(out, member.zip64() ? kVersionZip64 : kVersionNeeded);
  put16(out, flags_of(member));
  put16(out, zip::kMethodStored);
  put16(out, 0);  // time
  put16(out, kDosDate);
}

/// The local header. Its CRC comes after the data, so it says 0 and sets the descriptor flag; the
/// sizes are known, and stand here for readers that never look at the end.
std::string local_header(const MemberPlan& member) {
  const std::uint64_t size = member.zip64() ? zip::kSentinel32 : member.bytes();
  std::string extra;
  if (member.zip64()) {
    put16(extra, zip::kExtraZip64);
    put16(extra, 16);
    put64(extra, member.bytes());
    put64(extra, member.bytes());
  }
  const std::uint64_t before =
      member.begin_bytes + zip::kLocalHeaderBytes + member.name.size() + extra.size() + 4;
  const std::uint64_t padding = round_up(before, kDataAlignBytes) - before;
  put16(extra, kAlignExtra);
  put16(extra, padding);
  extra.append(padding, '\0');
  std::string out;
  put32(out, zip::kLocalSignature);
  put_common(out, member);
  put32(out, 0);
  put32(out, size);
  put32(out, size);
  put16(out, member.name.size());
  put16(out, extra.size());
  return out + member.name + extra;
}

std::uint64_t descriptor_bytes(const MemberPlan& member) { return member.zip64() ? 24 : 16; }

std::string descriptor(const MemberPlan& member, std::uint32_t crc) {
  std::string out;
  put32(out, zip::kDescriptorSignature);
  put32(out, crc);
  for (int i = 0; i < 2; ++i)
    member.zip64() ? put64(out, member.bytes()) : put32(out, member.bytes());
  return out;
}

std::string central_header(const MemberPlan& member, std::uint32_t crc) {
  const bool far = member.begin_bytes >= zip::kSentinel32;
  std::string extra;
  if (member.zip64() || far) {
    put16(extra, zip::kExtraZip64);
    put16(extra, (member.zip64() ? 16U : 0U) + (far ? 8U : 0U));
    if (member.zip64()) {
      put64(extra, member.bytes());
      put64(extra, member.bytes());
    }
    if (far) put64(extra, member.begin_bytes);
  }
  std::string out;
  put32(out, zip::kCentralSignature);
  put16(out, member.zip64() || far ? kVersionZip64 : kVersionNeeded);
  put_common(out, member);
  put32(out, crc);
  const std::uint64_t size = member.zip64() ? zip::kSentinel32 : member.bytes();
  put32(out, size);
  put32(out, size);
  put16(out, member.name.size());
  put16(out, extra.size());
  put16(out, 0);  // comment
  put16(out, 0);  // disk
  put16(out, 0);  // internal attributes
  put32(out, 0);  // external attributes
  put32(out, far ? zip::kSentinel32 : member.begin_bytes);
  return out + member.name + extra;
}

std::string end_records(std::uint64_t count, std::uint64_t begin, std::uint64_t bytes) {
  std::string out;
  const bool zip64 =
      count >= zip::kSentinel16 || begin >= zip::kSentinel32 || bytes >= zip::kSentinel32;
  if (zip64) {
    put32(out, zip::kEnd64Signature);
    put64(out, zip::kEnd64Bytes - 12);
    put16(out, kVersionZip64);
    put16(out, kVersionZip64);
    put32(out, 0);
    put32(out, 0);
    put64(out, count);
    put64(out, count);
    put64(out, bytes);
    put64(out, begin);
    put32(out, zip::kLocator64Signature);
    put32(out, 0);
    put64(out, begin + bytes);
    put32(out, 1);
  }
  put32(out, zip::kEndSignature);
  put32(out, 0);  // disks
  put16(out, std::min<std::uint64_t>(count, zip::kSentinel16));
  put16(out, std::min<std::uint64_t>(count, zip::kSentinel16));
  put32(out, std::min<std::uint64_t>(bytes, zip::kSentinel32));
  put32(out, std::min<std::uint64_t>(begin, zip::kSentinel32));
  put16(out, 0);
  return out;
}

std::uint32_t crc_of(const MemberPlan& member, std::uint32_t data_crc) {
  const auto* header = reinterpret_cast<const Bytef*>(member.array_header.data());
  const uLong first = crc32(0, header, static_cast<uInt>(member.array_header.size()));
  return static_cast<std::uint32_t>(
      crc32_combine(first, data_crc, static_cast<z_off_t>(member.data_bytes)));
}

/// True where numpy cannot say the dtype and a state file must.
bool is_raw(const PlanOutput& output) { return dtype_row(output.dtype).numpy.empty(); }

class NpzSink final : public Sink {
 public:
  explicit NpzSink(const formats::WriteOptions& options)
      : stem_(options.stem),
        extension_(options.extension.empty() ? ".npz" : options.extension),
        state_(options.state),
        tensor_names_(options.tensor_names),
        aliases_(options.aliases) {}

  Result<std::vector<FileLayout>> layout(const Plan& plan) override {
    KILTER_TRY(plan_members(plan));
    std::vector<FileLayout> files;
    KILTER_ASSIGN(std::string sidecar, make_sidecar(plan));
    if (!sidecar.empty()) {
      FileLayout file;
      file.name = stem_ + std::string(state_json::kSuffix);
      file.segments.push_back({SegmentKind::kLiteral, sidecar.size(), std::move(sidecar), 0});
      files.push_back(std::move(file));
    }
    archive_file_ = files.size();
    files.push_back(lay_out());
    return files;
  }

  bool wants_checksums() const override { return true; }

  /// Late segment i < members is the descriptor of member i; the last is the central directory.
  Status fill_late(std::size_t file, std::size_t index, const OutputChecksums& crc32,
                   std::span<std::byte> out) override {
    if (file != archive_file_ || index > members_.size())
      return fail(ErrorCode::kInternal, "this late segment was never laid out");
    std::string text;
    if (index < members_.size()) {
      text = descriptor(members_[index], crc_of(members_[index], crc32[members_[index].output]));
    } else {
      for (const MemberPlan& member : members_)
        text += central_header(member, crc_of(member, crc32[member.output]));
    }
    if (text.size() != out.size())
      return fail(ErrorCode::kInternal, "a late segment has another size than was laid out");
    std::copy_n(as_bytes(text).data(), text.size(), out.data());
    return ok();
  }

 private:
  Status plan_members(const Plan& plan) {
    members_.clear();
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
      const PlanOutput& output = plan.outputs[i];
      Error error(ErrorCode::kInvalidArgument, "npz cannot hold a tensor of this name");
      error.tensor = output.name;
      constexpr std::size_t kNameBytesMax = 60'000;
      if (output.name.empty() || output.name.size() > kNameBytesMax ||
          output.name.find('\0') != output.name.npos || !is_valid_utf8(output.name) ||
          !names.insert(output.name).second)
        return fail(std::move(error).advise("rename it with --rename"));
      if (!output.views.empty()) {
        error.code = ErrorCode::kInternal;
        error.message = "npz cannot share storages";
        return fail(std::move(error));
      }
      MemberPlan member;
      member.name = output.name + ".npy";
      member.output = i;
      const std::string_view descr = numpy_descr(output.dtype);
      member.array_header = descr.empty()
                                ? make_npy_header("|u1", {static_cast<std::int64_t>(output.bytes)})
                                : make_npy_header(descr, output.shape);
      member.data_bytes = output.bytes;
      members_.push_back(std::move(member));
    }
    return ok();
  }

  FileLayout lay_out() {
    FileLayout file;
    file.name = stem_ + extension_;
    std::uint64_t at = 0;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      MemberPlan& member = members_[i];
      member.begin_bytes = at;
      std::string head = local_header(member) + member.array_header;
      at += head.size() + member.data_bytes + descriptor_bytes(member);
      file.segments.push_back({SegmentKind::kLiteral, head.size(), std::move(head), 0});
      file.segments.push_back({SegmentKind::kOutput, member.data_bytes, {}, member.output});
      file.segments.push_back({SegmentKind::kLate, descriptor_bytes(member), {}, i});
    }
    std::uint64_t central_bytes = 0;
    for (const MemberPlan& member : members_) central_bytes += central_header(member, 0).size();
    std::string end = end_records(members_.size(), at, central_bytes);
    if (central_bytes != 0)
      file.segments.push_back({SegmentKind::kLate, central_bytes, {}, members_.size()});
    file.segments.push_back({SegmentKind::kLiteral, end.size(), std::move(end), 0});
    return file;
  }

  Result<std::string> make_sidecar(const Plan& plan) const {
    const bool wanted = state_ != nullptr || !aliases_.empty();
    state_json::SidecarInput input{&plan, state_, &tensor_names_, &aliases_, {}};
    for (const PlanOutput& output : plan.outputs) {
      if (!is_raw(output)) continue;
      input.raw_outputs.push_back(output.name);
      // Elements of the same width are written as those; the caller says elsewhere what they are.
      if (!numpy_descr(output.dtype).empty()) continue;
      Error error(ErrorCode::kUnsupported, "numpy has no such dtype");
      error.tensor = output.name;
      if (!wanted)
        return fail(
            std::move(error).wanted("a dtype of numpy", std::string(dtype_name(output.dtype))));
    }
    return wanted ? state_json::make_sidecar(input) : std::string();
  }

  std::string stem_, extension_;
  const StateTree* state_;
  std::vector<std::string> tensor_names_;
  std::vector<std::pair<std::string, std::string>> aliases_;
  std::vector<MemberPlan> members_;
  std::size_t archive_file_ = 0;
};

}  // namespace

std::unique_ptr<Sink> make_npz_sink(const formats::WriteOptions& options) {
  return std::make_unique<NpzSink>(options);
}

}  // namespace kilter::npy

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "base/try.h"
#include "formats/file_name.h"
#include "formats/findings.h"
#include "formats/npy/array.h"
#include "formats/npy/npy_formats.h"
#include "formats/npy/npy_header.h"
#include "formats/pickle/scan.h"

namespace kilter::formats {
namespace {

constexpr std::uint64_t kPickleBytesMax = 1ULL << 30;

Result<std::vector<std::byte>> read_range(const io::ReadFile& file, std::uint64_t begin,
                                          std::uint64_t bytes, std::uint64_t bytes_max) {
  if (bytes > bytes_max)
    return fail(Error(ErrorCode::kLimitExceeded, "the array is too large to be read whole")
                    .at_path(file.path())
                    .at_offset(begin)
                    .wanted("at most " + format_bytes(bytes_max), format_bytes(bytes)));
  std::vector<std::byte> out(bytes);
  KILTER_TRY(file.read_at(begin, out));
  return out;
}

Result<npy::NpyHeader> read_header(const io::ReadFile& file) {
  const auto located = [&](Error error) { return fail(std::move(error).at_path(file.path())); };
  const std::uint64_t first = std::min<std::uint64_t>(file.bytes(), 12);
  KILTER_ASSIGN(const auto start, read_range(file, 0, first, first));
  const auto header_bytes = npy::npy_header_bytes(start, 0);
  if (!header_bytes) return located(header_bytes.error());
  const std::uint64_t head_bytes = std::min(*header_bytes, file.bytes());
  KILTER_ASSIGN(const auto head, read_range(file, 0, head_bytes, head_bytes));
  auto header = npy::parse_npy_header(head, 0);
  if (!header) return located(std::move(header).error());
  return header;
}

std::string detail_text(const npy::NpyHeader& header) {
  return fmt::format("version {}.0, {}, {} order", header.major, escape_text(header.descr, 40),
                     header.fortran_order ? "Fortran" : "C");
}

class NpyFormat final : public Format {
 public:
  std::string_view name() const override { return "npy"; }
  std::string_view title() const override { return "numpy array"; }

  Detection detect(const Probe& probe) const override {
    if (probe.is_folder || !as_text(Bytes(probe.head)).starts_with(npy::kMagic)) return {};
    return {100, "magic \\x93NUMPY"};
  }

  Result<CheckpointData> open(const OpenArguments& arguments) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    KILTER_ASSIGN(const npy::NpyHeader header, read_header(*file));
    CheckpointData data;
    data.format = name();
    data.format_detail = detail_text(header);
    data.root = arguments.path;
    data.index.files = {{file_name_of(arguments.path), file->bytes()}};
    npy::ArrayPlace place;
    place.path = arguments.path;
    place.name = header.elements == npy::Elements::kNumbers ? "tensor" : "";
    place.bytes = file->bytes();
    place.read_all = [&](std::uint64_t bytes_max) {
      return read_range(*file, 0, file->bytes(), bytes_max);
    };
    auto root = npy::add_array(header, place, arguments.options, &data);
    if (!root && !arguments.options.lenient) return fail(std::move(root).error());
    if (!root) {
      const Fault fault{"npy.broken", std::move(root).error()};
      data.findings.push_back(finding_from(fault, severity_of(fault.error.code), arguments.path));
    } else if (header.elements != npy::Elements::kNumbers) {
      data.state.set_root(*root);
    }
    KILTER_TRY(data.index.validate());
    return data;
  }

  Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    OpenOptions options;
    options.lenient = true;
    auto data = open({arguments.files, arguments.path, arguments.probe, options});
    if (!data) return report(data.error(), arguments.path, findings);
    std::move(data->findings.begin(), data->findings.end(), std::back_inserter(*findings));
    return check_end(arguments, true, findings);
  }

  Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    const auto header = read_header(*file);
    if (!header) return report(header.error(), arguments.path, findings);
    if (header->elements != npy::Elements::kObjects) return check_end(arguments, false, findings);
    const std::uint64_t begin = header->data_offset_bytes;
    auto pickle = read_range(*file, begin, file->bytes() - begin, kPickleBytesMax);
    if (!pickle) return report(pickle.error(), arguments.path, findings);
    pickle::ScanContext context;
    context.path = arguments.path;
    context.wrapping = pickle::Wrapping::kNumpy;
    pickle::scan_pickles(*pickle, begin, context, findings);
    return ok();
  }

 private:
  static Status report(const Error& error, std::string_view path, std::vector<Finding>* findings) {
    if (error.code == ErrorCode::kIo || error.code == ErrorCode::kPermission) return fail(error);
    findings->push_back(finding_from({"npy.broken", error}, severity_of(error.code), path));
    return ok();
  }

  /// numpy ignores what follows the array, and other loaders may not.
  static Status check_end(const CheckArguments& arguments, bool cut_is_known,
                          std::vector<Finding>* findings) {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    const auto header = read_header(*file);
    if (!header || header->elements != npy::Elements::kNumbers) return ok();
    const auto bytes = npy::array_bytes(*header);
    if (!bytes) return ok();  // reported by open()
    const std::uint64_t end = header->data_offset_bytes + *bytes;
    if (end == file->bytes()) return ok();
    const bool cut = end > file->bytes();
    if (cut && cut_is_known) return ok();
    Error error(ErrorCode::kMalformed,
                cut ? "the array is cut off" : "bytes follow the array; numpy ignores them");
    error.offset_bytes = std::min(end, file->bytes());
    const Fault fault{cut ? "npy.broken" : "npy.trailing-bytes",
                      std::move(error).wanted(fmt::format("a file of {} bytes", end),
                                              fmt::format("{} bytes", file->bytes()))};
    findings->push_back(
        finding_from(fault, cut ? Severity::kMalformed : Severity::kSuspicious, arguments.path));
    return ok();
  }
};

}  // namespace

const Format& npy_format() {
  static const NpyFormat kFormat;
  return kFormat;
}

}  // namespace kilter::formats

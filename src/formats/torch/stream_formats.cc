// The formats "torch-legacy" and "torch-tar".
#include <algorithm>
#include <array>

#include "base/try.h"
#include "formats/findings.h"
#include "formats/tar/archive.h"
#include "formats/torch/legacy_reader.h"
#include "formats/torch/tar_reader.h"
#include "formats/torch/torch_formats.h"
#include "formats/zip/scan_zip.h"

namespace kilter::formats {
namespace {

bool stops_looking(ErrorCode code) {
  return code == ErrorCode::kIo || code == ErrorCode::kPermission ||
         code == ErrorCode::kCancelled || code == ErrorCode::kNotFound;
}

/// Opens leniently and hands on what was found. A fault of content is a finding.
template <typename Open>
Status check_by_opening(const CheckArguments& arguments, const Open& open,
                        std::vector<Finding>* findings) {
  KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
  OpenOptions options;
  options.lenient = true;
  auto opened = open(*file, options);
  if (!opened && stops_looking(opened.error().code)) return fail(std::move(opened).error());
  if (!opened) {
    findings->push_back(finding_from({"torch.unreadable", opened.error()},
                                     severity_of(opened.error().code), arguments.path));
    return ok();
  }
  std::move(opened->findings.begin(), opened->findings.end(), std::back_inserter(*findings));
  return ok();
}

class TorchLegacyFormat final : public Format {
 public:
  std::string_view name() const override { return "torch-legacy"; }
  std::string_view title() const override { return "PyTorch legacy stream"; }

  Detection detect(const Probe& probe) const override {
    if (probe.is_folder) return {};
    const std::string_view head = as_text(probe.head).substr(0, 40);
    const bool binary =
        head.starts_with('\x80') && head.find(torch::kLegacyMagicBytes) != std::string_view::npos;
    const bool text =
        head.starts_with("L") && head.substr(1).starts_with(torch::kLegacyMagicDecimal);
    if (!binary && !text) return {};
    return {98, "pickled magic number 0x1950a86a20f9469cfc6c"};
  }

  Result<CheckpointData> open(const OpenArguments& arguments) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    return torch::open_legacy(*file, arguments.options);
  }

  Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    return check_by_opening(arguments, torch::open_legacy, findings);
  }

  Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    KILTER_ASSIGN(const auto extent, torch::legacy_extent(*file, kScanBytesMax));
    std::vector<std::byte> bytes(static_cast<std::size_t>(extent.pickle_bytes));
    KILTER_TRY(file->read_at(0, bytes));
    pickle::ScanContext context;
    context.path = arguments.path;
    context.wrapping = pickle::Wrapping::kTorchLegacy;
    pickle::scan_pickles(bytes, 0, context, findings, 5);
    return check(arguments, findings);
  }

 private:
  static constexpr std::uint64_t kScanBytesMax = 1ULL << 30;
};

/// Names of members whose headers lie in the head of the file.
std::vector<std::string> first_members(Bytes head) {
  std::vector<std::string> names;
  std::size_t at = 0;
  while (at + tar::kBlockBytes <= head.size() && tar::is_header(head.subspan(at))) {
    const std::string_view block = as_text(head.subspan(at, tar::kBlockBytes));
    std::string_view name = block.substr(0, 100);
    name = name.substr(0, std::min(name.find('\0'), name.size()));
    if (name.starts_with("./")) name.remove_prefix(2);
    names.emplace_back(name);
    std::uint64_t bytes = 0;
    for (const char c : block.substr(124, 11)) {
      if (c < '0' || c > '7') break;
      bytes = bytes * 8 + static_cast<std::uint64_t>(c - '0');
    }
    if (bytes > head.size()) break;
    at += tar::kBlockBytes + (bytes + tar::kBlockBytes - 1) / tar::kBlockBytes * tar::kBlockBytes;
  }
  return names;
}

class TorchTarFormat final : public Format {
 public:
  std::string_view name() const override { return "torch-tar"; }
  std::string_view title() const override { return "PyTorch tar archive"; }

  Detection detect(const Probe& probe) const override {
    if (probe.is_folder) return {};
    constexpr std::array<std::string_view, 4> kMembers = {"sys_info", "pickle", "tensors",
                                                          "storages"};
    std::size_t known = 0;
    for (const std::string& member : first_members(probe.head))
      if (std::find(kMembers.begin(), kMembers.end(), member) != kMembers.end()) ++known;
    if (known == 0) return {};
    return {known > 1 ? 97 : 50, "tar archive with members of torch's oldest layout"};
  }

  Result<CheckpointData> open(const OpenArguments& arguments) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    return torch::open_tar(*file, arguments.options);
  }

  Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    return check_by_opening(arguments, torch::open_tar, findings);
  }

  Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    pickle::ScanContext context;
    context.path = arguments.path;
    context.wrapping = pickle::Wrapping::kTorchTar;
    KILTER_TRY(zip::scan_tar(*file, context, findings, arguments.context));
    std::vector<Finding> structure;
    KILTER_TRY(check(arguments, &structure));
    for (Finding& finding : structure)
      if (finding.rule.starts_with("torch.")) findings->push_back(std::move(finding));
    return ok();
  }
};

}  // namespace

const Format& torch_legacy_format() {
  static const TorchLegacyFormat kFormat;
  return kFormat;
}

const Format& torch_tar_format() {
  static const TorchTarFormat kFormat;
  return kFormat;
}

}  // namespace kilter::formats

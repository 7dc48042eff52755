#include "formats/tensorflow/tensorflow_format.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/crc32c.h"
#include "base/text.h"
#include "base/try.h"
#include "formats/findings.h"
#include "formats/folder/folder_format.h"
#include "formats/tensorflow/bundle.h"
#include "formats/tensorflow/table.h"

namespace kilter::formats {
namespace {

constexpr std::uint64_t kCheckpointTextBytesMax = 1 << 20;
constexpr std::size_t kChecksumBlockBytes = 4 << 20;
constexpr std::string_view kSavedModelIndex = "variables/variables.index";

bool has_name(const std::vector<std::string>& names, std::string_view name) {
  return std::binary_search(names.begin(), names.end(), name);
}

/// True for a data file of the bundle `prefix`.
bool is_shard_of(std::string_view name, std::string_view prefix) {
  return name.starts_with(prefix) && name.substr(prefix.size()).starts_with(".data-");
}

/// The value of `model_checkpoint_path: "…"` in the text that tf.train.latest_checkpoint reads.
/// Source: checkpoint_state.proto, in protobuf's text form.
std::string newest_name(std::string_view text) {
  constexpr std::string_view kKey = "model_checkpoint_path:";
  std::size_t at = 0;
  while ((at = text.find(kKey, at)) != std::string_view::npos) {
    if (at == 0 || text[at - 1] == '\n') break;
    at += kKey.size();  // all_model_checkpoint_paths ends in other letters, but who knows
  }
  if (at == std::string_view::npos) return "";
  const std::size_t open = text.find_first_not_of(" \t", at + kKey.size());
  if (open == std::string_view::npos || text[open] != '"') return "";
  const std::size_t close = text.find('"', open + 1);
  if (close == std::string_view::npos) return "";
  const std::string_view path = text.substr(open + 1, close - open - 1);
  const std::size_t slash = path.rfind('/');  // absolute where the program ran
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

struct BundlePlace {
  std::string root;
  std::string index_name;
};

/// Which bundle of a folder is meant.
Result<BundlePlace> choose_bundle(io::FileSystem& files, const Probe& probe) {
  if (!probe.is_folder) {
    const std::string parent = io::parent_path(probe.path);
    return BundlePlace{parent.empty() ? "." : parent, io::last_part(probe.path)};
  }
  const std::vector<std::string> indexes = bundle_indexes(probe.entry_names);
  if (indexes.size() == 1) return BundlePlace{probe.path, indexes[0]};
  if (has_name(probe.entry_names, "checkpoint")) {
    const auto text = io::read_text(files, probe.path + "/checkpoint", kCheckpointTextBytesMax);
    const std::string wanted = text ? newest_name(*text) + ".index" : "";
    if (std::find(indexes.begin(), indexes.end(), wanted) != indexes.end())
      return BundlePlace{probe.path, wanted};
  }
  if (has_name(probe.entry_names, kSavedModelIndex))
    return BundlePlace{probe.path, std::string(kSavedModelIndex)};
  return fail(
      Error(ErrorCode::kUnsupported,
            "the folder holds several TensorFlow checkpoints, and no text `checkpoint` that "
            "names one of them")
          .at_path(probe.path)
          .advise(fmt::format("give one of them: {}/{}", probe.path,
                              indexes.empty() ? "PREFIX.index" : indexes.back())));
}

/// What else lies in the folder, so that it is listed and can be copied along. Other steps' files
/// are no part of this checkpoint.
void add_other_files(io::FileSystem& files, const Probe& probe, const std::string& own_index,
                     CheckpointData* data) {
  const std::vector<std::string> indexes = bundle_indexes(probe.entry_names);
  const auto of_a_bundle = [&](const std::string& name) {
    return std::any_of(indexes.begin(), indexes.end(), [&](const std::string& index) {
      return name == index || is_shard_of(name, tensorflow::bundle_prefix(index));
    });
  };
  const std::string own_prefix = tensorflow::bundle_prefix(own_index);
  for (const std::string& name : probe.entry_names) {
    if (name.starts_with('.') || name.find("/.") != std::string::npos) continue;
    if (of_a_bundle(name) && !is_shard_of(name, own_prefix)) continue;
    const auto same = [&](const FileEntry& file) { return file.path == name; };
    if (std::any_of(data->index.files.begin(), data->index.files.end(), same)) continue;
    const auto stat = files.stat(probe.path + "/" + name);
    if (stat) data->index.files.push_back({name, stat->bytes});
  }
}

Result<tensorflow::Bundle> open_place(io::FileSystem& files, const Probe& probe,
                                      const OpenOptions& options) {
  KILTER_ASSIGN(const BundlePlace place, choose_bundle(files, probe));
  KILTER_ASSIGN(auto bundle, tensorflow::open_bundle(files, place.root, place.index_name, options));
  if (probe.is_folder) add_other_files(files, probe, place.index_name, &bundle.data);
  if (place.index_name == kSavedModelIndex) bundle.data.format_detail += ", in a SavedModel";
  return bundle;
}

bool is_content_fault(const Error& error) {
  return error.code != ErrorCode::kIo && error.code != ErrorCode::kPermission &&
         error.code != ErrorCode::kCancelled;
}

class TensorflowFormat final : public Format {
 public:
  std::string_view name() const override { return "tensorflow"; }
  std::string_view title() const override { return "TensorFlow checkpoint"; }

  Detection detect(const Probe& probe) const override {
    if (!probe.is_folder) {
      if (!as_text(Bytes(probe.tail)).ends_with(tensorflow::kTableMagic)) return {};
      return {90, "ends as a sorted table (0xdb4775248b80fb57)"};
    }
    const auto indexes = bundle_indexes(probe.entry_names);
    if (indexes.empty()) return {};
    const bool certain =
        has_name(probe.entry_names, "saved_model.pb") || has_name(probe.entry_names, "checkpoint");
    return {certain ? 85 : 60, fmt::format("a folder with {} and its data", indexes[0])};
  }

  Result<CheckpointData> open(const OpenArguments& arguments) const override {
    KILTER_ASSIGN(auto bundle, open_place(*arguments.files, *arguments.probe, arguments.options));
    return std::move(bundle.data);
  }

  Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    OpenOptions options;
    options.lenient = true;
    auto bundle = open_place(*arguments.files, *arguments.probe, options);
    if (!bundle) return report(std::move(bundle).error(), arguments, findings);
    std::move(bundle->data.findings.begin(), bundle->data.findings.end(),
              std::back_inserter(*findings));
    return arguments.read_data ? check_sums(arguments, *bundle, findings) : ok();
  }

  /// Tables and data hold numbers, names and strings; nothing in them is ever run. Of a folder the
  /// other files are judged one by one.
  Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    if (arguments.probe->is_folder) return folder_format().scan(arguments, findings);
    CheckArguments structure = arguments;
    structure.read_data = false;
    return check(structure, findings);
  }

 private:
  static Status report(Error error, const CheckArguments& arguments,
                       std::vector<Finding>* findings) {
    if (!is_content_fault(error)) return fail(std::move(error));
    const Severity severity = severity_of(error.code);
    findings->push_back(finding_from({"tensorflow.broken-index", std::move(error)}, severity,
                                     arguments.probe->path));
    return ok();
  }

  static Status check_sums(const CheckArguments& arguments, const tensorflow::Bundle& bundle,
                           std::vector<Finding>* findings) {
    std::vector<std::byte> block(kChecksumBlockBytes);
    std::unique_ptr<io::ReadFile> file;
    std::uint32_t open_number = 0;
    for (const tensorflow::SummedRange& range : bundle.ranges) {
      const std::string path =
          io::join_path(bundle.data.root, bundle.data.index.files[range.file].path);
      if (!file || open_number != range.file) {
        KILTER_ASSIGN(file, arguments.files->open_read(path));
        open_number = range.file;
      }
      std::uint32_t crc = 0;
      for (std::uint64_t at = 0; at < range.bytes; at += block.size()) {
        KILTER_TRY(arguments.context.check());
        const auto part = std::span(block).first(
            static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), range.bytes - at)));
        KILTER_TRY(file->read_at(range.offset_bytes + at, part));
        crc = crc32c(part, crc);
      }
      if (crc == range.crc32c) continue;
      Error error(ErrorCode::kCorrupt, "the tensor's checksum does not match its bytes");
      error.tensor = range.tensor;
      error.offset_bytes = range.offset_bytes;
      error.expected = fmt::format("{:08x}", range.crc32c);
      error.found = fmt::format("{:08x}", crc);
      findings->push_back(finding_from({"tensorflow.tensor-corrupt", std::move(error)},
                                       Severity::kMalformed, path));
    }
    return ok();
  }
};

}  // namespace

std::vector<std::string> bundle_indexes(const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const std::string& name : names) {
    if (!name.ends_with(".index") ||
        (name.find('/') != std::string::npos && name != kSavedModelIndex))
      continue;
    const std::string data = tensorflow::bundle_prefix(name) + ".data-";
    const auto first = std::lower_bound(names.begin(), names.end(), data);
    if (first != names.end() && first->starts_with(data)) out.push_back(name);
  }
  return out;
}

std::optional<std::string> prefix_of_data(const std::string& path) {
  const std::size_t at = path.rfind(".data-");
  if (at == std::string::npos || at == 0) return std::nullopt;
  const std::string_view numbers = std::string_view(path).substr(at + 6);
  const std::size_t of = numbers.find("-of-");
  if (of == std::string_view::npos) return std::nullopt;
  const auto is_number = [](std::string_view text) {
    return text.size() >= 5 && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  if (!is_number(numbers.substr(0, of)) || !is_number(numbers.substr(of + 4))) return std::nullopt;
  return path.substr(0, at);
}

bool is_bundle_data(io::FileSystem& files, const std::string& path) {
  const auto prefix = prefix_of_data(path);
  return prefix && index_of_prefix(files, *prefix);
}

std::optional<std::string> index_of_prefix(io::FileSystem& files, const std::string& path) {
  const std::string index = path + ".index";
  const auto file = files.open_read(index);
  if (!file || (*file)->bytes() < tensorflow::kFooterBytes) return std::nullopt;
  std::string magic(tensorflow::kTableMagic.size(), '\0');
  const auto status = (*file)->read_at((*file)->bytes() - magic.size(),
                                       std::as_writable_bytes(std::span<char>(magic)));
  if (!status || magic != tensorflow::kTableMagic) return std::nullopt;
  return index;
}

const Format& tensorflow_format() {
  static const TensorflowFormat kFormat;
  return kFormat;
}

}  // namespace kilter::formats

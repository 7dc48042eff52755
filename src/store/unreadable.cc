#include "store/unreadable.h"

#include <algorithm>
#include <array>

#include "kilter/checkpoint.h"

#include "formats/format.h"

namespace kilter::store {
namespace {

/// Diagnoses that speak of weights that are not there; a web page or a text may well be meant.
bool means_damage(const formats::Diagnosis& diagnosis) {
  constexpr std::array<std::string_view, 3> kKinds = {"lfs-pointer", "truncated", "text-mangled"};
  return std::ranges::find(kKinds, diagnosis.kind) != kKinds.end();
}

std::optional<Error> reason_against(io::FileSystem& files, const std::string& path) {
  OpenOptions options;
  options.files = &files;
  auto opened = open_checkpoint(path, options);
  if (opened) return std::nullopt;
  if (opened.error().code != ErrorCode::kUnsupported) return std::move(opened).error();
  const auto probe = formats::make_probe(files, path);
  if (!probe) return std::nullopt;
  const auto diagnosis = formats::diagnose(files, *probe);
  if (!diagnosis || !means_damage(*diagnosis)) return std::nullopt;
  return std::move(opened).error();
}

}  // namespace

std::vector<Error> unreadable_files(const TreeSource& source, const Tree& tree) {
  std::vector<bool> read(tree.files.size(), false);  // tensors were found in it
  for (const TreeTensor& tensor : tree.tensors) read[tensor.file] = true;
  std::vector<Error> out;
  for (std::size_t i = 0; i < tree.files.size(); ++i) {
    const TreeFile& file = tree.files[i];
    if (read[i] || file.bytes == 0) continue;
    const std::string path = tree.single_file ? source.root : io::join_path(source.root, file.path);
    if (auto reason = reason_against(*source.files, path)) {
      reason->path = path;
      out.push_back(std::move(*reason));
    }
  }
  return out;
}

}  // namespace kilter::store

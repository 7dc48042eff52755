#include "formats/folder/index_probe.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "base/try.h"
#include "formats/file_name.h"
#include "formats/folder/documents.h"
#include "formats/folder/shard_index.h"
#include "formats/tensorflow/tensorflow_format.h"

namespace kilter::formats {
namespace {

bool looks_like_index(const Probe& probe) {
  // By name too: a configuration may hold the word, and is then a text like any other.
  return !probe.is_folder && probe.path.ends_with(".index.json") &&
         as_text(Bytes(probe.head)).find("\"weight_map\"") != std::string_view::npos;
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::optional<Probe> probe_behind_index(io::FileSystem& files, const Probe& probe) {
  const auto text = io::read_text(files, probe.path, kShardIndexBytesMax);
  if (!text) return std::nullopt;
  const auto index = parse_shard_index(*text);
  if (!index) return std::nullopt;
  auto folder = make_probe(files, folder_of(probe.path));
  if (!folder) return std::nullopt;
  const std::string own = file_name_of(probe.path);
  const std::unordered_set<std::string> shards(index->files.begin(), index->files.end());
  std::erase_if(folder->entry_names, [&](const std::string& name) {
    if (name == own || shards.contains(name)) return false;
    const bool other_index = name.ends_with(".index.json");
    return other_index || name.find('/') != std::string::npos || !is_document_name(name);
  });
  return std::move(*folder);
}

}  // namespace

Result<Probe> probe_checkpoint(io::FileSystem& files, const std::string& path) {
  auto opened = make_probe(files, path);
  if (!opened && opened.error().code == ErrorCode::kNotFound)
    if (const auto index = index_of_prefix(files, path)) opened = make_probe(files, *index);
  if (!opened) return fail(std::move(opened).error());
  Probe probe = std::move(*opened);
  if (!looks_like_index(probe)) return probe;
  return probe_behind_index(files, probe).value_or(std::move(probe));
}

}  // namespace kilter::formats

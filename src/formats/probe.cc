#include <algorithm>
#include <utility>

#include "base/try.h"
#include "formats/format.h"

namespace kilter::formats {
namespace {

// A folder larger than this is no model folder; recognition needs no more of it.
constexpr std::size_t kEntryCountMax = 100'000;
constexpr std::size_t kFolderDepthMax = 16;

Status read_ends(io::FileSystem& files, Probe* probe) {
  KILTER_ASSIGN(const auto file, files.open_read(probe->path));
  probe->bytes = file->bytes();
  probe->head.resize(std::min(probe->bytes, kProbeHeadBytes));
  KILTER_TRY(file->read_at(0, probe->head));
  if (probe->bytes <= kProbeTailBytes) {
    probe->tail = probe->head;
    return ok();
  }
  probe->tail.resize(kProbeTailBytes);
  return file->read_at(probe->bytes - kProbeTailBytes, probe->tail);
}

/// True if `path` names a file, through symlinks: Hugging Face's cache is made of them.
bool is_file(io::FileSystem& files, const std::string& path, io::FileKind kind) {
  if (kind == io::FileKind::kFile) return true;
  if (kind != io::FileKind::kSymlink) return false;
  const auto stat = files.stat(path);
  return stat && stat->kind == io::FileKind::kFile;
}

/// Names below the folder, breadth first. Symlinked folders are not entered: they could lead round.
Status list_below(io::FileSystem& files, Probe* probe) {
  struct Pending {
    std::string prefix;  // "" or "sub/"
    std::size_t depth;
  };
  std::vector<Pending> pending = {{"", 0}};
  for (std::size_t next = 0; next < pending.size(); ++next) {
    const auto [prefix, depth] = pending[next];
    const auto entries = files.list(prefix.empty() ? probe->path : probe->path + "/" + prefix);
    if (!entries) {
      if (next == 0) return fail(entries.error());
      continue;  // a subfolder that cannot be read hides nothing of the others
    }
    for (const io::FolderEntry& entry : *entries) {
      if (probe->entry_names.size() >= kEntryCountMax) return ok();
      const std::string name = prefix + entry.name;
      if (entry.stat.kind == io::FileKind::kFolder) {
        if (depth < kFolderDepthMax && !entry.name.starts_with(".git"))
          pending.push_back({name + "/", depth + 1});
      } else if (is_file(files, probe->path + "/" + name, entry.stat.kind)) {
        probe->entry_names.push_back(name);
      }
    }
  }
  std::sort(probe->entry_names.begin(), probe->entry_names.end());
  return ok();
}

}  // namespace

Result<Probe> make_probe(io::FileSystem& files, const std::string& path) {
  KILTER_ASSIGN(const io::FileStat stat, files.stat(path));
  Probe probe;
  probe.path = path;
  while (probe.path.size() > 1 && probe.path.back() == '/') probe.path.pop_back();
  probe.is_folder = stat.kind == io::FileKind::kFolder;
  if (stat.kind == io::FileKind::kOther)
    return fail(Error(ErrorCode::kUnsupported, "this is neither a file nor a folder")
                    .at_path(path)
                    .advise("devices, pipes and sockets cannot be opened as checkpoints"));
  KILTER_TRY(probe.is_folder ? list_below(files, &probe) : read_ends(files, &probe));
  return probe;
}

}  // namespace kilter::formats

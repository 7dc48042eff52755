#include "flow/file_cache.h"

#include <algorithm>

#include "base/try.h"
#include "io/safe_path.h"

namespace kilter::flow {

std::string FileCache::path_of(const FileEntry& entry) const {
  return root_is_folder_ ? io::join_path(root_, entry.path) : root_;
}

Result<std::shared_ptr<const io::ReadFile>> FileCache::open(std::uint32_t number,
                                                            const FileEntry& entry) {
  std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(open_.begin(), open_.end(), [&](const Entry& e) { return e.number == number; });
  if (found != open_.end()) {
    open_.splice(open_.begin(), open_, found);
    return found->file;
  }
  KILTER_ASSIGN(
      std::shared_ptr<const io::ReadFile> file,
      root_is_folder_ ? io::open_beneath(files_, root_, entry.path) : files_.open_read(root_));
  if (file->bytes() < entry.bytes)
    return fail(Error(ErrorCode::kIo, "the file became shorter since it was examined")
                    .at_path(path_of(entry))
                    .wanted(std::to_string(entry.bytes) + " bytes",
                            std::to_string(file->bytes()) + " bytes"));
  open_.push_front({number, file});
  if (open_.size() > kOpenMax) open_.pop_back();
  return file;
}

}  // namespace kilter::flow

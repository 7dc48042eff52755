#include "store/place/cache_folder.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "io/file_system.h"

namespace kilter::store {

std::string environment_text(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? "" : value;
}

std::string cache_folder_of_environment() {
  if (std::string own = environment_text("KILTER_CACHE"); !own.empty()) return own;
  if (const std::string xdg = environment_text("XDG_CACHE_HOME"); xdg.starts_with('/'))
    return io::join_path(xdg, "kilter");
  const std::string home = environment_text("HOME");
  return home.starts_with('/') ? io::join_path(home, ".cache/kilter") : "";
}

void make_private_folders(const std::string& path) {
  if (io::real_file_system().stat(path)) return;
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1))
    static_cast<void>(::mkdir(path.substr(0, slash).c_str(), 0700));
  static_cast<void>(::mkdir(path.c_str(), 0700));
}

}  // namespace kilter::store

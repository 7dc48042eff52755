#include "io/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <string_view>
#include <utility>
#include <vector>

namespace kilter::io {
namespace {

constexpr int kSymlinksMax = 40;  // as the kernel counts them
constexpr int kTriesMax = 16;     // of openat2 while somebody renames folders
constexpr std::size_t kPartsMax = PATH_MAX;

/// Puts the parts of `path` on the stack, first part on top.
void push_parts(std::string_view path, std::vector<std::string>& stack) {
  std::size_t end = path.size();
  while (end > 0) {
    const std::size_t slash = path.rfind('/', end - 1);
    const std::size_t begin = slash == std::string_view::npos ? 0 : slash + 1;
    if (begin < end) stack.emplace_back(path.substr(begin, end - begin));
    if (slash == std::string_view::npos) return;
    end = slash;
  }
}

/// One walk: the folders entered so far and the parts still to go.
class Walk {
 public:
  Walk(int root_fd, std::string_view name) : root_fd_(root_fd) { push_parts(name, todo_); }

  BeneathResult run(int flags) {
    while (!todo_.empty()) {
      const std::string part = std::move(todo_.back());
      todo_.pop_back();
      if (part == ".") continue;
      if (part == "..") {
        if (folders_.empty()) return {{}, EXDEV};
        folders_.pop_back();
        continue;
      }
      bool opened = false;
      if (auto result = step(part, flags, opened); opened || result.error_number != 0)
        return result;
    }
    return {{}, EISDIR};
  }

 private:
  int here() const { return folders_.empty() ? root_fd_ : folders_.back().get(); }

  BeneathResult step(const std::string& part, int flags, bool& opened) {
    UniqueFd entry(::openat(here(), part.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!entry) return {{}, errno};
    struct stat info{};
    if (::fstat(entry.get(), &info) != 0) return {{}, errno};
    if (S_ISLNK(info.st_mode)) return {{}, follow(entry.get())};
    if (!todo_.empty()) {
      if (!S_ISDIR(info.st_mode)) return {{}, ENOTDIR};
      folders_.push_back(std::move(entry));
      return {};
    }
    // O_NOFOLLOW again: what was no symlink a moment ago may be one by now.
    opened = true;
    UniqueFd fd(::openat(here(), part.c_str(), flags | O_NOFOLLOW));
    const int number = fd ? 0 : errno;
    return {std::move(fd), number};
  }

  int follow(int link_fd) {
    if (++symlink_count_ > kSymlinksMax || todo_.size() > kPartsMax) return ELOOP;
    std::array<char, PATH_MAX> target{};
    const ssize_t count = ::readlinkat(link_fd, "", target.data(), target.size());
    if (count < 0) return errno;
    const std::string_view path(target.data(), static_cast<std::size_t>(count));
    if (path.empty()) return ENOENT;
    if (path.front() == '/') return EXDEV;
    push_parts(path, todo_);
    return 0;
  }

  int root_fd_;
  int symlink_count_ = 0;
  std::vector<std::string> todo_;
  std::vector<UniqueFd> folders_;
};

}  // namespace

BeneathResult open_beneath_kernel(int root_fd, const std::string& name, int flags) {
  struct open_how how{};
  how.flags = static_cast<unsigned>(flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  int number = EAGAIN;
  for (int i = 0; i < kTriesMax && (number == EAGAIN || number == EINTR); ++i) {
    const long fd = ::syscall(SYS_openat2, root_fd, name.c_str(), &how, sizeof how);
    if (fd >= 0) return {UniqueFd(static_cast<int>(fd)), 0};
    number = errno;
  }
  return {{}, number};
}

BeneathResult open_beneath_walk(int root_fd, const std::string& name, int flags) {
  return Walk(root_fd, name).run(flags);
}

}  // namespace kilter::io

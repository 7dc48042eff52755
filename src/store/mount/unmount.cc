#include <fmt/format.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/try.h"
#include "io/os_error.h"
#include "store/mount/mount.h"

extern char** environ;

namespace kilter::store {
namespace {

constexpr long kFuseMagic = 0x65735546;  // FUSE_SUPER_MAGIC of the kernel

/// Those who are not root may unmount only through FUSE's own helper.
Status ask_helper(const std::string& folder) {
  std::string program = "fusermount3";
  std::string flag = "-u";
  std::string end = "--";
  std::string target = folder;
  std::array<char*, 5> argv = {program.data(), flag.data(), end.data(), target.data(), nullptr};
  pid_t pid = -1;
  if (::posix_spawnp(&pid, program.c_str(), nullptr, nullptr, argv.data(), environ) != 0)
    return fail(Error(ErrorCode::kUnsupported, "fusermount3 cannot be run")
                    .at_path(folder)
                    .advise("install FUSE 3, on Debian `apt install fuse3`"));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (status == 0) return ok();
  return fail(Error(ErrorCode::kIo, "fusermount3 could not unmount it").at_path(folder));
}

}  // namespace

Status unmount_store(const std::string& folder) {
  struct statfs info{};
  // Where the serving process has died, the system answers ENOTCONN.
  const bool dead = ::statfs(folder.c_str(), &info) != 0;
  if (dead && errno != ENOTCONN) return fail(io::os_error(errno, "look up", folder));
  if (!dead && info.f_type != kFuseMagic)
    return fail(Error(ErrorCode::kInvalidArgument, "no store is mounted here").at_path(folder));
  if (::umount2(folder.c_str(), UMOUNT_NOFOLLOW) == 0) return ok();
  if (errno == EPERM) return ask_helper(folder);
  const bool busy = errno == EBUSY;
  Error error = io::os_error(errno, "unmount", folder);
  if (busy) error.hint = "a program still uses it";
  return fail(std::move(error));
}

}  // namespace kilter::store

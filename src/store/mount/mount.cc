#include "store/mount/mount.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>

#include "base/thread_pool.h"
#include "base/try.h"
#include "store/address.h"
#include "store/mount/fuse_calls.h"

namespace kilter::store {
namespace {

constexpr unsigned kServingThreadsMin = 4;
constexpr unsigned kServingThreadsMax = 16;
constexpr std::chrono::milliseconds kCancelLook{200};
constexpr std::chrono::seconds kFarewell{2};

/// What libfuse says, for our error: it would print it otherwise.
std::string& fuse_complaint() {
  static std::string text;
  return text;
}

void note_complaint(fuse_log_level, const char* format, va_list arguments) {
  std::array<char, 512> text{};
  std::vsnprintf(text.data(), text.size(), format, arguments);
  fuse_complaint() = text.data();
  while (fuse_complaint().ends_with('\n')) fuse_complaint().pop_back();
}

/// One mount. Shared with its threads: they may outlive a mount that is torn down while in use.
class FuseSession {
 public:
  FuseSession(const FuseLibrary& library, std::unique_ptr<MountTree> tree,
              const MountRequest& request)
      : library_(library),
        tree_(std::move(tree)),
        server_{library, *tree_, ::getuid(), ::getgid(), request.on_fault} {}
  FuseSession(const FuseSession&) = delete;
  FuseSession& operator=(const FuseSession&) = delete;
  ~FuseSession() {
    if (session_ != nullptr) library_.session_destroy(session_);
  }

  Status mount(const std::string& folder, bool allow_other) {
    if (library_.set_log_func != nullptr) library_.set_log_func(note_complaint);
    std::string options = "ro,default_permissions,fsname=kilter,subtype=kilter";
    if (allow_other) options += ",allow_other";
    std::string program = "kilter";
    std::string flag = "-o";
    std::array<char*, 4> argv = {program.data(), flag.data(), options.data(), nullptr};
    fuse_args arguments = FUSE_ARGS_INIT(3, argv.data());
    const fuse_lowlevel_ops calls = fuse_calls();
    session_ = library_.session_new(&arguments, &calls, sizeof calls, &server_);
    library_.opt_free_args(&arguments);
    if (session_ == nullptr) return refused(folder);
    if (library_.session_mount(session_, folder.c_str()) != 0) return refused(folder);
    return ok();
  }

  /// One of the threads that answer. Several may receive at once.
  void serve() {
    fuse_buf buffer{};
    while (library_.session_exited(session_) == 0) {
      const int received = library_.session_receive_buf(session_, &buffer);
      if (received == -EINTR) continue;
      if (received <= 0) break;
      library_.session_process_buf(session_, &buffer);
    }
    std::free(buffer.mem);
    const std::lock_guard guard(mutex_);
    --serving_;
    ended_.notify_all();
  }

  void begin(const std::shared_ptr<FuseSession>& self) {
    const unsigned count =
        std::clamp(2 * usable_cpu_count(), kServingThreadsMin, kServingThreadsMax);
    serving_ = count;
    for (unsigned i = 0; i < count; ++i) std::thread([self] { self->serve(); }).detach();
  }

  /// True once nobody serves any more.
  template <typename Duration>
  bool wait(Duration duration) {
    std::unique_lock guard(mutex_);
    return ended_.wait_for(guard, duration, [&] { return serving_ == 0; });
  }

  void unmount() {
    library_.session_exit(session_);
    library_.session_unmount(session_);
  }

 private:
  static Status refused(const std::string& folder) {
    const bool no_device = ::access("/dev/fuse", R_OK | W_OK) != 0;
    const std::string why = fuse_complaint().empty() ? "FUSE refused the mount" : fuse_complaint();
    Error error(no_device ? ErrorCode::kUnsupported : ErrorCode::kPermission, why);
    return fail(std::move(error).at_path(folder).advise(
        no_device ? "/dev/fuse cannot be opened: load the module fuse, or give the container the "
                    "device"
                  : "the folder must be yours, and fusermount3 (Debian package fuse3) be there"));
  }

  const FuseLibrary& library_;
  std::unique_ptr<MountTree> tree_;
  FuseServer server_;
  fuse_session* session_ = nullptr;
  std::mutex mutex_;
  std::condition_variable ended_;
  unsigned serving_ = 0;
};

Status check_folder(const std::string& folder) {
  KILTER_ASSIGN(const io::FileStat info, io::real_file_system().stat(folder));
  if (info.kind == io::FileKind::kFolder) return ok();
  return fail(Error(ErrorCode::kInvalidArgument, "is no folder").at_path(folder));
}

}  // namespace

Status mount_store(const MountRequest& request) {
  KILTER_ASSIGN(const FuseLibrary* library, fuse_library());
  KILTER_TRY(check_folder(request.folder));
  KILTER_ASSIGN(auto store, open_store(request.store));
  KILTER_ASSIGN(auto tree, MountTree::make(std::move(store), request.options));
  const auto session = std::make_shared<FuseSession>(*library, std::move(tree), request);
  KILTER_TRY(session->mount(request.folder, request.allow_other));
  session->begin(session);
  if (request.on_ready) request.on_ready();
  while (!session->wait(kCancelLook)) {
    if (request.context.check()) continue;
    session->unmount();
    // Programs may still have files open; they get errors once this process ends.
    static_cast<void>(session->wait(kFarewell));
    return ok();
  }
  session->unmount();
  return ok();
}

}  // namespace kilter::store

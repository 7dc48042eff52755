// kilter mount STORE DIR: a store as a folder of ordinary files.
#include "store/mount/mount.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/store_support.h"

namespace kilter::cli {

namespace {
namespace mount_command {

constexpr PositionalSpec kPositionals[] = {
    {"STORE", "The store; with --unmount the folder instead"},
    {"[DIR]", "An existing folder, best an empty one"}};
constexpr OptionSpec kOptions[] = {
    {"-f,--foreground", ValueKind::kFlag, "",
     "Stay until Ctrl-C or unmount, and print what goes wrong; otherwise go on in the background"},
    {"-u,--unmount", ValueKind::kFlag, "", "End the mount at a folder"},
    {"--allow-other", ValueKind::kFlag, "",
     "Other users may read too (not root: needs user_allow_other in /etc/fuse.conf)"},
    {"--max-memory", ValueKind::kBytes, "SIZE", "Memory for decoded chunks; default 512MiB"},
};

/// The paths are made whole: a process in the background belongs to no folder.
Result<store::MountRequest> make_request(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  if (arguments.positionals.size() != 2)
    return fail(
        Error(ErrorCode::kInvalidArgument, "where to mount it?").advise("kilter mount STORE DIR"));
  KILTER_ASSIGN(const auto address, require_store(arguments.positionals[0]));
  if (address.stated)
    return fail(Error(ErrorCode::kInvalidArgument, "a store is mounted whole")
                    .at_path(arguments.positionals[0])
                    .advise("leave out what follows the '@'"));
  store::MountRequest request;
  const bool remote = address.store.find("://") != std::string::npos;
  request.store = remote ? address.store : std::filesystem::absolute(address.store).string();
  request.folder = std::filesystem::absolute(arguments.positionals[1]).string();
  request.options.max_memory_bytes =
      arguments.bytes("max-memory", request.options.max_memory_bytes);
  request.allow_other = arguments.has("allow-other");
  request.context.cancel = invocation.context.cancel;
  return request;
}

void report_mounted(const Invocation& invocation, const store::MountRequest& request) {
  if (invocation.terminal.json) {
    print_json({{"mounted", request.store}, {"at", request.folder}});
  } else if (!invocation.terminal.quiet) {
    std::printf("%s is mounted at %s\n", escape_text(request.store).c_str(),
                escape_text(request.folder).c_str());
  }
  std::fflush(stdout);
}

/// A terminal that closes must not leave a dead mount behind: it ends as by Ctrl-C.
void end_with_terminal() {
  struct sigaction action{};
  if (::sigaction(SIGTERM, nullptr, &action) == 0) ::sigaction(SIGHUP, &action, nullptr);
}

int serve_here(const Invocation& invocation, store::MountRequest& request) {
  end_with_terminal();
  request.on_ready = [&] { report_mounted(invocation, request); };
  request.on_fault = [](const Error& error) {
    std::fprintf(stderr, "kilter: %s\n", error.text().c_str());
  };
  const Status served = store::mount_store(request);
  return served ? 0 : report_error(served.error(), invocation.terminal);
}

void leave_terminal() {
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (nothing >= 0) ::dup2(nothing, fd);
  static_cast<void>(::chdir("/") == 0);
}

/// A child serves. This process waits until files can be read, or returns the child's exit status.
int serve_behind(const Invocation& invocation, store::MountRequest& request) {
  std::array<int, 2> ends{};
  std::fflush(nullptr);
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return report_error(Error(ErrorCode::kIo, "no pipe can be made"), invocation.terminal);
  const pid_t child = ::fork();
  if (child < 0)
    return report_error(Error(ErrorCode::kIo, "no process can be started"), invocation.terminal);
  if (child == 0) {
    ::close(ends[0]);
    ::setsid();
    request.on_ready = [&] {
      leave_terminal();
      static_cast<void>(!::write(ends[1], "R", 1));
      ::close(ends[1]);
    };
    const Status served = store::mount_store(request);
    return served ? 0 : report_error(served.error(), invocation.terminal);
  }
  ::close(ends[1]);
  char ready = 0;
  ssize_t heard = -1;
  while ((heard = ::read(ends[0], &ready, 1)) < 0 && errno == EINTR) {
  }
  if (heard == 1) {
    report_mounted(invocation, request);
    return 0;
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 5;
}

int unmount(const Invocation& invocation) {
  const auto& folders = invocation.arguments.positionals;
  if (folders.size() != 1)
    return report_error(Error(ErrorCode::kInvalidArgument, "--unmount takes the folder alone"),
                        invocation.terminal);
  const Status done = store::unmount_store(folders[0]);
  if (!done) return report_error(done.error(), invocation.terminal);
  if (invocation.terminal.json) print_json({{"unmounted", folders[0]}});
  return 0;
}

int run(const Invocation& invocation) {
  if (invocation.arguments.has("unmount")) return unmount(invocation);
  auto request = make_request(invocation);
  if (!request) return report_error(request.error(), invocation.terminal);
  return invocation.arguments.has("foreground") ? serve_here(invocation, *request)
                                                : serve_behind(invocation, *request);
}

}  // namespace mount_command
}  // namespace

const CommandSpec kMountCommand = {
    .name = "mount",
    .summary = "Show a store as a folder of ordinary files",
    .description =
        "Every branch, tag, step and commit becomes a folder of the files that were saved, "
        "read-only "
        "and decoded as they are read: branches/main/…, tags/v1.0/…, steps/00001200/… (of the "
        "default branch; steps/1200 leads there too), commits/0123456789ab/…. Any program can read "
        "them, and map them into "
        "memory.\n"
        "A checkpoint that is saved meanwhile appears within a second. Below branches/ the folder "
        "then shows the new one, while files that are open stay as they are: use commits/ or "
        "tags/ for a state that holds still. Data that fails its check is an I/O error, never "
        "wrong bytes.",
    .positionals = mount_command::kPositionals,
    .options = mount_command::kOptions,
    .examples =
        "kilter mount runs.kilter /mnt/runs\n"
        "python -c 'import torch; torch.load(\"/mnt/runs/tags/v1.0/model.pt\", mmap=True)'\n"
        "kilter mount --unmount /mnt/runs\n"
        "kilter mount -f runs.kilter /mnt/runs   # until Ctrl-C, with what goes wrong",
    .exit_statuses =
        "0    mounted, or unmounted\n"
        "2    wrong usage, or nothing is mounted there\n"
        "3    the store is malformed or damaged; or FUSE 3 is not installed\n"
        "4    no such store or folder\n"
        "5    I/O error, or FUSE refused",
    .run = mount_command::run,
};

}  // namespace kilter::cli

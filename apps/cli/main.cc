// kilter: the command line. Parses, installs progress and Ctrl-C, runs one command.
#include <malloc.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/style.h"
#include "io/open_file_limit.h"

namespace kilter::cli {

namespace {

CancelToken cancel_token;

extern "C" void on_interrupt(int) { cancel_token.cancel(); }

void install_signals() {
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // a second Ctrl-C ends at once
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool wants_colour(const Arguments& arguments, int fd) {
  const std::string when = arguments.text("color", "auto");
  if (when != "auto") return when == "always";
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  if (no_color != nullptr && *no_color != '\0') return false;
  if (term != nullptr && std::string_view(term) == "dumb") return false;
  return isatty(fd) == 1;
}

Terminal make_terminal(const Arguments& arguments) {
  Terminal terminal;
  terminal.json = arguments.has("json") || arguments.text("format") == "json";
  terminal.quiet = arguments.has("quiet");
  terminal.colour_out = !terminal.json && wants_colour(arguments, STDOUT_FILENO);
  terminal.colour_err = wants_colour(arguments, STDERR_FILENO);
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
    terminal.width_columns = size.ws_col;
  return terminal;
}

/// Buffers of a few MiB come and go by the thousand: kept by the allocator they need no new pages,
/// whose zeroing costs more than many a kernel.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 28);
}

int run(int argc, const char* const* argv) {
  Parsed parsed = parse(argc, argv);
  if (parsed.exit_status >= 0) return parsed.exit_status;
  install_signals();
  keep_freed_memory();
  io::raise_open_file_limit();
  Invocation invocation;
  invocation.terminal = make_terminal(parsed.arguments);
  invocation.arguments = std::move(parsed.arguments);
  const std::unique_ptr<Progress> progress =
      make_progress(stderr, invocation.terminal.quiet || invocation.terminal.json);
  invocation.context.progress = progress.get();
  invocation.context.cancel = &cancel_token;
  return parsed.command->run(invocation);
}

}  // namespace

int report_error(const Error& error, const Terminal& terminal) {
  if (terminal.json) {
    std::printf("%s\n", dump_json(error_to_json(error)).c_str());
  } else {
    const Style style(terminal.colour_err);
    std::fprintf(stderr, "%s %s\n", style.bad("kilter:").c_str(), error.text().c_str());
  }
  return error_row(error.code).exit_status;
}

}  // namespace kilter::cli

int main(int argc, char** argv) {
  try {
    const int status = kilter::cli::run(argc, argv);
    // A full disk or a closed pipe behind standard output is not success.
    const bool written = std::fflush(stdout) == 0;
    std::fflush(stderr);
    std::_Exit(written || status != 0 ? status : 5);  // static destructors have nothing to save
  } catch (const std::bad_alloc&) {
    std::fputs("kilter: out of memory\n", stderr);
    return 5;
  }
}

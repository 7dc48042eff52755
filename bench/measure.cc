// Runs a command and says what the operating system counted for it.
//
// measure REPORT COMMAND [ARG...]: the command keeps standard output; REPORT gets one JSON object
// {"seconds", "rss_bytes", "cpu_seconds"}. A program of its own because a child's peak memory
// includes that of the process it was forked from, and a Python with torch is large.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: measure REPORT COMMAND [ARG...]\n", stderr);
    return 2;
  }
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    execvp(argv[2], argv + 2);
    _exit(127);
  }
  int status = 0;
  struct rusage usage{};
  if (child < 0 || wait4(child, &status, 0, &usage) != child) return 1;
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto in_seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  std::FILE* report = std::fopen(argv[1], "w");
  if (report == nullptr) return 1;
  std::fprintf(report, "{\"seconds\": %.6f, \"rss_bytes\": %lld, \"cpu_seconds\": %.6f}\n", seconds,
               static_cast<long long>(usage.ru_maxrss) * 1024,
               in_seconds(usage.ru_utime) + in_seconds(usage.ru_stime));
  std::fclose(report);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

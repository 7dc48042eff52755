#include "cli/evaluation.h"

#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <nlohmann/json.hpp>

#include "base/try.h"

namespace kilter::cli {
namespace {

constexpr std::size_t kEvaluationLineBytesMax = 1 << 20;

/// 'text', safe for a POSIX shell.
std::string shell_quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string with_address(std::string command, const std::string& address) {
  const std::string quoted = shell_quoted(address);
  for (std::size_t at = 0; (at = command.find("{}", at)) != std::string::npos; at += quoted.size())
    command.replace(at, 2, quoted);
  return command;
}

/// Keeps the last line that is a number or JSON, and never more than one line besides.
class ResultLine {
 public:
  void add(const char* text, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      if (text[i] == '\n')
        end_line();
      else if (line_.size() <= kEvaluationLineBytesMax)
        line_ += text[i];
    }
  }
  std::string take() {
    end_line();
    return std::move(result_);
  }

 private:
  void end_line() {
    if (line_.size() <= kEvaluationLineBytesMax)
      if (const auto value = parse_json(line_)) result_ = dump_json(*value, -1);
    line_.clear();
  }
  std::string line_, result_;
};

int status_of(int waited) {
  if (WIFEXITED(waited)) return WEXITSTATUS(waited);
  return WIFSIGNALED(waited) ? 128 + WTERMSIG(waited) : 1;
}

Json evaluation_json(const Evaluation& one) {
  Json out = {{"address", one.address}, {"exit_status", one.exit_status}};
  if (auto result = parse_json(one.result); result && !one.result.empty())
    out["result"] = *std::move(result);
  out["seconds"] = one.seconds;
  return out;
}

}  // namespace

Result<Evaluation> run_evaluation(const std::string& command, const std::string& address) {
  Evaluation out;
  out.address = address;
  ::setenv("KILTER_MODEL", address.c_str(), 1);
  std::fflush(nullptr);
  const auto begin = std::chrono::steady_clock::now();
  std::FILE* const pipe = ::popen(with_address(command, address).c_str(), "re");
  if (pipe == nullptr)
    return fail(ErrorCode::kIo,
                std::string("the evaluation cannot be started: ") + std::strerror(errno));
  ResultLine result;
  std::array<char, 4096> text;
  for (std::size_t count = 0; (count = std::fread(text.data(), 1, text.size(), pipe)) > 0;)
    result.add(text.data(), count);
  out.exit_status = status_of(::pclose(pipe));
  out.result = result.take();
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return out;
}

Result<Evaluations> evaluate_both(const std::string& command, const std::string& before,
                                  const std::string& after) {
  Evaluations out;
  out.command = command;
  KILTER_ASSIGN(out.before, run_evaluation(command, before));
  KILTER_ASSIGN(out.after, run_evaluation(command, after));
  return out;
}

Json evaluations_json(const Evaluations& evaluations) {
  return {{"command", evaluations.command},
          {"before", evaluation_json(evaluations.before)},
          {"after", evaluation_json(evaluations.after)}};
}

}  // namespace kilter::cli

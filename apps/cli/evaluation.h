// The user's own evaluation, run on a checkpoint.
#pragma once

#include <string>

#include "base/json.h"

namespace kilter::cli {

struct Evaluation {
  std::string address;
  int exit_status = 0;  ///< of the shell; 128 + N where signal N ended it
  double seconds = 0;
  std::string result;  ///< JSON: the last line of its output that is a number or JSON; "" if none
};

/// Runs `command` through the shell, with `{}` as the quoted address and KILTER_MODEL as the
/// address. Its standard output is read, its standard error is the user's. Errors: kIo if no
/// process can be started.
Result<Evaluation> run_evaluation(const std::string& command, const std::string& address);

/// Before and after. `failed` if one of them did not exit with 0.
struct Evaluations {
  std::string command;
  Evaluation before, after;
  bool failed() const { return before.exit_status != 0 || after.exit_status != 0; }
};
Result<Evaluations> evaluate_both(const std::string& command, const std::string& before,
                                  const std::string& after);

/// The key "evaluation" of spec/cli-json.md.
Json evaluations_json(const Evaluations& evaluations);

}  // namespace kilter::cli

// kilter verify: is it whole? Owned by the floor `ops`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kilter/convert.h"

namespace kilter {

struct VerifyOptions {
  bool numbers = false;     ///< count NaN and Inf in every tensor
  std::string rescue_path;  ///< not empty: write what is intact there
  ConvertOptions rescue;    ///< how to write it
  RunContext context;
};

struct NumberCount {
  std::string tensor;
  std::uint64_t nan_count = 0;
  std::uint64_t inf_count = 0;
};

struct VerifyReport {
  std::string path;
  std::string format;
  bool sound = false;  ///< no finding above a note
  std::vector<Finding> findings;
  std::uint64_t tensor_count = 0;
  std::uint64_t checked_bytes = 0;
  std::vector<NumberCount> numbers;  ///< tensors with at least one, when asked
  std::vector<std::string> rescued;  ///< tensors written
  std::vector<std::string> lost;     ///< tensors that could not be
  std::optional<ConvertReport> rescue;
};

/// Errors: as open_checkpoint() when nothing can be said at all; damage is a report.
Result<VerifyReport> verify(const std::string& address, const VerifyOptions& options = {});
std::string verify_json(const VerifyReport& report);

}  // namespace kilter

// Findings with a ceiling: a hostile archive may hold millions of lies.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kilter/finding.h"

namespace kilter::zip {

/// The parts in a row. (GCC 12 warns wrongly about `"literal" + std::string`.)
std::string cat(std::initializer_list<std::string_view> parts);
/// "0x1f".
std::string hex_text(std::uint64_t value);

class FindingList {
 public:
  FindingList(std::vector<Finding>* findings, std::size_t count_max, std::string path)
      : findings_(findings), count_max_(count_max), path_(std::move(path)) {}

  /// `member` may be empty: the finding then is about the archive itself.
  void add(std::string_view rule, Severity severity, std::string_view member, std::string message,
           std::string evidence = {}, std::optional<std::uint64_t> offset_bytes = {});

 private:
  std::vector<Finding>* findings_;
  std::size_t count_max_;
  std::string path_;
  std::size_t count_ = 0;
};

}  // namespace kilter::zip

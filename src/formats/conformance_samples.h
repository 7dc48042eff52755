// Small sound files, one or more for each row of the table of formats.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace kilter::formats::test {

struct Sample {
  std::string name;    ///< letters and digits
  std::string format;  ///< the row that must claim it
  std::string content;
  std::size_t tensor_count = 0;
  bool opens = true;  ///< false: recognized and scanned, but no checkpoint
  /// Further sound files the sample needs: what stands behind its path, and the content.
  std::vector<std::pair<std::string, std::string>> beside = {};
};

std::vector<Sample> samples();

}  // namespace kilter::formats::test

// Small sound files, one or more for each row of the table of formats.
#pragma once

#include <string>
#include <vector>

namespace kilter::formats::test {

struct Sample {
  std::string name;    ///< letters and digits
  std::string format;  ///< the row that must claim it
  std::string content;
  std::size_t tensor_count = 0;
  bool opens = true;  ///< false: recognized and scanned, but no checkpoint
};

std::vector<Sample> samples();

}  // namespace kilter::formats::test

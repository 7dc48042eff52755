#include "ops/rank_sinks.h"

#include <iterator>

#include "base/try.h"

namespace kilter::ops {

Result<std::vector<FileLayout>> RankSinks::layout(const Plan& plan) {
  if (rank_of_.size() != plan.outputs.size())
    return fail(ErrorCode::kInternal, "outputs and ranks differ in number");
  std::vector<FileLayout> out;
  for (std::size_t rank = 0; rank < inner_.size(); ++rank) {
    Plan part;
    part.verb = plan.verb;
    std::vector<std::size_t> numbers;
    for (std::size_t i = 0; i < rank_of_.size(); ++i) {
      if (rank_of_[i] != rank) continue;
      numbers.push_back(i);
      part.outputs.push_back(plan.outputs[i]);
    }
    if (numbers.empty()) continue;
    KILTER_ASSIGN(auto files, inner_[rank]->layout(part));
    for (FileLayout& file : files)
      for (Segment& segment : file.segments)
        if (segment.kind == SegmentKind::kOutput) segment.index = numbers[segment.index];
    std::move(files.begin(), files.end(), std::back_inserter(out));
  }
  return out;
}

}  // namespace kilter::ops

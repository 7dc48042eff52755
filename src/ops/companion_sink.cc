#include "ops/companion_sink.h"

#include "base/try.h"

namespace kilter::ops {

Result<std::vector<FileLayout>> CompanionSink::layout(const Plan& plan) {
  Plan inner_plan;
  inner_plan.verb = plan.verb;
  inner_plan.outputs.assign(
      plan.outputs.begin(),
      plan.outputs.begin() + static_cast<std::ptrdiff_t>(inner_output_count_));
  KILTER_ASSIGN(std::vector<FileLayout> inner_files, inner_->layout(inner_plan));

  // Companions come first: when the main file appears, they are already there.
  std::vector<FileLayout> files;
  for (const auto& [name, text] : texts_) {
    FileLayout file{name, {}};
    if (!text.empty()) file.segments.push_back({SegmentKind::kLiteral, text.size(), text, 0});
    files.push_back(std::move(file));
  }
  for (std::size_t i = inner_output_count_; i < plan.outputs.size(); ++i) {
    const PlanOutput& output = plan.outputs[i];
    files.push_back({output.name, {{SegmentKind::kOutput, output.bytes, "", i}}});
  }
  companion_count_ = files.size();
  for (FileLayout& file : inner_files) files.push_back(std::move(file));
  return files;
}

Status CompanionSink::fill_late(std::size_t file, std::size_t index, const OutputChecksums& crc32,
                                std::span<std::byte> out) {
  return inner_->fill_late(file - companion_count_, index, crc32, out);
}

}  // namespace kilter::ops

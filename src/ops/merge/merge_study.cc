#include "ops/merge/merge_study.h"

#include <algorithm>

#include "base/run_jobs.h"
#include "base/try.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

std::uint64_t study_width(DType dtype) { return dtype_row(dtype).bits / 8U; }

/// One progress over many calls of run_jobs().
class StudyProgress : public Progress {
 public:
  explicit StudyProgress(Progress* outer) : outer_(outer) {}
  void begin(std::string_view verb, std::uint64_t total_bytes) override {
    (void)verb;
    (void)total_bytes;
  }
  void update(std::uint64_t done_bytes) override {
    latest_ = before_ + done_bytes;
    if (outer_ != nullptr) outer_->update(latest_);
  }
  void end() override { before_ = latest_; }

 private:
  Progress* outer_;
  std::uint64_t before_ = 0, latest_ = 0;
};

/// Studies that run side by side: their passes together, until none wants another.
class StudyGroup {
 public:
  StudyGroup(std::span<const std::unique_ptr<MergeStudy>> studies, const MergePasses& passes,
             const RunContext& context)
      : studies_(studies), passes_(passes), context_(context) {}

  Result<std::vector<std::shared_ptr<const Kernel>>> run() {
    for (std::size_t i = 0; i < studies_.size(); ++i) active_.push_back(i);
    for (bool is_first = true; true; is_first = false) {
      KILTER_TRY(begin_passes());
      if (active_.empty()) break;
      KILTER_TRY(read_parts(is_first));
    }
    std::vector<std::shared_ptr<const Kernel>> out;
    for (const auto& study : studies_) {
      KILTER_ASSIGN(auto kernel, study->finish());
      out.push_back(std::move(kernel));
    }
    return out;
  }

 private:
  struct Part {
    const MergeStudy* study;
    std::size_t number;
    std::uint64_t first, count;
  };

  Status begin_passes() {
    std::vector<char> goes_on(active_.size());
    Jobs jobs{"measure", active_.size(), [](std::size_t) { return std::uint64_t{0}; }, {}};
    jobs.run = [&](std::size_t i) -> Status {
      KILTER_ASSIGN(const bool more, studies_[active_[i]]->next_pass());
      goes_on[i] = more ? 1 : 0;
      return ok();
    };
    KILTER_TRY(run_jobs(jobs, passes_.thread_count, context_));
    std::vector<std::size_t> rest;
    for (std::size_t i = 0; i < active_.size(); ++i)
      if (goes_on[i] != 0) rest.push_back(active_[i]);
    active_ = std::move(rest);
    return ok();
  }

  Status read_parts(bool is_first) {
    std::vector<Part> parts;
    for (const std::size_t i : active_) {
      const std::uint64_t step = studies_[i]->part_elements();
      const std::uint64_t elements = studies_[i]->reader().elements();
      for (std::uint64_t at = 0; at < elements; at += step)
        parts.push_back({studies_[i].get(), i, at, std::min(step, elements - at)});
    }
    Jobs jobs{"measure", parts.size(), {}, {}};
    jobs.bytes = [&](std::size_t i) {
      return is_first ? parts[i].count * parts[i].study->reader().element_bytes() : 0;
    };
    jobs.run = [&](std::size_t i) { return read_part(parts[i]); };
    return run_jobs(jobs, passes_.thread_count, context_);
  }

  Status read_part(const Part& part) const {
    MergeReader::Buffers buffers;
    const std::uint64_t step = part.study->block_elements();
    for (std::uint64_t at = 0; at < part.count; at += step) {
      KILTER_TRY(context_.check());
      const std::uint64_t some = std::min(step, part.count - at);
      KILTER_ASSIGN(
          const StudyBlock block,
          part.study->reader().read(part.first + at, static_cast<std::size_t>(some), buffers));
      KILTER_TRY(studies_[part.number]->add(block));
    }
    return ok();
  }

  std::span<const std::unique_ptr<MergeStudy>> studies_;
  const MergePasses& passes_;
  const RunContext& context_;
  std::vector<std::size_t> active_;
};

constexpr std::uint64_t kGroupInputBytes = 512U << 20;  // enough to keep every thread busy

/// How many studies from `first` on fit together.
std::size_t group_size(std::span<const std::unique_ptr<MergeStudy>> studies, std::size_t first,
                       std::uint64_t memory_bytes_max) {
  std::uint64_t memory = 0, input = 0;
  std::size_t count = 0;
  for (std::size_t i = first; i < studies.size(); ++i, ++count) {
    memory += studies[i]->memory_bytes();
    input += studies[i]->reader().elements() * studies[i]->reader().element_bytes();
    if (count > 0 && (memory > memory_bytes_max || input > kGroupInputBytes)) break;
  }
  return count;
}

}  // namespace

MergeReader::MergeReader(const TensorMerge& merge) {
  if (merge.base) inputs_.push_back(&*merge.base);
  for (const MergeTerm& term : merge.terms) inputs_.push_back(&term);
  for (const std::int64_t extent : merge.shape) elements_ *= static_cast<std::uint64_t>(extent);
}

std::uint64_t MergeReader::element_bytes() const {
  std::uint64_t out = 0;
  for (const MergeTerm* const input : inputs_) out += study_width(input->dtype);
  return out;
}

Result<StudyBlock> MergeReader::read(std::uint64_t first, std::size_t count,
                                     Buffers& buffers) const {
  buffers.bytes.resize(inputs_.size());
  buffers.views.resize(inputs_.size());
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const std::uint64_t width = study_width(inputs_[i]->dtype);
    const PlanInput& input = inputs_[i]->input;
    buffers.bytes[i].resize(static_cast<std::size_t>(count * width));
    KILTER_TRY(input.source->read_tensor(input.index, input.offset_bytes + first * width,
                                         buffers.bytes[i]));
    buffers.views[i] = buffers.bytes[i];
  }
  return StudyBlock{first, count, buffers.views};
}

void MergeReader::widen(const StudyBlock& block, std::size_t input, std::size_t at,
                        std::size_t count, double* out) const {
  const DType from = inputs_[input]->dtype;
  widen_floats(from, block.inputs[input].data() + at * study_width(from), count, out);
}

std::uint64_t MergeStudy::part_count() const {
  return (reader_.elements() + part_elements() - 1) / part_elements();
}

Result<std::vector<std::shared_ptr<const Kernel>>> run_studies(
    std::span<const std::unique_ptr<MergeStudy>> studies, const MergePasses& passes) {
  std::uint64_t total = 0;
  for (const auto& study : studies)
    total += study->reader().elements() * study->reader().element_bytes();
  StudyProgress progress(passes.context.progress);
  const RunContext context{&progress, passes.context.cancel};
  if (passes.context.progress != nullptr) passes.context.progress->begin("measure", total);
  std::vector<std::shared_ptr<const Kernel>> out;
  Status status;
  for (std::size_t first = 0; status && first < studies.size();) {
    const std::size_t count = group_size(studies, first, passes.max_memory_bytes / 4);
    auto kernels = StudyGroup(studies.subspan(first, count), passes, context).run();
    if (kernels)
      out.insert(out.end(), kernels->begin(), kernels->end());
    else
      status = fail(std::move(kernels).error());
    first += count;
  }
  if (passes.context.progress != nullptr) passes.context.progress->end();
  KILTER_TRY(std::move(status));
  return out;
}

}  // namespace kilter::ops

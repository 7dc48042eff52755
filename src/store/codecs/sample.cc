#include "store/codecs/sample.h"

namespace kilter::store {

SampleRuns::SampleRuns(std::size_t elements) {
  if (elements <= 2 * kSampleRuns * kSampleRunElements) {
    count = elements == 0 ? 0 : 1;
    run_elements = elements;
    return;
  }
  count = kSampleRuns;
  run_elements = kSampleRunElements;
  stride_elements = elements / kSampleRuns / 128 * 128;
}

std::vector<std::byte> take_sample(Bytes plain, std::size_t element_bytes) {
  const SampleRuns runs(plain.size() / element_bytes);
  std::vector<std::byte> out;
  out.reserve(runs.elements() * element_bytes);
  for (std::size_t i = 0; i < runs.count; ++i) {
    const Bytes run =
        plain.subspan(i * runs.stride_elements * element_bytes, runs.run_elements * element_bytes);
    out.insert(out.end(), run.begin(), run.end());
  }
  return out;
}

}  // namespace kilter::store

// Pickles: the machine, the judgement and the lifting end on every input, within bounds; what opens
// is sound; and what the scan calls safe names nothing that the tables do not know.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "formats/pickle/lift.h"
#include "formats/pickle/machine.h"
#include "formats/pickle/pickle_format.h"
#include "formats/pickle/rules.h"
#include "formats/pickle/scan.h"

namespace {

namespace pickle = kilter::pickle;

void check(bool holds) {
  if (!holds) std::abort();
}

pickle::Limits small_limits() {
  pickle::Limits limits;
  limits.node_count_max = 200'000;
  limits.text_bytes_max = 16 << 20;
  limits.memo_count_max = 100'000;
  limits.stack_depth_max = 100'000;
  limits.opcode_count_max = 1'000'000;
  return limits;
}

bool scans_safe(kilter::Bytes bytes) {
  pickle::ScanContext context;
  context.path = "fuzz.pkl";
  context.limits = small_limits();
  std::vector<kilter::Finding> findings;
  const std::uint64_t end = pickle::scan_pickles(bytes, 1000, context, &findings);
  check(end >= 1000 && end <= 1000 + bytes.size());
  bool safe = true;
  for (const kilter::Finding& finding : findings) {
    check(!finding.rule.empty() && !finding.message.empty());
    safe = safe && finding.severity == kilter::Severity::kNote;
  }
  return safe;
}

void check_safe(const pickle::Graph& graph) {
  for (const pickle::Event& event : graph.events) {
    check(event.kind != pickle::EventKind::kExtension);
    check(event.kind != pickle::EventKind::kComputedName);
    if (event.kind != pickle::EventKind::kGlobal) continue;
    const pickle::PythonName name = pickle::python_name(graph[event.node]);
    check(pickle::find_safe(name.module, name.name).has_value());
  }
}

void check_lifted(const pickle::Graph& graph, pickle::NodeId root, std::size_t file_bytes) {
  kilter::CheckpointData data;
  data.index.files = {{"fuzz.pkl", file_bytes}};
  if (!pickle::lift(graph, root, nullptr, &data)) return;
  (void)data.index.validate();  // shapes beyond 63 bits are its business
  std::unordered_set<std::string> names;
  for (const kilter::TensorInfo& tensor : data.index.tensors) {
    check(!tensor.name.empty());
    check(names.insert(tensor.name).second);
  }
  for (const auto& [name, first] : data.ties) check(names.contains(name) && names.contains(first));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const kilter::Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  pickle::Limits limits = small_limits();
  for (const bool joblib : {false, true}) {
    limits.joblib_arrays = joblib;
    pickle::Graph graph;
    const pickle::Stream stream = pickle::run_stream(bytes, 0, limits, &graph);
    check(stream.end_bytes <= size);
    check(stream.stopped == !stream.error.has_value());
    for (const pickle::Event& event : graph.events) {
      if (event.node != pickle::kNoNode) {
        check(pickle::render(graph, event.node, 100).size() <= 420);
      }
    }
    if (stream.stopped) check_lifted(graph, stream.result, size);
    if (!joblib && stream.stopped && stream.end_bytes == size && scans_safe(bytes)) {
      check_safe(graph);
    }
  }
  scans_safe(bytes);

  kilter::formats::Probe probe;
  probe.path = "fuzz.pkl";
  probe.bytes = size;
  probe.head.assign(bytes.begin(), bytes.end());
  probe.tail = probe.head;
  const int score = kilter::formats::pickle_format().detect(probe).score;
  check(score >= 0 && score <= 100);
  return 0;
}

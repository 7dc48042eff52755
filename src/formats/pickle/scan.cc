#include "formats/pickle/scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "formats/pickle/joblib.h"
#include "formats/pickle/judge.h"
#include "formats/pickle/opcodes.h"
#include "formats/pickle/sweep.h"

namespace kilter::pickle {
namespace {

constexpr std::uint64_t kStreamCountMax = 100'000;

bool is_padding(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) {
    return b == std::byte{0} || b == std::byte{'\n'} || b == std::byte{'\r'} || b == std::byte{' '};
  });
}

class Scanner {
 public:
  Scanner(Bytes bytes, std::uint64_t base, const ScanContext& context,
          std::vector<Finding>* findings)
      : bytes_(bytes), base_(base), context_(context), findings_(*findings) {}

  std::uint64_t run(int expected_stream_count) {
    for (std::uint64_t count = 1;; ++count) {
      const bool going = run_one();
      const bool enough =
          expected_stream_count > 0 && count >= static_cast<std::uint64_t>(expected_stream_count);
      if (!going || enough || position_ == bytes_.size()) break;
      if (expected_stream_count == 0 && !another_begins()) break;
      if (count == kStreamCountMax) {
        add("pickle.limit", Severity::kSuspicious,
            fmt::format("more than {} pickles in one file: the rest was not judged", count));
        break;
      }
    }
    return base_ + position_;
  }

 private:
  Bytes rest() const { return bytes_.subspan(position_); }

  /// Runs and judges the pickle at position_. False where it broke.
  bool run_one() {
    Graph graph;
    Stream stream = run_stream(rest(), base_ + position_, context_.limits, &graph);
    const std::uint64_t wrapper = first_joblib_array(graph);
    if (wrapper != kNone) {
      // Plain unpicklers take the arrays for opcodes; what that would call counts as well.
      report_dangers_behind(graph, wrapper);
      Limits limits = context_.limits;
      limits.joblib_arrays = true;
      graph = {};
      stream = run_stream(rest(), base_ + position_, limits, &graph);
    }
    judge_graph(graph, context_, &findings_);
    sweep_bad_frames(graph);
    position_ = static_cast<std::size_t>(stream.end_bytes - base_);
    if (stream.stopped) return true;
    sweep(rest_after_fault(stream), "a loader that reads on behind the fault");
    return false;
  }

  static constexpr std::uint64_t kNone = UINT64_MAX;

  static std::uint64_t first_joblib_array(const Graph& graph) {
    for (const Event& event : graph.events) {
      if (event.kind == EventKind::kBuild && is_joblib_wrapper(graph, event.node)) {
        return event.offset_bytes;
      }
    }
    return kNone;
  }

  void report_dangers_behind(const Graph& graph, std::uint64_t offset_bytes) {
    std::vector<Finding> plain;
    judge_graph(graph, context_, &plain);
    for (Finding& finding : plain) {
      const bool behind = finding.offset_bytes.value_or(0) > offset_bytes;
      // Raw bytes often compute something; only a dangerous name says that somebody meant it.
      const bool named = finding.rule.starts_with("pickle.dangerous-");
      if (behind && named) {
        findings_.push_back(std::move(finding));
      }
    }
  }

  /// The opcode that broke, and everything behind it.
  Bytes rest_after_fault(const Stream& stream) const {
    const std::uint64_t fault =
        stream.error ? stream.error->offset_bytes.value_or(stream.end_bytes) : stream.end_bytes;
    return bytes_.subspan(static_cast<std::size_t>(std::min(fault, stream.end_bytes) - base_));
  }

  /// Where a frame ends inside an argument, some unpicklers skip bytes that others read as text.
  void sweep_bad_frames(const Graph& graph) {
    const auto bad = std::find_if(graph.events.begin(), graph.events.end(), [](const Event& event) {
      return event.kind == EventKind::kFrameFault;
    });
    if (bad == graph.events.end()) return;
    sweep(bytes_.subspan(static_cast<std::size_t>(bad->offset_bytes - base_)),
          "an unpickler that treats frames in another way");
  }

  void sweep(Bytes bytes, std::string_view who) {
    const std::uint64_t offset = base_ + static_cast<std::uint64_t>(bytes.data() - bytes_.data());
    sweep_pickles(bytes, offset, who, context_, &findings_);
  }

  /// Decides what the bytes behind a STOP are. True if they are another pickle.
  bool another_begins() {
    if (is_padding(rest())) {
      add("pickle.padding", Severity::kNote,
          fmt::format("{} padding bytes follow the pickle", rest().size()));
      return false;
    }
    if (begins_like_pickle(rest())) return true;
    add("pickle.trailing-bytes", Severity::kSuspicious,
        fmt::format("{} bytes that are no pickle follow the pickle", rest().size()));
    sweep(rest(), "a loader that is called again on the same file");
    return false;
  }

  void add(const char* rule, Severity severity, std::string message) {
    Finding& finding = findings_.emplace_back();
    finding.rule = rule;
    finding.severity = severity;
    finding.path = context_.path;
    finding.offset_bytes = base_ + position_;
    finding.message = std::move(message);
  }

  Bytes bytes_;
  std::uint64_t base_;
  const ScanContext& context_;
  std::vector<Finding>& findings_;
  std::size_t position_ = 0;
};

}  // namespace

std::uint64_t scan_pickles(Bytes bytes, std::uint64_t file_offset_bytes, const ScanContext& context,
                           std::vector<Finding>* findings, int expected_stream_count) {
  return Scanner(bytes, file_offset_bytes, context, findings).run(expected_stream_count);
}

}  // namespace kilter::pickle

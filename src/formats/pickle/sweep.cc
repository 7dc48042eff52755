#include "formats/pickle/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "formats/pickle/judge.h"
#include "formats/pickle/opcodes.h"

namespace kilter::pickle {
namespace {

constexpr int kTrialsMax = 64;
constexpr std::size_t kHiddenMax = 20;
constexpr std::size_t kNameBytesMax = 200;
constexpr std::size_t kModuleBytesMax = 64;

Limits trial_limits() {
  Limits limits;
  limits.opcode_count_max = 100'000;
  limits.node_count_max = 100'000;
  limits.memo_count_max = 100'000;
  limits.stack_depth_max = 100'000;
  limits.text_bytes_max = 16 << 20;
  return limits;
}

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.';
}

bool has_proto(Bytes bytes) {
  if (bytes.size() < 3 || std::to_integer<std::uint8_t>(bytes[0]) != kOpProto) return false;
  const auto protocol = std::to_integer<unsigned>(bytes[1]);
  return protocol <= static_cast<unsigned>(kProtocolMax) &&
         opcode_name(std::to_integer<std::uint8_t>(bytes[2])) != nullptr;
}

class Sweeper {
 public:
  Sweeper(Bytes bytes, std::uint64_t base, std::string_view who, const ScanContext& context,
          std::vector<Finding>* findings)
      : bytes_(bytes),
        text_(as_text(bytes)),
        base_(base),
        who_(who),
        context_(context),
        findings_(*findings) {}

  void run() {
    try_pickles();
    find_globals();
    find_stack_globals();
  }

 private:
  void try_pickles() {
    std::size_t at = 0;
    for (int trials = 0; trials < kTrialsMax; ++trials) {
      at = text_.find(static_cast<char>(kOpProto), at);
      while (at != std::string_view::npos && !has_proto(bytes_.subspan(at))) {
        at = text_.find(static_cast<char>(kOpProto), at + 1);
      }
      if (at == std::string_view::npos) return;
      at = std::max(at + 1, try_pickle(at));
    }
  }

  /// Returns where to go on.
  std::size_t try_pickle(std::size_t at) {
    Graph graph;
    const Stream stream = run_stream(bytes_.subspan(at), base_ + at, trial_limits(), &graph);
    std::vector<Finding> found;
    judge_graph(graph, context_, &found);
    bool any = false;
    for (Finding& finding : found) {
      if (finding.severity != Severity::kDangerous) continue;
      finding.message +=
          fmt::format(" (in a pickle at offset {} that only {} reaches)", base_ + at, who_);
      findings_.push_back(std::move(finding));
      any = true;
    }
    if (any) covered_ = std::max(covered_, static_cast<std::size_t>(stream.end_bytes - base_));
    return stream.stopped ? static_cast<std::size_t>(stream.end_bytes - base_) : at + 1;
  }

  /// Lines "…cMODULE" and "NAME": a GLOBAL or INST opcode in the middle of anything.
  void find_globals() {
    std::size_t line = covered_;
    while (line < text_.size() && hidden_ < kHiddenMax) {
      const std::size_t end = text_.find('\n', line);
      if (end == std::string_view::npos) return;
      const std::size_t name_end = text_.find('\n', end + 1);
      const std::size_t name_bytes = std::min(name_end, text_.size()) - end - 1;
      if (name_bytes > 0 && name_bytes <= kNameBytesMax) {
        judge_lines(line, end, text_.substr(end + 1, name_bytes));
      }
      line = end + 1;
    }
  }

  void judge_lines(std::size_t line, std::size_t end, std::string_view name) {
    if (!std::all_of(name.begin(), name.end(), is_name_char)) return;
    std::size_t begin = end;
    while (begin > line && end - begin < kModuleBytesMax && is_name_char(text_[begin - 1])) --begin;
    for (std::size_t at = begin; at + 1 < end; ++at) {
      if (text_[at] != kOpGlobal && text_[at] != kOpInst) continue;
      const std::string_view module = text_.substr(at + 1, end - at - 1);
      const DangerRule* const danger = find_danger(module, name);
      if (danger == nullptr || find_safe(module, name)) continue;
      report(at, module, name, *danger);
      return;
    }
  }

  /// Two short texts and STACK_GLOBAL, with or without MEMOIZE behind each.
  void find_stack_globals() {
    const char opcode = static_cast<char>(kOpStackGlobal);
    for (std::size_t at = text_.find(opcode, covered_);
         at != std::string_view::npos && hidden_ < kHiddenMax; at = text_.find(opcode, at + 1)) {
      std::size_t begin = at;
      const auto name = text_before(&begin);
      const auto module = name.empty() ? name : text_before(&begin);
      if (module.empty() || find_safe(module, name)) continue;
      const DangerRule* const danger = find_danger(module, name);
      if (danger != nullptr) report(begin, module, name, *danger);
    }
  }

  /// The text whose opcode ends at `*end`, which moves to the opcode's begin; empty if there is
  /// none.
  std::string_view text_before(std::size_t* end) const {
    std::size_t stop = *end;
    if (stop > 0 && text_[stop - 1] == static_cast<char>(kOpMemoize)) --stop;
    for (std::size_t size = 1; size <= kModuleBytesMax && size + 2 <= stop; ++size) {
      if (!is_name_char(text_[stop - size])) break;
      const std::size_t begin = stop - size;
      const auto stated = static_cast<unsigned char>(text_[begin - 1]);
      const bool is_short =
          stated == size && text_[begin - 2] == static_cast<char>(kOpShortBinUnicode);
      const bool is_long = size + 5 <= stop && text_[begin - 5] == kOpBinUnicode &&
                           static_cast<unsigned char>(text_[begin - 4]) == size;
      if (!is_short && !is_long) continue;
      *end = begin - (is_short ? 2 : 5);
      return text_.substr(begin, size);
    }
    return {};
  }

  void report(std::size_t at, std::string_view module, std::string_view name,
              const DangerRule& danger) {
    ++hidden_;
    Finding& finding = findings_.emplace_back();
    finding.rule = "pickle.hidden-name";
    finding.severity = Severity::kDangerous;
    finding.path = context_.path;
    finding.offset_bytes = base_ + at;
    finding.message =
        fmt::format("an opcode outside the pickle names {}.{}, which {}", module, name, danger.why);
    finding.evidence = fmt::format("{}.{}", module, name);
    finding.reachable = fmt::format("only {} reaches it", who_);
    finding.loaders = loaders_of(context_.wrapping);
  }

  Bytes bytes_;
  std::string_view text_;
  std::uint64_t base_;
  std::string_view who_;
  const ScanContext& context_;
  std::vector<Finding>& findings_;
  std::size_t covered_ = 0;
  std::size_t hidden_ = 0;
};

}  // namespace

bool begins_like_pickle(Bytes bytes) {
  if (has_proto(bytes)) return true;
  Limits limits = trial_limits();
  limits.opcode_count_max = 4096;
  Graph graph;
  return run_stream(bytes, 0, limits, &graph).stopped;
}

void sweep_pickles(Bytes bytes, std::uint64_t file_offset_bytes, std::string_view who,
                   const ScanContext& context, std::vector<Finding>* findings) {
  Sweeper(bytes, file_offset_bytes, who, context, findings).run();
}

}  // namespace kilter::pickle

#include "formats/pickle/pickle_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "base/try.h"
#include "formats/file_name.h"
#include "formats/findings.h"
#include "formats/pickle/joblib.h"
#include "formats/pickle/lift.h"
#include "formats/pickle/rules.h"
#include "formats/pickle/scan.h"
#include "formats/pickle/sweep.h"

namespace kilter::formats {
namespace {

using pickle::Graph;
using pickle::NodeId;
using pickle::Stream;

constexpr std::uint64_t kScanBytesMax = 2ULL << 30;
constexpr std::size_t kStreamCountMax = 10'000;

// What torch's legacy files begin with: the magic number as LONG1, or as text in protocols 0 and 1.
constexpr std::string_view kTorchMagic = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr std::string_view kTorchMagicText = "L119547037146038801333356L";

bool is_torch_legacy(std::string_view head) {
  return head.substr(0, 40).find(kTorchMagic) != std::string_view::npos ||
         head.starts_with(kTorchMagicText);
}

/// A text pickle that does not end within what was read must show more than its first opcodes.
bool says_something(const Graph& graph) {
  return std::any_of(graph.events.begin(), graph.events.end(), [&](const pickle::Event& event) {
    if (event.kind == pickle::EventKind::kCall) return true;
    if (event.kind != pickle::EventKind::kGlobal) return false;
    const pickle::PythonName name = pickle::python_name(graph[event.node]);
    return pickle::find_safe(name.module, name.name).has_value() ||
           pickle::find_danger(name.module, name.name) != nullptr;
  });
}

bool has_joblib_arrays(const Graph& graph) {
  return std::any_of(graph.events.begin(), graph.events.end(), [&](const pickle::Event& event) {
    return event.kind == pickle::EventKind::kBuild && pickle::is_joblib_wrapper(graph, event.node);
  });
}

/// Bytes of NumPy arrays stay in the file: it is the pickle.
class BareHooks final : public pickle::LiftHooks {
 public:
  Result<std::optional<StateId>> lift(pickle::Lifter&, NodeId) override {
    return std::optional<StateId>();
  }
  std::optional<std::uint32_t> verbatim_file() const override { return 0; }
};

Result<std::vector<std::byte>> read_whole(const io::ReadFile& file, std::uint64_t bytes_max) {
  if (file.bytes() > bytes_max) {
    return fail(Error(ErrorCode::kLimitExceeded, "the pickle is too large to be read into memory")
                    .at_path(file.path())
                    .wanted("at most " + format_bytes(bytes_max), format_bytes(file.bytes())));
  }
  std::vector<std::byte> out(static_cast<std::size_t>(file.bytes()));
  KILTER_TRY(file.read_at(0, out));
  return out;
}

/// All pickles of a file, one after the other.
struct Loaded {
  Graph graph;
  bool joblib = false;
  std::optional<Error> error;        // of the pickle that broke, if one did
  std::uint64_t trailing_bytes = 0;  // behind the last pickle
};

Loaded run_all(Bytes bytes, bool joblib) {
  Loaded out;
  out.joblib = joblib;
  pickle::Limits limits;
  limits.joblib_arrays = joblib;
  std::size_t at = 0;
  do {
    const Stream stream = pickle::run_stream(bytes.subspan(at), at, limits, &out.graph);
    at = static_cast<std::size_t>(stream.end_bytes);
    if (!joblib && has_joblib_arrays(out.graph)) return run_all(bytes, true);
    out.error = stream.error;
  } while (!out.error && at < bytes.size() && out.graph.streams.size() < kStreamCountMax &&
           pickle::begins_like_pickle(bytes.subspan(at)));
  out.trailing_bytes = bytes.size() - at;
  return out;
}

/// The value of the only pickle, or a list of the values of all. Of a broken one, with `lenient`,
/// whatever lay on the stack.
NodeId root_of(Loaded* loaded, bool lenient) {
  std::vector<NodeId> roots;
  for (const Stream& stream : loaded->graph.streams) {
    if (stream.stopped) roots.push_back(stream.result);
    if (stream.error && lenient) {
      roots.insert(roots.end(), stream.left_on_stack.begin(), stream.left_on_stack.end());
    }
  }
  if (roots.size() == 1) return roots.front();
  pickle::Node list;
  list.kind = pickle::NodeKind::kList;
  list.items = std::move(roots);
  loaded->graph.nodes.push_back(std::move(list));
  return static_cast<NodeId>(loaded->graph.nodes.size() - 1);
}

std::string detail_text(const Loaded& loaded) {
  const auto& streams = loaded.graph.streams;
  std::string out = fmt::format("protocol {}", streams.front().protocol);
  if (streams.size() > 1) out += fmt::format(", {} pickles", streams.size());
  if (loaded.joblib) out += ", joblib arrays";
  return out;
}

Finding trailing_finding(const std::string& path, std::uint64_t bytes, std::uint64_t file_bytes) {
  Finding out;
  out.rule = "pickle.trailing-bytes";
  out.severity = Severity::kSuspicious;
  out.path = path;
  out.offset_bytes = file_bytes - bytes;
  out.message = fmt::format("{} bytes that are no pickle follow the pickle", bytes);
  return out;
}

class PickleFormat final : public Format {
 public:
  std::string_view name() const override { return "pickle"; }
  std::string_view title() const override { return "pickle file"; }

  Detection detect(const Probe& probe) const override {
    const Bytes head(probe.head);
    if (probe.is_folder || head.empty() || is_torch_legacy(as_text(head))) return {};
    pickle::Limits limits;
    limits.opcode_count_max = 20'000;
    limits.node_count_max = 20'000;
    Graph graph;
    const Stream stream = pickle::run_stream(head, 0, limits, &graph);
    const bool cut =
        stream.error && (stream.error->code == ErrorCode::kLimitExceeded ||
                         (stream.end_bytes + 16 >= head.size()) || probe.bytes > probe.head.size());
    if (head.size() >= 3 && head[0] == std::byte{0x80} && pickle::begins_like_pickle(head)) {
      const std::string evidence = fmt::format("PROTO opcode, protocol {}", stream.protocol);
      if (stream.stopped) return {92, evidence + ", a whole pickle"};
      if (has_joblib_arrays(graph)) return {90, evidence + ", joblib arrays"};
      return {cut ? 85 : 40, evidence + (cut ? "" : ", broken")};
    }
    if (head[0] == std::byte{0x80}) return detect_broken(head);
    if (stream.stopped) return {60, "opcodes of a text pickle up to STOP"};
    if (says_something(graph))
      return {45, "opcodes of a text pickle that name a class or function"};
    return {};
  }

  Result<CheckpointData> open(const OpenArguments& arguments) const override {
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    KILTER_ASSIGN(const auto bytes, read_whole(*file, arguments.options.header_bytes_max));
    Loaded loaded = run_all(bytes, false);
    const bool lenient = arguments.options.lenient;
    if (loaded.error && !lenient) return fail(std::move(*loaded.error).at_path(arguments.path));

    CheckpointData data;
    data.format = name();
    data.format_detail = detail_text(loaded);
    data.root = arguments.path;
    data.index.files = {{file_name_of(arguments.path), file->bytes()}};
    if (loaded.error) {
      data.findings.push_back(
          finding_from({"pickle.malformed", *loaded.error}, Severity::kMalformed, arguments.path));
    } else if (loaded.trailing_bytes > 0) {
      data.findings.push_back(
          trailing_finding(arguments.path, loaded.trailing_bytes, file->bytes()));
    }
    BareHooks hooks;
    const NodeId root = root_of(&loaded, lenient);
    KILTER_TRY(pickle::lift(loaded.graph, root, &hooks, &data));
    KILTER_TRY(data.index.validate());
    return data;
  }

  Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    const auto opened = open({arguments.files, arguments.path, arguments.probe, {}});
    if (opened) {
      findings->insert(findings->end(), opened->findings.begin(), opened->findings.end());
      return ok();
    }
    return report(opened.error(), arguments.path, findings);
  }

  Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    KILTER_TRY(arguments.context.check());
    KILTER_ASSIGN(const auto file, arguments.files->open_read(arguments.path));
    const auto bytes = read_whole(*file, kScanBytesMax);
    if (!bytes) return report(bytes.error(), arguments.path, findings);
    pickle::ScanContext context;
    context.path = arguments.path;
    pickle::scan_pickles(*bytes, 0, context, findings);
    return ok();
  }

 private:
  /// Nothing runs from the first opcode on, but something further on may be meant to.
  static Detection detect_broken(Bytes head) {
    std::vector<Finding> findings;
    pickle::sweep_pickles(head, 0, "", {}, &findings);
    if (findings.empty()) return {};
    return {25, "PROTO opcode, broken, with opcodes that name something dangerous"};
  }

  /// Content that breaks the rules is a finding; a disk that cannot be read is an error.
  static Status report(const Error& error, const std::string& path,
                       std::vector<Finding>* findings) {
    const bool limit = error.code == ErrorCode::kLimitExceeded;
    const bool unsafe = error.code == ErrorCode::kUnsafe;
    if (!limit && !unsafe && error.code != ErrorCode::kMalformed &&
        error.code != ErrorCode::kUnsupported) {
      return fail(error);
    }
    findings->push_back(finding_from({limit ? "pickle.limit" : "pickle.malformed", error},
                                     severity_of(error.code), path));
    return ok();
  }
};

}  // namespace

const Format& pickle_format() {
  static const PickleFormat kFormat;
  return kFormat;
}

}  // namespace kilter::formats

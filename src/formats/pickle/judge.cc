#include "formats/pickle/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "formats/pickle/lift_numpy.h"
#include "formats/pickle/opcodes.h"

namespace kilter::pickle {
namespace {

constexpr std::uint64_t kAlikeMax = 20;     // findings of one rule about one name, each on its own
constexpr std::size_t kFindingsMax = 5000;  // of one file
constexpr int kNestedDepthMax = 4;          // of pickles inside pickles
constexpr int kLegacyStreamCount = 5;       // magic, protocol, system, object, keys

std::string evidence_of(const Graph& graph, NodeId node) { return render(graph, node, 300); }

class Judge {
 public:
  Judge(const Graph& graph, const ScanContext& context, std::vector<Finding>* findings)
      : graph_(graph), context_(context), names_(graph), book_(context, findings) {}

  void run() {
    called_.assign(graph_.nodes.size(), false);
    additions_.assign(graph_.nodes.size(), 0);
    for (const Event& event : graph_.events) {
      if (event.kind == EventKind::kCall) called_[callable_of(event.node)] = true;
    }
    for (const Event& event : graph_.events) judge_event(event);
    for (const Stream& stream : graph_.streams) judge_stream(stream);
    judge_texts();
  }

  /// Pickles inside pickles, found on the way.
  std::vector<NodeId> take_nested() { return std::move(nested_); }

 private:
  /// What the call `node` calls. torch before 1.6 wrote the class of a module as a persistent id
  /// ('module', class, file, source), in its tar files (class, file, source): loading gives back
  /// the class, so that is what is called.
  NodeId callable_of(NodeId node) const {
    const NodeId callable = graph_[node].items[0];
    if (graph_[callable].kind != NodeKind::kPersistentId) return callable;
    const Node& id = graph_[graph_[callable].items[0]];
    if (id.kind != NodeKind::kTuple) return callable;
    const bool legacy = context_.wrapping == Wrapping::kTorchLegacy && id.items.size() == 4 &&
                        graph_[id.items[0]].text == "module";
    const bool tar = context_.wrapping == Wrapping::kTorchTar && id.items.size() == 3;
    if (!legacy && !tar) return callable;
    const NodeId named = id.items[legacy ? 1 : 0];
    return names_.is_global(named) ? named : callable;
  }

  void judge_event(const Event& event) {
    switch (event.kind) {
      case EventKind::kGlobal:
        if (!called_[event.node]) judge_named(event);
        break;
      case EventKind::kCall:
        judge_call(event);
        break;
      case EventKind::kBuild:
        judge_build(event);
        break;
      case EventKind::kSetItemOnObject:
        judge_growth(event);
        break;
      case EventKind::kComputedName: {
        Finding* finding =
            book_.add("pickle.computed-name", Severity::kDangerous, event.offset_bytes, "",
                      "the name to import is put together while loading");
        finding->evidence = evidence_of(graph_, event.node);
        finding->reachable = reach(event, "imports it");
        finding->loaders = loaders_of(context_.wrapping);
        break;
      }
      case EventKind::kExtension: {
        Finding* finding = book_.add(
            "pickle.extension", Severity::kDangerous, event.offset_bytes, "",
            fmt::format("{} stands for a name that only the loading program knows", event.text));
        finding->reachable = reach(event, "imports it");
        finding->loaders = loaders_of(context_.wrapping);
        break;
      }
      case EventKind::kBuffer:
        book_.add("pickle.out-of-band", Severity::kUnknown, event.offset_bytes, "",
                  fmt::format("the pickle needs data from elsewhere: {}", event.text));
        break;
      case EventKind::kFrameFault:
        book_.add("pickle.frame", Severity::kMalformed, event.offset_bytes, "",
                  fmt::format("{}: unpicklers disagree about what follows", event.text));
        break;
      case EventKind::kSparseMemo:
        book_.add("pickle.expansion", Severity::kSuspicious, event.offset_bytes, "memo",
                  fmt::format("{}: loaders would allocate memory up to it", event.text));
        break;
      case EventKind::kUnknownOpcode:
      case EventKind::kStackFault:
        break;  // said by the stream's error
    }
  }

  void judge_stream(const Stream& stream) {
    if (stream.error) {
      const bool limit = stream.error->code == ErrorCode::kLimitExceeded;
      const std::uint64_t offset = stream.error->offset_bytes.value_or(stream.end_bytes);
      book_.add(
          limit ? "pickle.limit" : "pickle.malformed",
          limit ? Severity::kSuspicious : Severity::kMalformed, offset, "",
          limit ? stream.error->message + ": the rest was not judged" : stream.error->message);
    }
    if (stream.result != kNoNode && expands_without_bound(graph_, stream.result)) {
      book_.add("pickle.expansion", Severity::kSuspicious, stream.begin_bytes, "result",
                "shared containers expand to more than 100 million values when written out");
    }
  }

  /// A global that is never called in this pickle. Loaders import its module all the same.
  void judge_named(const Event& event) {
    const KnownName& name = names_.look_up(event.node);
    if (name.safe && !is_function(name.safe->shape)) return;
    const std::string shown = escape_text(name.qualified, 200);
    if (name.safe) return report_function_as_value(event, name, shown);
    Finding* finding;
    if (name.danger != nullptr) {
      finding =
          book_.add("pickle.dangerous-name", Severity::kDangerous, event.offset_bytes,
                    name.qualified, fmt::format("names {}, which {}", shown, name.danger->why));
    } else {
      finding = book_.add("pickle.unknown-name", Severity::kSuspicious, event.offset_bytes,
                          name.qualified,
                          fmt::format("names {}, which Kilter does not know: loading it would "
                                      "import {}",
                                      shown, escape_text(name.module, 100)));
    }
    finding->evidence = shown;
    finding->reachable = reach(event, "imports it") + refused(name);
    finding->loaders = loaders_of(context_.wrapping);
  }

  /// Objects that call what they hold would call it with anything.
  void report_function_as_value(const Event& event, const KnownName& name,
                                const std::string& shown) {
    const bool strong =
        name.safe->shape == Shape::kLoadFromBytes || name.safe->shape == Shape::kGetEnum;
    Finding* finding =
        book_.add(strong ? "pickle.dangerous-name" : "pickle.unexpected-arguments",
                  strong ? Severity::kDangerous : Severity::kSuspicious, event.offset_bytes,
                  name.qualified, fmt::format("keeps the function {} as a value", shown));
    finding->evidence = shown;
    finding->reachable = reach(event, "imports it") + refused(name);
    finding->loaders = loaders_of(context_.wrapping);
  }

  void judge_call(const Event& event) {
    const NodeId callable = callable_of(event.node);
    switch (graph_[callable].kind) {
      case NodeKind::kGlobal:
        if (graph_[callable].items.empty()) return judge_named_call(event, callable);
        return report_computed_call(event);
      case NodeKind::kCall:
      case NodeKind::kPersistentId:
      case NodeKind::kExtension:
      case NodeKind::kBuffer:
        return report_computed_call(event);
      default:
        book_
            .add("pickle.malformed", Severity::kMalformed, event.offset_bytes, "call",
                 "a plain value is called like a function")
            ->evidence = evidence_of(graph_, event.node);
    }
  }

  void report_computed_call(const Event& event) {
    Finding* finding = book_.add("pickle.computed-call", Severity::kDangerous, event.offset_bytes,
                                 "", "calls what another call returned");
    finding->evidence = evidence_of(graph_, event.node);
    finding->reachable = reach(event, "calls it");
    finding->loaders = loaders_of(context_.wrapping);
  }

  void judge_named_call(const Event& event, NodeId callable) {
    const KnownName& name = names_.look_up(callable);
    const std::string shown = escape_text(name.qualified, 200);
    Finding* finding = nullptr;
    if (name.safe) {
      if (name.safe->shape == Shape::kLoadFromBytes) return judge_nested(event);
      const std::string fault = unexpected_shape(&names_, event.node, *name.safe);
      if (fault.empty()) return;
      const bool any = name.safe->shape == Shape::kGetEnum;
      finding =
          book_.add(any ? "pickle.dangerous-call" : "pickle.unexpected-arguments",
                    any ? Severity::kDangerous : Severity::kSuspicious, event.offset_bytes,
                    name.qualified, fmt::format("calls {} in an unusual way: {}", shown, fault));
    } else if (name.danger != nullptr) {
      finding =
          book_.add("pickle.dangerous-call", Severity::kDangerous, event.offset_bytes,
                    name.qualified, fmt::format("calls {}, which {}", shown, name.danger->why));
    } else {
      finding = book_.add(
          "pickle.unknown-call", Severity::kSuspicious, event.offset_bytes, name.qualified,
          fmt::format("calls {}, which Kilter does not know: loading it would import "
                      "{} and run its code",
                      shown, escape_text(name.module, 100)));
    }
    finding->evidence = evidence_of(graph_, event.node);
    finding->reachable = reach(event, "calls it") + refused(name);
    finding->loaders = loaders_of(context_.wrapping);
  }

  void judge_nested(const Event& event) {
    const auto& arguments = call_arguments(graph_, graph_[event.node]);
    const bool plain = arguments.size() == 1 && literal_bytes_count(graph_, arguments[0]);
    if (plain && context_.depth < kNestedDepthMax) {
      nested_.push_back(arguments[0]);
      return;
    }
    Finding* finding = book_.add(
        "pickle.dangerous-call", Severity::kDangerous, event.offset_bytes, "nested",
        plain ? "loads a pickle inside a pickle, too deep to be looked into"
              : "calls torch.storage._load_from_bytes, which loads another pickle, with something "
                "other than plain bytes");
    finding->evidence = evidence_of(graph_, event.node);
    finding->reachable = reach(event, "calls it");
    finding->loaders = loaders_of(context_.wrapping);
  }

  /// Picklers add list items, then dict items, then the state, each once. In another order an
  /// attribute that the first addition set ("__setstate__", "append") is called by the next.
  enum Addition : std::uint8_t { kListItems = 1, kDictItems = 2, kState = 3 };

  void note_addition(const Event& event, Addition addition) {
    const NodeKind kind = graph_[event.node].kind;
    if (kind != NodeKind::kCall && kind != NodeKind::kPersistentId) return;
    std::uint8_t& last = additions_[event.node];
    if (last > addition || (last == addition && addition == kState)) {
      Finding* finding =
          book_.add("pickle.rebuilt-object", Severity::kSuspicious, event.offset_bytes, "",
                    "an object is changed again after it got its state or its items");
      finding->evidence = evidence_of(graph_, event.node);
      finding->reachable = "unpicklers call what an earlier change may have put in place";
      finding->loaders = loaders_of(context_.wrapping);
    }
    last = std::max<std::uint8_t>(last, addition);
  }

  /// No attribute of that name belongs into data: unpicklers call it.
  void judge_texts() {
    for (const Node& node : graph_.nodes) {
      if (node.kind != NodeKind::kString && node.kind != NodeKind::kBytes) continue;
      if (node.text != "__setstate__" && node.text != "__setstate_cython__") continue;
      Finding* finding =
          book_.add("pickle.rebuilt-object", Severity::kSuspicious, node.offset_bytes, "text",
                    "names the attribute that unpicklers call with the state");
      finding->evidence = node.text;
      finding->loaders = loaders_of(context_.wrapping);
    }
  }

  void judge_build(const Event& event) {
    note_addition(event, kState);
    const Node& target = graph_[event.node];
    if (target.kind == NodeKind::kGlobal || target.kind == NodeKind::kExtension) {
      return report_change(event, "pickle.build-on-global", "changes the attributes of");
    }
    if (target.kind == NodeKind::kCall) {
      const auto rule = names_.safe_rule(callable_of(event.node));
      const bool shared =
          rule && (rule->shape == Shape::kGetEnum || rule->shape == Shape::kTypeOfNone);
      if (shared) report_change(event, "pickle.build-on-global", "changes the attributes of");
      return;
    }
    const bool plain = target.kind != NodeKind::kPersistentId && target.kind != NodeKind::kBuffer;
    if (plain && !target.states.empty()) {
      book_.add("pickle.malformed", Severity::kMalformed, event.offset_bytes, "build",
                "BUILD sets attributes on a plain value");
    }
  }

  /// CVE-2026-24747: items set on something that is no container of that kind.
  void judge_growth(const Event& event) {
    const Node& target = graph_[event.node];
    const std::uint8_t needed = event.text == "ADDITEMS"            ? kGrowsSet
                                : event.text.starts_with("SETITEM") ? kGrowsMap
                                                                    : kGrowsList;
    note_addition(event, needed == kGrowsMap ? kDictItems : kListItems);
    switch (target.kind) {
      case NodeKind::kCall: {
        const NodeId callable = callable_of(event.node);
        if (!names_.is_global(callable)) return;  // has a finding of its own
        const auto rule = names_.safe_rule(callable);
        if (rule && (rule->grows & needed) == 0) {
          report_change(event, "pickle.set-on-object", "sets items of");
        }
        return;
      }
      case NodeKind::kGlobal:
      case NodeKind::kPersistentId:
      case NodeKind::kExtension:
        return report_change(event, "pickle.set-on-object", "sets items of");
      default:
        book_
            .add("pickle.malformed", Severity::kMalformed, event.offset_bytes, "grow",
                 fmt::format("{} on a value of another kind", event.text))
            ->evidence = evidence_of(graph_, event.node);
    }
  }

  void report_change(const Event& event, const char* rule, const char* what) {
    const std::string shown = evidence_of(graph_, event.node);
    Finding* finding =
        book_.add(rule, Severity::kDangerous, event.offset_bytes, shown,
                  fmt::format("{} {}, which was not made by this pickle or is no such "
                              "container",
                              what, shown));
    finding->evidence = shown;
    finding->reachable = fmt::format("offset {} does so while unpickling", event.offset_bytes);
    finding->loaders = loaders_of(context_.wrapping);
  }

  std::string reach(const Event& event, const char* what) const {
    const char* const opcode = opcode_name(graph_[event.node].call_opcode);
    return fmt::format("{} at offset {} {} while unpickling", opcode == nullptr ? "?" : opcode,
                       event.offset_bytes, what);
  }

  std::string refused(const KnownName& name) const {
    const bool torch = context_.wrapping == Wrapping::kTorchZip ||
                       context_.wrapping == Wrapping::kTorchLegacy ||
                       context_.wrapping == Wrapping::kTorchTar;
    return torch && !name.weights_only ? "; torch.load(weights_only=True) refuses the name" : "";
  }

  const Graph& graph_;
  const ScanContext& context_;
  NameBook names_;
  FindingBook book_;
  std::vector<bool> called_;
  std::vector<std::uint8_t> additions_;
  std::vector<NodeId> nested_;
};

/// A torch file inside a pickle, as plain pickle.dump writes tensors.
void scan_nested(const Graph& graph, NodeId node, const ScanContext& outer,
                 std::vector<Finding>* findings) {
  const std::string bytes = literal_bytes(graph, node).value_or(std::string());
  ScanContext inner = outer;
  inner.path = fmt::format("{}!bytes@{}", outer.path, graph[node].offset_bytes);
  inner.depth = outer.depth + 1;
  const bool legacy = bytes.starts_with("\x80\x02\x8a\x0a");
  inner.wrapping = legacy ? Wrapping::kTorchLegacy : Wrapping::kOther;
  if (bytes.starts_with("PK")) {
    FindingBook(inner, findings)
        .add("pickle.nested-archive", Severity::kSuspicious, 0, "",
             "an archive inside the pickle was not looked into");
    return;
  }
  scan_pickles(as_bytes(bytes), 0, inner, findings, legacy ? kLegacyStreamCount : 0);
}

}  // namespace

std::vector<std::string> loaders_of(Wrapping wrapping) {
  switch (wrapping) {
    case Wrapping::kBare:
      return {"pickle.load", "joblib.load", "torch.load(weights_only=False)",
              "numpy.load(allow_pickle=True)", "pandas.read_pickle"};
    case Wrapping::kTorchZip:
    case Wrapping::kTorchTar:
      return {"torch.load(weights_only=False)", "torch.load before 2.6"};
    case Wrapping::kTorchLegacy:
      return {"torch.load(weights_only=False)", "torch.load before 2.6", "pickle.load"};
    case Wrapping::kNumpy:
      return {"numpy.load(allow_pickle=True)"};
    case Wrapping::kOther:
      return {"pickle.load"};
  }
  return {};
}

Finding* FindingBook::add(const char* rule, Severity severity, std::uint64_t offset_bytes,
                          const std::string& subject, std::string message) {
  const std::string key = std::string(rule).append(1, '\0').append(subject);
  Group& group = groups_[key];
  if (group.count == 0) group.first = out_.size();
  ++group.count;
  // What makes the verdict is never dropped: before dangerous ones are, enough of them are there.
  const std::size_t room = severity == Severity::kDangerous ? 2 * kFindingsMax : kFindingsMax;
  const bool full = out_.size() >= room;
  if (full) ++dropped_count_;
  if (group.count > kAlikeMax || full) {
    if (group.count == 1) groups_.erase(key);
    return &unwritten_;
  }
  Finding& finding = out_.emplace_back();
  finding.rule = rule;
  finding.severity = severity;
  finding.path = context_.path;
  finding.offset_bytes = offset_bytes;
  finding.message = std::move(message);
  return &finding;
}

FindingBook::~FindingBook() {
  for (const auto& [key, group] : groups_) {
    if (group.count > kAlikeMax) {
      out_[group.first].message += fmt::format(" ({} times in all)", group.count);
    }
  }
  if (dropped_count_ == 0) return;
  Finding& finding = out_.emplace_back();
  finding.rule = "pickle.limit";
  finding.severity = Severity::kSuspicious;
  finding.path = context_.path;
  finding.message = fmt::format("{} more findings are not listed", dropped_count_);
}

void judge_graph(const Graph& graph, const ScanContext& context, std::vector<Finding>* findings) {
  std::vector<NodeId> nested;
  {
    Judge judge(graph, context, findings);
    judge.run();
    nested = judge.take_nested();
  }
  for (const NodeId node : nested) scan_nested(graph, node, context, findings);
}

}  // namespace kilter::pickle

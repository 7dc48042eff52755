#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "formats/pickle/judge.h"
#include "formats/pickle/lift_numpy.h"
#include "formats/pickle/opcodes.h"

namespace kilter::pickle {
namespace {

// Bytes that one short pickle may ask a constructor to fill.
constexpr std::int64_t kFillBytesMax = 64 << 20;

bool is_scalar(NodeKind kind) {
  return kind == NodeKind::kNone || kind == NodeKind::kBool || kind == NodeKind::kInt ||
         kind == NodeKind::kFloat || kind == NodeKind::kString || kind == NodeKind::kBytes;
}

// A first argument that is a class of its own: known, or with a finding of its own.
bool is_class(NameBook* names, NodeId node) {
  if (!names->is_global(node)) return false;
  const auto rule = names->safe_rule(node);
  return !rule || !is_function(rule->shape);
}

bool is_constant_name(std::string_view text) {
  return is_identifier(text) && text[0] >= 'A' && text[0] <= 'Z' &&
         std::none_of(text.begin(), text.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

std::string check_instance(const Graph& graph, const Node& call, std::size_t argument_count) {
  if (call.call_opcode == kOpNewObj || call.call_opcode == kOpNewObjEx) return {};
  (void)graph;
  return argument_count == 0 ? "" : "its constructor is called with arguments";
}

std::string check_encode(const Graph& graph, const std::vector<NodeId>& arguments) {
  const bool plain = arguments.size() == 2 && graph[arguments[0]].kind == NodeKind::kString &&
                     graph[arguments[1]].kind == NodeKind::kString;
  if (!plain) return "expected a text and 'latin1'";
  const std::string& codec = graph[arguments[1]].text;
  return codec == "latin1" || codec == "latin-1" ? "" : "the codec is not 'latin1'";
}

std::string check_sized(NameBook* names, const Node& call, const std::vector<NodeId>& arguments) {
  const Graph& graph = names->graph();
  const bool decodes = arguments.size() > 1 && graph[call.items[0]].text2 == "str";
  if (decodes) return "it decodes text while loading";
  for (const NodeId id : arguments) {
    const Node& argument = graph[id];
    if (argument.kind == NodeKind::kBigInt ||
        (argument.kind == NodeKind::kInt && argument.integer > kFillBytesMax)) {
      return "the number asks for a huge amount of memory";
    }
    if (is_call_of(graph, id, "builtins.range")) return "it would write out a range";
  }
  return {};
}

/// Members of known enums that are not written in capitals. Source:
/// deepspeed/runtime/zero/config.py.
bool is_known_member(const Node& enumeration, std::string_view member) {
  constexpr std::string_view kMembers[] = {"disabled", "optimizer_states", "gradients", "weights",
                                           "max_stage"};
  return enumeration.text == "deepspeed.runtime.zero.config" &&
         enumeration.text2 == "ZeroStageEnum" &&
         std::find(std::begin(kMembers), std::end(kMembers), member) != std::end(kMembers);
}

std::string check_get_enum(NameBook* names, const std::vector<NodeId>& arguments) {
  const Graph& graph = names->graph();
  if (arguments.size() != 2 || !names->is_global(arguments[0])) return "it reads any attribute";
  const auto rule = names->safe_rule(arguments[0]);
  const bool known = rule && (rule->shape == Shape::kEnum || rule->shape == Shape::kInstance);
  const Node& name = graph[arguments[1]];
  const bool member =
      name.kind == NodeKind::kString &&
      (is_constant_name(name.text) || is_known_member(graph[arguments[0]], name.text));
  if (known && member) return {};
  return "it reads any attribute";
}

std::string check_rebuild_of_type(NameBook* names, const std::vector<NodeId>& arguments) {
  if (arguments.size() < 2 || !names->is_global(arguments[0])) return "the function is computed";
  const KnownName& function = names->look_up(arguments[0]);
  if (!function.safe) return {};  // has a finding of its own
  const bool rebuilds = function.module == "torch._utils" && function.safe->shape == Shape::kData;
  if (!rebuilds) return "the function is none of torch's rebuilders";
  return is_class(names, arguments[1]) ? "" : "the class is computed";
}

std::string check_partial(NameBook* names, const std::vector<NodeId>& arguments) {
  if (arguments.empty() || !names->is_global(arguments[0])) return "the function is computed";
  return is_class(names, arguments[0]) ? "" : "the function is no plain constructor";
}

std::string check_type(const Graph& graph, const std::vector<NodeId>& arguments) {
  const bool none = arguments.size() == 1 && (graph[arguments[0]].kind == NodeKind::kNone ||
                                              graph[arguments[0]].kind == NodeKind::kGlobal);
  return none ? "" : "it would make a new class";
}

std::string check_reconstructor(NameBook* names, const std::vector<NodeId>& arguments) {
  if (arguments.size() != 3) return "expected a class, a base and a state";
  if (!is_class(names, arguments[0])) return "the class is computed";
  // The base's own constructor is called with the state.
  const bool built_in =
      names->is_global(arguments[1]) && names->look_up(arguments[1]).module == "builtins";
  return built_in ? "" : "the base is no built-in class";
}

// These call their second argument, or the first if it is a class.
std::string check_random(NameBook* names, const std::vector<NodeId>& arguments) {
  for (const NodeId id : arguments) {
    const Node& node = names->graph()[id];
    const bool own = names->is_global(id) && names->look_up(id).module.starts_with("numpy.random");
    if (!own && node.kind != NodeKind::kString && node.kind != NodeKind::kCall) {
      return "it would call something that is no generator";
    }
  }
  return {};
}

}  // namespace

const KnownName& NameBook::look_up(NodeId global) {
  const Node& node = graph_[global];
  std::string key = node.text;
  key.append(1, '\0').append(node.text2);
  const auto [known, is_new] = known_.try_emplace(std::move(key));
  if (!is_new) return known->second;
  KnownName& out = known->second;
  PythonName name = python_name(node);
  out.qualified = qualified_name(node);
  out.safe = find_safe(name.module, name.name);
  if (!out.safe) {
    out.danger = find_danger(name.module, name.name);
    if (out.danger == nullptr) out.danger = find_danger(node.text, node.text2);
  }
  out.weights_only = weights_only_accepts(name.module, name.name);
  out.module = std::move(name.module);
  return out;
}

std::optional<SafeRule> NameBook::safe_rule(NodeId node) {
  return is_global(node) ? look_up(node).safe : std::nullopt;
}

std::string unexpected_shape(NameBook* names, NodeId node, const SafeRule& rule) {
  const Graph& graph = names->graph();
  const Node& call = graph[node];
  if (graph[call.items[1]].kind != NodeKind::kTuple) return "the arguments are computed";
  const std::vector<NodeId>& arguments = graph[call.items[1]].items;
  const auto first_is_class = [&]() -> std::string {
    const bool known = !arguments.empty() && is_class(names, arguments[0]);
    return known ? "" : "the class is computed";
  };
  switch (rule.shape) {
    case Shape::kData:
    case Shape::kLoadFromBytes:
      return {};
    case Shape::kInstance:
      return check_instance(graph, call, arguments.size());
    case Shape::kNameOnly:
      return "it is not known to be called";
    case Shape::kEnum: {
      const bool plain = arguments.size() == 1 && (is_scalar(graph[arguments[0]].kind) ||
                                                   graph[arguments[0]].kind == NodeKind::kTuple);
      return plain ? "" : "expected one plain value";
    }
    case Shape::kEncode:
      return check_encode(graph, arguments);
    case Shape::kReconstructor:
      return check_reconstructor(names, arguments);
    case Shape::kNewObject:
    case Shape::kArrayOfClass:
      return first_is_class();
    case Shape::kRebuildOfType:
      return check_rebuild_of_type(names, arguments);
    case Shape::kTypeOfNone:
      return check_type(graph, arguments);
    case Shape::kSized:
      return check_sized(names, call, arguments);
    case Shape::kGetEnum:
      return check_get_enum(names, arguments);
    case Shape::kRandomState:
      return check_random(names, arguments);
    case Shape::kPartial:
      return check_partial(names, arguments);
  }
  return {};
}

}  // namespace kilter::pickle

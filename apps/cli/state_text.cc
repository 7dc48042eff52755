// The state tree as indented lines.
#include <cinttypes>
#include <cstdio>
#include <vector>

#include "base/text.h"
#include "cli/inspect_text.h"
#include "cli/style.h"

namespace kilter::cli {

namespace {

constexpr std::size_t kDepthMax = 40;
constexpr std::size_t kWidthMax = 60;    // entries shown of one container
constexpr std::size_t kLinesMax = 2000;  // the whole is in --json

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  char shorter[32];
  std::snprintf(shorter, sizeof shorter, "%g", value);
  return std::stod(shorter) == value ? shorter : text;
}

std::string scalar_text(const StateNode& node, const TensorIndex& index) {
  switch (node.kind) {
    case StateKind::kNone:
      return "None";
    case StateKind::kBool:
      return node.integer != 0 ? "True" : "False";
    case StateKind::kInt:
      return std::to_string(node.integer);
    case StateKind::kBigInt:
      return escape_text(node.text, 80);
    case StateKind::kFloat:
      return number_text(node.number);
    case StateKind::kComplex:
      return number_text(node.number) + (node.imaginary < 0 ? "" : "+") +
             number_text(node.imaginary) + "j";
    case StateKind::kString:
      return "\"" + escape_text(node.text, 80) + "\"";
    case StateKind::kBytes:
      return format_bytes(node.text.size()) + " of bytes";
    case StateKind::kGlobal:
      return "<" + escape_text(node.text, 120) + ">";
    case StateKind::kTensor: {
      const auto at = static_cast<std::size_t>(node.integer);
      if (at >= index.tensors.size()) return "tensor";
      std::string shape;
      for (const auto size : index.tensors[at].shape)
        shape += (shape.empty() ? "" : ", ") + std::to_string(size);
      return "tensor " + std::string(dtype_name(index.tensors[at].dtype)) + " [" + shape + "]";
    }
    case StateKind::kList:
      return "list of " + format_count(node.items.size());
    case StateKind::kTuple:
      return "tuple of " + format_count(node.items.size());
    case StateKind::kSet:
      return "set of " + format_count(node.items.size());
    case StateKind::kDict:
      return "dict of " + format_count(node.items.size() / 2);
    case StateKind::kObject:
      return escape_text(node.text, 120) + " (inert)";
  }
  return "";
}

struct Line {
  StateId id = kNoState;
  std::string label;
  std::size_t depth = 0;
};

std::string key_text(const StateNode& key, const TensorIndex& index) {
  return key.kind == StateKind::kString ? escape_text(key.text, 120) : scalar_text(key, index);
}

/// What hangs below a node, in the order it is shown.
std::vector<Line> children(const StateTree& tree, const TensorIndex& index, const Line& line) {
  const StateNode& node = tree[line.id];
  std::vector<Line> out;
  const std::size_t depth = line.depth + 1;
  if (node.kind == StateKind::kDict) {
    for (std::size_t i = 0; i + 1 < node.items.size(); i += 2)
      out.push_back({node.items[i + 1], key_text(tree[node.items[i]], index), depth});
  } else {
    for (std::size_t i = 0; i < node.items.size(); ++i)
      out.push_back({node.items[i],
                     (node.kind == StateKind::kObject ? "argument " : "") + std::to_string(i),
                     depth});
  }
  if (node.extra != kNoState) out.push_back({node.extra, "entries", depth});
  if (node.state != kNoState) out.push_back({node.state, "state", depth});
  if (out.size() > kWidthMax) {
    const std::size_t left = out.size() - kWidthMax;
    out.resize(kWidthMax);
    out.push_back({kNoState, "… " + format_count(left) + " more", depth});
  }
  return out;
}

}  // namespace

void print_state(const StateTree& tree, const TensorIndex& index, const Terminal& terminal) {
  const Style style(terminal.colour_out);
  if (tree.empty()) {
    std::printf("\nno state besides tensors\n");
    return;
  }
  std::printf("\n");
  std::vector<bool> seen(tree.size(), false);
  std::vector<Line> open{{tree.root(), "state", 0}};
  for (std::size_t printed = 0; !open.empty(); ++printed) {
    if (printed == kLinesMax) {
      std::printf("… cut after %zu lines; --json has everything\n", kLinesMax);
      return;
    }
    const Line line = std::move(open.back());
    open.pop_back();
    const std::string indent(2 * line.depth, ' ');
    if (line.id == kNoState) {
      std::printf("%s%s\n", indent.c_str(), style.dim(line.label).c_str());
      continue;
    }
    const bool again = seen[line.id] && !tree[line.id].items.empty();
    std::printf("%s%s: %s%s\n", indent.c_str(), style.name(line.label).c_str(),
                scalar_text(tree[line.id], index).c_str(), again ? " (shown above)" : "");
    if (again || line.depth >= kDepthMax) continue;
    seen[line.id] = true;
    const std::vector<Line> below = children(tree, index, line);
    open.insert(open.end(), below.rbegin(), below.rend());
  }
}

}  // namespace kilter::cli

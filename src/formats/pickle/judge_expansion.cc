#include <algorithm>
#include <cstdint>
#include <vector>

#include "formats/pickle/judge.h"

namespace kilter::pickle {
namespace {

constexpr std::uint64_t kExpandedMax = 100'000'000;
constexpr std::uint64_t kExpansionRatioMax = 1000;

bool is_container(NodeKind kind) {
  return kind == NodeKind::kList || kind == NodeKind::kTuple || kind == NodeKind::kDict ||
         kind == NodeKind::kSet || kind == NodeKind::kFrozenSet;
}

NodeId child_at(const Node& node, std::size_t at) {
  if (at < node.items.size()) return node.items[at];
  at -= node.items.size();
  for (const auto* list : {&node.appended, &node.set_items, &node.states}) {
    if (at < list->size()) return (*list)[at];
    at -= list->size();
  }
  return kNoNode;
}

}  // namespace

// Sizes are summed from the leaves up and saturate; a cycle counts as one value. Only containers
// expand: objects refer to each other in real files in every direction.
bool expands_without_bound(const Graph& graph, NodeId root) {
  constexpr std::uint64_t kUnknown = 0;
  std::vector<std::uint64_t> sizes(graph.nodes.size(), kUnknown);
  struct Frame {
    NodeId node;
    std::size_t next;
    std::uint64_t sum;
  };
  std::vector<Frame> frames;
  std::uint64_t largest = 0;
  const auto enter = [&](NodeId id) {
    sizes[id] = 1;  // while open: a cycle back to it adds one
    frames.push_back({id, 0, 1});
  };
  enter(root);
  while (!frames.empty()) {
    Frame& frame = frames.back();
    const Node& node = graph[frame.node];
    const bool expands = is_container(node.kind);
    const std::size_t at = frame.next++;
    const NodeId child = child_at(node, at);
    if (child == kNoNode) {
      const Frame done = frame;
      frames.pop_back();
      sizes[done.node] = expands ? done.sum : 1;
      largest = std::max(largest, done.sum);
      if (!frames.empty()) {
        frames.back().sum = std::min(kExpandedMax * 2, frames.back().sum + sizes[done.node]);
      }
    } else if (sizes[child] == kUnknown && child_at(graph[child], 0) != kNoNode) {
      enter(child);
    } else {
      frame.sum = std::min(kExpandedMax * 2, frame.sum + std::max<std::uint64_t>(1, sizes[child]));
    }
  }
  return largest > kExpandedMax && largest / kExpansionRatioMax > graph.nodes.size();
}

}  // namespace kilter::pickle

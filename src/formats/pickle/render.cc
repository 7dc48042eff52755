// Nodes as readable Python-like text.
#include <fmt/format.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "base/utf8.h"
#include "formats/pickle/machine.h"

namespace kilter::pickle {
namespace {

constexpr std::size_t kRenderDepthMax = 12;
constexpr std::size_t kItemsMax = 24;
constexpr std::string_view kCut = "…";

std::string quote_text(std::string_view text, std::size_t chars_max) {
  std::string doubled;
  for (const char c : text.substr(0, chars_max * 4)) {
    if (c == '\'' || c == '\\') doubled += '\\';
    doubled += c;
  }
  return std::string("'").append(escape_text(doubled, chars_max)).append("'");
}

std::string quote_bytes(std::string_view bytes, std::size_t chars_max) {
  std::string out = "b'";
  for (const char c : bytes.substr(0, chars_max)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\'' || c == '\\') {
      out += {'\\', c};
    } else if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  if (bytes.size() > chars_max) out += kCut;
  out += '\'';
  return out;
}

std::string float_text(double value) {
  if (!std::isfinite(value)) return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  std::string out = fmt::format("{}", value);
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

// Writes nodes front to back from a stack of things still to write, so depth costs no C++ stack.
class Renderer {
 public:
  Renderer(const Graph& graph, std::size_t chars_max) : graph_(graph), chars_max_(chars_max) {}

  std::string run(NodeId root) {
    todo_.push_back({root, 0, {}});
    while (!todo_.empty() && out_.size() <= chars_max_ * 4) {
      const Item item = std::move(todo_.back());
      todo_.pop_back();
      if (item.node == kNoNode) {
        out_ += item.text;
      } else if (item.depth > kRenderDepthMax) {
        out_ += kCut;
      } else {
        write(graph_[item.node], item.depth + 1);
      }
    }
    if (!todo_.empty()) out_ += kCut;
    return shorten();
  }

 private:
  struct Item {
    NodeId node = kNoNode;
    std::size_t depth = 0;
    std::string_view text;  // static text where `node` is none
  };

  void write(const Node& node, std::size_t depth) {
    switch (node.kind) {
      case NodeKind::kNone:
        out_ += "None";
        break;
      case NodeKind::kBool:
        out_ += node.integer != 0 ? "True" : "False";
        break;
      case NodeKind::kInt:
        out_ += std::to_string(node.integer);
        break;
      case NodeKind::kBigInt:
        out_ += node.text.substr(0, chars_max_);
        break;
      case NodeKind::kFloat:
        out_ += float_text(node.number);
        break;
      case NodeKind::kString:
        out_ += quote_text(node.text, chars_max_);
        break;
      case NodeKind::kBytes:
        out_ += quote_bytes(node.text, chars_max_);
        break;
      case NodeKind::kByteArray:
        out_.append("bytearray(").append(quote_bytes(node.text, chars_max_)).append(")");
        break;
      case NodeKind::kList:
        enclose("[", node.items, "]", depth);
        break;
      case NodeKind::kTuple:
        enclose("(", node.items, node.items.size() == 1 ? ",)" : ")", depth);
        break;
      case NodeKind::kDict:
        write_dict(node.items, depth);
        break;
      case NodeKind::kSet:
        enclose("{", node.items, "}", depth);
        break;
      case NodeKind::kFrozenSet:
        enclose("frozenset({", node.items, "})", depth);
        break;
      case NodeKind::kGlobal:
        write_global(node, depth);
        break;
      case NodeKind::kCall:
        write_call(node, depth);
        break;
      case NodeKind::kPersistentId:
        enclose("persistent_load(", node.items, ")", depth);
        break;
      case NodeKind::kExtension:
        out_ += fmt::format("extension({})", node.integer);
        break;
      case NodeKind::kBuffer:
        out_ += fmt::format("buffer({})", node.integer);
        break;
    }
  }

  void enclose(std::string_view open, const std::vector<NodeId>& items, std::string_view close,
               std::size_t depth) {
    out_ += open;
    const std::size_t shown = std::min(items.size(), kItemsMax);
    todo_.push_back({kNoNode, 0, close});
    if (shown < items.size()) todo_.push_back({kNoNode, 0, ", …"});
    for (std::size_t i = shown; i-- > 0;) {
      todo_.push_back({items[i], depth, {}});
      if (i > 0) todo_.push_back({kNoNode, 0, ", "});
    }
  }

  void write_dict(const std::vector<NodeId>& items, std::size_t depth) {
    out_ += "{";
    const std::size_t shown = std::min(items.size() / 2, kItemsMax);
    todo_.push_back({kNoNode, 0, "}"});
    if (shown < items.size() / 2) todo_.push_back({kNoNode, 0, ", …"});
    for (std::size_t i = shown; i-- > 0;) {
      todo_.push_back({items[2 * i + 1], depth, {}});
      todo_.push_back({kNoNode, 0, ": "});
      todo_.push_back({items[2 * i], depth, {}});
      if (i > 0) todo_.push_back({kNoNode, 0, ", "});
    }
  }

  void write_global(const Node& node, std::size_t depth) {
    if (node.items.empty()) {
      out_ += escape_text(qualified_name(node), chars_max_);
    } else {
      enclose("import_computed(", node.items, ")", depth);
    }
  }

  void write_call(const Node& node, std::size_t depth) {
    if (node.items.size() > 2) {
      todo_.push_back({kNoNode, 0, ")"});
      todo_.push_back({node.items[2], depth, {}});
      todo_.push_back({kNoNode, 0, ", **"});
    }
    const Node& arguments = graph_[node.items[1]];
    const std::string_view close = node.items.size() > 2 ? "" : ")";
    if (arguments.kind == NodeKind::kTuple) {
      enclose("", arguments.items, close, depth);  // queued; the callable is queued before it
    } else {
      todo_.push_back({kNoNode, 0, close});
      todo_.push_back({node.items[1], depth, {}});
      todo_.push_back({kNoNode, 0, "*"});
    }
    todo_.push_back({kNoNode, 0, "("});
    todo_.push_back({node.items[0], depth, {}});
  }

  // At most chars_max_ characters, cut between characters.
  std::string shorten() const {
    std::size_t chars = 0;
    for (std::size_t i = 0; i < out_.size(); ++chars) {
      if (chars == chars_max_) return out_.substr(0, i).append(kCut);
      i += decode_utf8(out_, i).length_bytes;
    }
    return out_;
  }

  const Graph& graph_;
  std::size_t chars_max_;
  std::string out_;
  std::vector<Item> todo_;
};

}  // namespace

std::string render(const Graph& graph, NodeId node, std::size_t chars_max) {
  if (node >= graph.nodes.size()) return {};
  return Renderer(graph, chars_max).run(node);
}

}  // namespace kilter::pickle

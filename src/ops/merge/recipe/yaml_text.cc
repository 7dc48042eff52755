#include "ops/merge/recipe/yaml_text.h"

#include <fmt/format.h>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "base/try.h"

namespace kilter::ops {
namespace {

/// Thrown through yaml-cpp, which knows no other way to stop, and caught in read_yaml().
struct YamlStop {
  Error error;
};

[[noreturn]] void stop_yaml(ErrorCode code, const YAML::Mark& mark, std::string message) {
  throw YamlStop{yaml_error(code, static_cast<std::uint32_t>(mark.line + 1),
                            static_cast<std::uint32_t>(mark.column + 1), std::move(message))};
}

YamlNode yaml_node_at(const YAML::Mark& mark, YamlKind kind) {
  YamlNode node;
  node.kind = kind;
  node.line = static_cast<std::uint32_t>(mark.line + 1);
  node.column = static_cast<std::uint32_t>(mark.column + 1);
  return node;
}

void check_yaml_tag(const YAML::Mark& mark, const std::string& tag) {
  constexpr std::string_view kYaml = "tag:yaml.org,2002:";
  constexpr std::string_view kKnown[] = {"str", "int", "float", "bool", "null", "map", "seq"};
  if (tag.empty() || tag == "?" || tag == "!") return;
  if (tag.starts_with(kYaml) &&
      std::ranges::find(kKnown, tag.substr(kYaml.size())) != std::end(kKnown))
    return;
  stop_yaml(ErrorCode::kUnsupported, mark,
            "the tag '" + escape_text(tag) + "' is none that a recipe may have");
}

bool is_yaml_null(const YamlNode& node) {
  constexpr std::string_view kNulls[] = {"", "~", "null", "Null", "NULL"};
  return !node.quoted && std::ranges::find(kNulls, node.text) != std::end(kNulls);
}

/// Builds nodes from the parser's events, so that nothing grows past the limits.
class YamlBuilder : public YAML::EventHandler {
 public:
  explicit YamlBuilder(const YamlLimits& limits) : limits_(limits) {}
  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(yaml_node_at(mark, YamlKind::kNull), anchor, mark);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end())
      stop_yaml(ErrorCode::kMalformed, mark, "an alias stands inside what it names");
    count(found->second, mark, open_.size() + 1);  // before it is copied
    place(found->second, mark);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_yaml_tag(mark, tag);
    if (!is_valid_utf8(value)) stop_yaml(ErrorCode::kMalformed, mark, "the text is no UTF-8");
    YamlNode node = yaml_node_at(mark, YamlKind::kScalar);
    node.text = value;
    node.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    if (is_yaml_null(node)) node = yaml_node_at(mark, YamlKind::kNull);
    add(std::move(node), anchor, mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(YamlKind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(YamlKind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  static constexpr std::size_t kKeyBytesMax = 4096;
  struct Open {
    YamlNode node;
    YAML::anchor_t anchor = 0;
    YAML::Mark mark;
    bool has_key = false, merges = false;
    YamlEntry entry;  // whose value comes next
    std::set<std::string> keys;
    std::vector<YamlNode> merged;  // values of `<<`
  };

  /// With all below it: an alias counts as often as it is used.
  void count(const YamlNode& node, const YAML::Mark& mark, std::size_t depth) {
    if (++nodes_ > limits_.nodes_max)
      stop_yaml(ErrorCode::kLimitExceeded, mark,
                fmt::format("more than {} values, aliases counted", limits_.nodes_max));
    if (depth > limits_.depth_max)
      stop_yaml(ErrorCode::kLimitExceeded, mark,
                fmt::format("values nest deeper than {}", limits_.depth_max));
    text_bytes_ += node.text.size();
    for (const YamlEntry& entry : node.entries) text_bytes_ += entry.key.size();
    if (text_bytes_ > limits_.text_bytes_max)
      stop_yaml(ErrorCode::kLimitExceeded, mark, "too much text, aliases counted");
    for (const YamlNode& item : node.items) count(item, mark, depth + 1);
    for (const YamlEntry& entry : node.entries) count(entry.value, mark, depth + 1);
  }

  void add(YamlNode node, YAML::anchor_t anchor, const YAML::Mark& mark) {
    count(node, mark, open_.size() + 1);
    if (anchor != 0) anchors_[anchor] = node;
    place(std::move(node), mark);
  }

  void open(YamlKind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    check_yaml_tag(mark, tag);
    Open one;
    one.node = yaml_node_at(mark, kind);
    one.anchor = anchor;
    one.mark = mark;
    count(one.node, mark, open_.size() + 1);
    open_.push_back(std::move(one));
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    for (const YamlNode& source : done.merged) merge(source, done);
    if (done.anchor != 0) {
      count(done.node, done.mark, open_.size() + 1);  // the copy that is kept
      anchors_[done.anchor] = done.node;
    }
    place(std::move(done.node), done.mark);
  }

  void place(YamlNode node, const YAML::Mark& mark) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == YamlKind::kList) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.has_key) {
      begin_entry(parent, std::move(node), mark);
    } else {
      parent.has_key = false;
      if (parent.merges)
        parent.merged.push_back(std::move(node));
      else
        end_entry(parent, std::move(node));
    }
  }

  static void begin_entry(Open& parent, YamlNode key, const YAML::Mark& mark) {
    if (key.kind != YamlKind::kScalar) stop_yaml(ErrorCode::kMalformed, mark, "a key is no text");
    if (key.text.size() > kKeyBytesMax)
      stop_yaml(ErrorCode::kLimitExceeded, mark, "a key is too long");
    parent.merges = !key.quoted && key.text == "<<";
    parent.has_key = true;
    if (!parent.merges && !parent.keys.insert(key.text).second)
      stop_yaml(ErrorCode::kMalformed, mark,
                "the key '" + escape_text(key.text) + "' stands twice");
    parent.entry = {std::move(key.text), key.line, key.column, {}};
  }
  static void end_entry(Open& parent, YamlNode value) {
    parent.entry.value = std::move(value);
    parent.node.entries.push_back(std::move(parent.entry));
  }

  /// What is there already stays. Source: https://yaml.org/type/merge.html
  void merge(const YamlNode& source, Open& into) {
    if (source.kind == YamlKind::kList) {
      for (const YamlNode& item : source.items) merge(item, into);
      return;
    }
    if (source.kind != YamlKind::kMap)
      stop_yaml(ErrorCode::kMalformed, into.mark, "'<<' merges maps alone");
    for (const YamlEntry& entry : source.entries) {
      if (!into.keys.insert(entry.key).second) continue;
      count(entry.value, into.mark, open_.size() + 1);
      into.node.entries.push_back(entry);
    }
  }

  const YamlLimits& limits_;
  std::uint32_t nodes_ = 0;
  std::uint64_t text_bytes_ = 0;
  std::map<YAML::anchor_t, YamlNode> anchors_;
  std::vector<Open> open_;
  YamlNode root_;
};

YamlNode parse_yaml_text(std::string_view text, const YamlLimits& limits) {
  std::istringstream stream{std::string(text)};
  YAML::Parser parser(stream);
  YamlBuilder builder(limits);
  if (!parser.HandleNextDocument(builder)) return {};
  YamlNode root = builder.take();
  YamlBuilder rest(limits);
  if (parser.HandleNextDocument(rest)) {
    const YamlNode second = rest.take();
    throw YamlStop{yaml_error(ErrorCode::kUnsupported, second.line, second.column,
                              "a second document begins here, and a recipe is one")
                       .advise("run each as a recipe of its own")};
  }
  return root;
}

/// Numbers, words and paths need no quotes. What has other characters is a string in any case.
std::string yaml_scalar(const std::string& text, bool quoted) {
  const auto is_safe = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '/' || c == '+' || c == '-';
  };
  const bool dash = text.starts_with('-') && (text.size() == 1 || text[1] == '-');
  const bool dots = text.starts_with("...");
  const bool plain =
      !quoted && !text.empty() && !dash && !dots && std::ranges::all_of(text, is_safe);
  return plain ? text : dump_json(Json(text), -1);
}

void write_yaml_value(const YamlNode& node, std::size_t indent, bool after_dash, std::string& out);

void write_yaml_child(const YamlNode& node, std::size_t indent, bool after_dash, std::string& out) {
  const bool block = !node.items.empty() || !node.entries.empty();
  if (block && !after_dash) out += '\n';
  if (!block || after_dash) out += ' ';
  write_yaml_value(node, indent, after_dash, out);
}

/// `after_dash`: the first entry goes on in the line of the dash.
void write_yaml_value(const YamlNode& node, std::size_t indent, bool after_dash, std::string& out) {
  switch (node.kind) {
    case YamlKind::kNull:
      out += "null\n";
      return;
    case YamlKind::kScalar:
      out += yaml_scalar(node.text, node.quoted) + "\n";
      return;
    case YamlKind::kList:
      if (node.items.empty()) out += "[]\n";
      for (const YamlNode& item : node.items) {
        if (!after_dash) out.append(indent, ' ');
        after_dash = false;
        out += '-';
        write_yaml_child(item, indent + 2, true, out);
      }
      return;
    case YamlKind::kMap:
      if (node.entries.empty()) out += "{}\n";
      for (const YamlEntry& entry : node.entries) {
        if (!after_dash) out.append(indent, ' ');
        after_dash = false;
        out += yaml_scalar(entry.key,
                           is_yaml_null({YamlKind::kScalar, entry.key, false, 0, 0, {}, {}}));
        out += ':';
        write_yaml_child(entry.value, indent + 2, false, out);
      }
  }
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  const auto found = std::ranges::find(entries, key, &YamlEntry::key);
  return found == entries.end() ? nullptr : &found->value;
}

Error yaml_error(ErrorCode code, std::uint32_t line, std::uint32_t column, std::string message) {
  return {code, fmt::format("line {}, column {}: {}", line, column, message)};
}

Result<YamlNode> read_yaml(std::string_view text, const YamlLimits& limits) {
  if (text.size() > limits.bytes_max)
    return fail(
        Error(ErrorCode::kLimitExceeded, "the recipe is too long")
            .wanted("at most " + format_bytes(limits.bytes_max), format_bytes(text.size())));
  try {
    return parse_yaml_text(text, limits);
  } catch (YamlStop& stopped) {
    return fail(std::move(stopped.error));
  } catch (const YAML::Exception& error) {
    const YAML::Mark mark = error.mark.is_null() ? YAML::Mark() : error.mark;
    return fail(yaml_error(ErrorCode::kMalformed, static_cast<std::uint32_t>(mark.line + 1),
                           static_cast<std::uint32_t>(mark.column + 1),
                           "this is no YAML: " + escape_text(error.msg)));
  }
}

std::string write_yaml(const YamlNode& node) {
  std::string out;
  write_yaml_value(node, 0, false, out);
  return out;
}

}  // namespace kilter::ops

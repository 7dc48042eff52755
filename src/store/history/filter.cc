#include "store/history/filter.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>

#include "base/text.h"
#include "base/try.h"

namespace kilter::store {

enum class FilterJoint : std::uint8_t { kCompare, kAnd, kOr, kNot };

namespace {

constexpr int kFilterDepthMax = 100;
constexpr int kFilterJointsMax = 1000;  // "and" and "or" nest to the left: matching recurses

bool is_key_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '-' ||
         c == '/' || c == ':';
}

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

bool ordered(std::string_view op, auto left, auto right) {
  if (op == "<") return left < right;
  if (op == "<=") return left <= right;
  if (op == ">") return left > right;
  if (op == ">=") return left >= right;
  if (op == "!=") return !(left == right);
  return left == right;
}

}  // namespace

struct Filter::Node {
  FilterJoint joint = FilterJoint::kCompare;
  std::shared_ptr<const Node> left, right;
  std::string key, op, value;
  std::optional<double> number;

  bool matches(const CommitSummary& commit) const {
    switch (joint) {
      case FilterJoint::kAnd:
        return left->matches(commit) && right->matches(commit);
      case FilterJoint::kOr:
        return left->matches(commit) || right->matches(commit);
      case FilterJoint::kNot:
        return !left->matches(commit);
      default:
        return compare(commit);
    }
  }

  bool compare(const CommitSummary& commit) const {
    if (key == "time") {
      const auto when = parse_time(value);
      return when && ordered(op, commit.time_unix_ns, *when);
    }
    std::optional<std::string> text;
    if (key == "author") text = commit.author;
    if (key == "message") text = commit.message;
    if (key == "digest") text = to_hex(commit.digest);
    if (!text) {
      const MetaValue* found = commit.find(key);
      if (found == nullptr) return false;
      const auto stated = commit.number(key);
      if (stated && number && op != "~") return ordered(op, *stated, *number);
      text = meta_text(*found);
    }
    if (op == "~") return glob_match(value, *text);
    return ordered(op, std::string_view(*text), std::string_view(value));
  }
};

namespace {

using NodePtr = std::shared_ptr<const Filter::Node>;

class FilterParser {
 public:
  explicit FilterParser(std::string_view text) : text_(text) {}

  Result<NodePtr> run() {
    KILTER_ASSIGN(NodePtr root, either(0));
    skip_spaces();
    if (at_ != text_.size()) return wrong("\"and\", \"or\" or the end");
    return root;
  }

 private:
  tl::unexpected<Error> wrong(std::string_view expected) const {
    return fail(Error(ErrorCode::kInvalidArgument, "the condition cannot be read")
                    .wanted(fmt::format("{} at character {}", expected, at_ + 1),
                            at_ < text_.size() ? escape_text(text_.substr(at_), 40) : "the end")
                    .advise("as in --where 'loss<2 and step>1000'"));
  }
  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool take_word(std::string_view word) {
    skip_spaces();
    if (!text_.substr(at_).starts_with(word)) return false;
    const std::size_t end = at_ + word.size();
    if (end < text_.size() && is_key_char(text_[end]) && is_key_char(word.front())) return false;
    at_ = end;
    return true;
  }
  static NodePtr join(FilterJoint joint, NodePtr left, NodePtr right) {
    auto node = std::make_shared<Filter::Node>();
    node->joint = joint;
    node->left = std::move(left);
    node->right = std::move(right);
    return node;
  }

  Result<NodePtr> either(int depth) {
    if (depth > kFilterDepthMax) return wrong("fewer parentheses");
    KILTER_ASSIGN(NodePtr left, both(depth));
    while (take_word("or")) {
      if (++joint_count_ > kFilterJointsMax) return wrong("at most 1000 times and, or");
      KILTER_ASSIGN(NodePtr right, both(depth));
      left = join(FilterJoint::kOr, left, right);
    }
    return left;
  }
  Result<NodePtr> both(int depth) {
    KILTER_ASSIGN(NodePtr left, single(depth));
    while (take_word("and")) {
      if (++joint_count_ > kFilterJointsMax) return wrong("at most 1000 times and, or");
      KILTER_ASSIGN(NodePtr right, single(depth));
      left = join(FilterJoint::kAnd, left, right);
    }
    return left;
  }
  Result<NodePtr> single(int depth) {
    if (take_word("not")) {
      if (depth > kFilterDepthMax) return wrong("fewer \"not\"");
      KILTER_ASSIGN(NodePtr inner, single(depth + 1));
      return join(FilterJoint::kNot, inner, nullptr);
    }
    if (take_word("(")) {
      KILTER_ASSIGN(NodePtr inner, either(depth + 1));
      if (!take_word(")")) return wrong("\")\"");
      return inner;
    }
    return comparison();
  }
  Result<NodePtr> comparison() {
    auto node = std::make_shared<Filter::Node>();
    skip_spaces();
    while (at_ < text_.size() && is_key_char(text_[at_])) node->key += text_[at_++];
    if (node->key.empty()) return wrong("a key");
    skip_spaces();
    for (const std::string_view op : {"<=", ">=", "!=", "==", "<", ">", "=", "~"}) {
      if (!text_.substr(at_).starts_with(op)) continue;
      node->op = op;
      at_ += op.size();
      break;
    }
    if (node->op.empty()) return wrong("one of < <= > >= = != ~");
    if (!take_value(node->value)) return wrong("a value");
    node->number = number_of(node->value);
    return node;
  }
  bool take_value(std::string& value) {
    skip_spaces();
    if (at_ < text_.size() && (text_[at_] == '\'' || text_[at_] == '"')) {
      const std::size_t end = text_.find(text_[at_], at_ + 1);
      if (end == std::string_view::npos) return false;
      value = text_.substr(at_ + 1, end - at_ - 1);
      at_ = end + 1;
      return true;
    }
    // "loss<<2" is a slip; who means a text that begins so puts it in quotes.
    if (at_ < text_.size() && std::string_view("<>=!~").find(text_[at_]) != std::string_view::npos)
      return false;
    while (at_ < text_.size() && text_[at_] != ' ' && text_[at_] != ')' && text_[at_] != '(')
      value += text_[at_++];
    return !value.empty();
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int joint_count_ = 0;
};

}  // namespace

Result<Filter> Filter::parse(std::string_view text) {
  KILTER_ASSIGN(NodePtr root, FilterParser(text).run());
  return Filter(std::move(root));
}

bool Filter::matches(const CommitSummary& commit) const { return root_->matches(commit); }

}  // namespace kilter::store

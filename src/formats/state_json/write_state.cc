#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <set>
#include <unordered_set>

#include "base/base64.h"
#include "base/text.h"
#include "formats/state_json/json_text.h"
#include "formats/state_json/state_json.h"

namespace kilter::state_json {
namespace {

// Deeper nodes move to "shared": each level takes at most three levels of JSON, and JSON is read
// with at most 128.
constexpr std::size_t kDepthMax = 30;

bool has_identity(StateKind kind) {
  switch (kind) {
    case StateKind::kList:
    case StateKind::kTuple:
    case StateKind::kDict:
    case StateKind::kSet:
    case StateKind::kTensor:
    case StateKind::kObject:
      return true;
    default:
      return false;
  }
}

/// A string of the file, which may be no valid UTF-8.
std::string text_value(std::string_view text) {
  if (is_valid_utf8(text)) return json_string(text);
  return R"({"$text": ")" + base64_encode(as_bytes(text)) + "\"}";
}

/// Which nodes are reached more than once from the root.
std::vector<bool> find_shared(const StateTree& tree) {
  std::vector<bool> seen(tree.size()), shared(tree.size());
  std::vector<StateId> pending;
  const auto visit = [&](StateId id) {
    if (id >= tree.size()) return;
    if (seen[id]) {
      shared[id] = has_identity(tree[id].kind);
      return;
    }
    seen[id] = true;
    pending.push_back(id);
  };
  visit(tree.root());
  while (!pending.empty()) {
    const StateId id = pending.back();
    pending.pop_back();
    for (const StateId item : tree[id].items) visit(item);
    visit(tree[id].state);
    visit(tree[id].extra);
  }
  return shared;
}

/// A dictionary that a JSON object can say.
bool is_plain_dict(const StateTree& tree, const StateNode& dict) {
  std::unordered_set<std::string_view> keys;
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const StateId id = dict.items[i];
    if (id >= tree.size() || tree[id].kind != StateKind::kString) return false;
    const std::string_view key = tree[id].text;
    if (key.starts_with('$') || !is_valid_utf8(key) || !keys.insert(key).second) return false;
  }
  return true;
}

class Writer {
 public:
  Writer(const StateTree& tree, const std::vector<std::string>& tensor_names)
      : tree_(tree),
        names_(tensor_names),
        shared_(find_shared(tree)),
        slot_of_(tree.size(), kNoState) {}

  /// Appends one value and everything below it. False if a tensor's name cannot be written.
  bool write(StateId root, std::string* out) {
    out_ = out;
    put(root, 0, false);
    while (!open_.empty() && good_) step();
    return good_;
  }

  const std::vector<StateId>& slots() const { return slots_; }

 private:
  enum class Form : std::uint8_t { kItems, kNamedItems, kPairs, kObject };
  struct Frame {
    StateId id;
    Form form;
    std::size_t next;
    std::size_t depth;
    std::string_view close;
  };

  /// `in_slot`: the node is the one its slot holds, not a reference to it.
  void put(StateId id, std::size_t depth, bool in_slot) {
    if (id >= tree_.size()) {
      *out_ += "null";
      return;
    }
    const StateNode& node = tree_[id];
    if (!in_slot && has_identity(node.kind) && (shared_[id] || depth >= kDepthMax)) {
      if (slot_of_[id] == kNoState) {
        slot_of_[id] = static_cast<StateId>(slots_.size());
        slots_.push_back(id);
      }
      *out_ += fmt::format(R"({{"$ref": {}}})", slot_of_[id]);
      return;
    }
    if (!put_scalar(node)) open(id, node, depth);
  }

  bool put_scalar(const StateNode& node) {
    switch (node.kind) {
      case StateKind::kNone:
        *out_ += "null";
        return true;
      case StateKind::kBool:
        *out_ += node.integer != 0 ? "true" : "false";
        return true;
      case StateKind::kInt:
        *out_ += std::to_string(node.integer);
        return true;
      case StateKind::kBigInt:
        put_tagged("$bigint", text_value(node.text));
        return true;
      case StateKind::kFloat:
        *out_ += float_text(node.number);
        return true;
      case StateKind::kComplex:
        put_tagged("$complex",
                   fmt::format("[{}, {}]", float_text(node.number), float_text(node.imaginary)));
        return true;
      case StateKind::kString:
        *out_ += text_value(node.text);
        return true;
      case StateKind::kBytes:
        put_tagged("$bytes", json_string(base64_encode(as_bytes(node.text))));
        return true;
      case StateKind::kGlobal:
        put_tagged("$global", text_value(node.text));
        return true;
      case StateKind::kTensor:
        put_tensor(node);
        return true;
      default:
        return false;
    }
  }

  void put_tagged(std::string_view tag, std::string_view value) {
    out_->append("{\"").append(tag).append("\": ").append(value).append("}");
  }

  void put_tensor(const StateNode& node) {
    const auto position = static_cast<std::uint64_t>(node.integer);
    good_ = good_ && position < names_.size() && is_valid_utf8(names_[position]);
    if (good_) put_tagged("$tensor", json_string(names_[position]));
  }

  void open(StateId id, const StateNode& node, std::size_t depth) {
    Frame frame{id, Form::kItems, 0, depth, "]"};
    switch (node.kind) {
      case StateKind::kTuple:
        *out_ += "{\"$tuple\": [";
        frame.close = "]}";
        break;
      case StateKind::kSet:
        *out_ += "{\"$set\": [";
        frame.close = "]}";
        break;
      case StateKind::kDict:
        frame.form = is_plain_dict(tree_, node) ? Form::kNamedItems : Form::kPairs;
        *out_ += frame.form == Form::kPairs ? "{\"$dict\": [" : "{";
        frame.close = frame.form == Form::kPairs ? "]}" : "}";
        break;
      case StateKind::kObject:
        frame.form = Form::kObject;
        frame.close = "}";
        out_->append("{\"$object\": ").append(text_value(node.text));
        break;
      default:
        *out_ += "[";
        break;
    }
    open_.push_back(frame);
  }

  void step() {
    Frame& frame = open_.back();
    const StateNode& node = tree_[frame.id];
    switch (frame.form) {
      case Form::kItems:
        return step_items(frame, node);
      case Form::kNamedItems:
        return step_named(frame, node);
      case Form::kPairs:
        return step_pairs(frame, node);
      case Form::kObject:
        return step_object(frame, node);
    }
  }

  void close(const Frame& frame) {
    *out_ += frame.close;
    open_.pop_back();
  }

  void step_items(Frame& frame, const StateNode& node) {
    if (frame.next == node.items.size()) return close(frame);
    if (frame.next != 0) *out_ += ", ";
    const std::size_t depth = frame.depth + 1;
    put(node.items[frame.next++], depth, false);  // may move `frame`
  }

  void new_line(std::size_t depth) { out_->append("\n").append(2 * (depth + 1), ' '); }

  void step_named(Frame& frame, const StateNode& node) {
    if (frame.next + 1 >= node.items.size()) {
      if (frame.next != 0) new_line(frame.depth);
      return close(frame);
    }
    if (frame.next != 0) *out_ += ",";
    const std::size_t depth = frame.depth + 1, at = frame.next;
    frame.next += 2;
    new_line(depth);
    out_->append(json_string(tree_[node.items[at]].text)).append(": ");
    put(node.items[at + 1], depth, false);
  }

  void step_pairs(Frame& frame, const StateNode& node) {
    const std::size_t at = frame.next, depth = frame.depth + 1;
    const std::size_t count = node.items.size() / 2 * 2;
    if (at == count) {
      if (at != 0) *out_ += "]";
      return close(frame);
    }
    if (at != 0) *out_ += at % 2 == 0 ? "], " : ", ";
    if (at % 2 == 0) *out_ += "[";
    ++frame.next;
    put(node.items[at], depth, false);
  }

  void step_object(Frame& frame, const StateNode& node) {
    const std::size_t count = node.items.size(), at = frame.next++, depth = frame.depth + 1;
    if (at < count) {
      *out_ += at == 0 ? ", \"args\": [" : ", ";
      return put(node.items[at], depth, false);
    }
    if (at == count && count != 0) *out_ += "]";
    if (at == count && node.state != kNoState) {
      *out_ += ", \"state\": ";
      return put(node.state, depth, false);
    }
    if (at == count) return;
    if (at == count + 1 && node.extra != kNoState) {
      *out_ += ", \"extra\": ";
      return put(node.extra, depth, false);
    }
    if (at > count) close(frame);
  }

 public:
  /// Appends the value of slot `slot` itself.
  bool write_slot(std::size_t slot, std::string* out) {
    out_ = out;
    put(slots_[slot], 0, true);
    while (!open_.empty() && good_) step();
    return good_;
  }

 private:
  const StateTree& tree_;
  const std::vector<std::string>& names_;
  std::vector<bool> shared_;
  std::vector<StateId> slot_of_;
  std::vector<StateId> slots_;
  std::vector<Frame> open_;
  std::string* out_ = nullptr;
  bool good_ = true;
};

std::string list_text(const std::vector<std::int64_t>& numbers) {
  return fmt::format("[{}]", fmt::join(numbers, ", "));
}

std::string record_text(const TensorRecord& record) {
  std::string out;
  const auto add = [&](std::string_view key, std::string_view value) {
    out.append(out.empty() ? "{\"" : ", \"").append(key).append("\": ").append(value);
  };
  if (record.dtype) add("dtype", json_string(dtype_name(*record.dtype)));
  if (!record.view_of.empty()) add("view_of", json_string(record.view_of));
  if (record.shape) add("shape", list_text(*record.shape));
  if (record.strides) add("strides", list_text(*record.strides));
  if (record.offset_elements != 0) add("offset", std::to_string(record.offset_elements));
  if (!record.tied_to.empty()) add("tied_to", json_string(record.tied_to));
  if (record.requires_grad) add("requires_grad", "true");
  if (record.parameter) add("parameter", "true");
  if (!record.source_strides.empty()) add("source_strides", list_text(record.source_strides));
  return out.empty() ? "{}" : out + "}";
}

Error bad_name(std::string_view name) {
  Error error(ErrorCode::kInvalidArgument,
              "the state refers to a tensor whose name cannot be written");
  error.tensor = name;
  return error;
}

}  // namespace

Result<std::string> write_state_json(const StateTree& state,
                                     const std::vector<std::string>& tensor_names,
                                     const std::vector<TensorRecord>& records) {
  std::string out = "{\n  \"format\": \"kilter-state\",\n  \"version\": 1";
  bool first = true;
  for (const TensorRecord& record : records) {
    if (!is_valid_utf8(record.name) || !is_valid_utf8(record.view_of) ||
        !is_valid_utf8(record.tied_to))
      return fail(bad_name(record.name));
    out += first ? ",\n  \"tensors\": {\n    " : ",\n    ";
    out.append(json_string(record.name)).append(": ").append(record_text(record));
    first = false;
  }
  if (!first) out += "\n  }";
  if (!state.empty()) {
    Writer writer(state, tensor_names);
    out += ",\n  \"root\": ";
    if (!writer.write(state.root(), &out)) return fail(bad_name(""));
    for (std::size_t slot = 0; slot < writer.slots().size(); ++slot) {
      out += slot == 0 ? ",\n  \"shared\": [\n    " : ",\n    ";
      if (!writer.write_slot(slot, &out)) return fail(bad_name(""));
    }
    if (!writer.slots().empty()) out += "\n  ]";
  }
  out += "\n}\n";
  return out;
}

}  // namespace kilter::state_json

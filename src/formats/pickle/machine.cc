#include "formats/pickle/machine.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "formats/pickle/machine_state.h"

namespace kilter::pickle {

Stream run_stream(Bytes bytes, std::uint64_t file_offset_bytes, const Limits& limits,
                  Graph* graph) {
  Stream stream = Machine(bytes, file_offset_bytes, limits, graph).run();
  graph->streams.push_back(stream);
  return stream;
}

Machine::Machine(Bytes bytes, std::uint64_t file_offset_bytes, const Limits& limits, Graph* graph)
    : bytes_(bytes), base_(file_offset_bytes), limits_(limits), graph_(*graph) {
  small_ints_.fill(kNoNode);
  stream_.begin_bytes = base_;
}

Stream Machine::run() {
  bool going = true;
  while (going && !stream_.stopped) {
    opcode_position_ = position_;
    if (position_ == frame_end_) frame_end_ = kNoFrame;
    if (remaining() == 0) {
      going = malformed("the pickle ends before its STOP opcode");
    } else if (over_limit(++opcode_count_, limits_.opcode_count_max, "opcodes")) {
      going = false;
    } else {
      opcode_ = std::to_integer<std::uint8_t>(bytes_[position_++]);
      going = step(opcode_);
    }
  }
  stream_.end_bytes = base_ + position_;
  if (!stream_.stopped) stream_.left_on_stack = std::move(stack_);
  return std::move(stream_);
}

// ---- Reading. An argument that reaches past its frame is read differently by different
// unpicklers, so it is an event; the machine goes on as one that reads from memory.

void Machine::leave_frame() {
  add_event(EventKind::kFrameFault, kNoNode, "the argument of an opcode reaches past its frame");
  frame_end_ = kNoFrame;
}

bool Machine::take(std::uint64_t count_bytes, std::string_view* out) {
  if (count_bytes > remaining()) {
    return malformed(fmt::format("{} needs {} bytes, {} are left", opcode_name(opcode_),
                                 count_bytes, remaining()));
  }
  const auto count = static_cast<std::size_t>(count_bytes);
  if (frame_end_ != kNoFrame && count > frame_end_ - position_) leave_frame();
  *out = as_text(bytes_.subspan(position_, count));
  position_ += count;
  return true;
}

// At the end of the data the C unpickler drops the last character instead of a newline. The name
// is reported as it stands: it is looked up before the missing rest is noticed.
bool Machine::take_line(std::string_view* out) {
  if (remaining() == 0) return malformed("the line of a text opcode is missing");
  const std::string_view rest = as_text(bytes_.subspan(position_));
  const void* const newline = std::memchr(rest.data(), '\n', rest.size());
  const std::size_t length =
      newline == nullptr
          ? rest.size()
          : static_cast<std::size_t>(static_cast<const char*>(newline) - rest.data());
  const std::size_t consumed = newline == nullptr ? length : length + 1;
  if (frame_end_ != kNoFrame && consumed > frame_end_ - position_) leave_frame();
  *out = rest.substr(0, length);
  position_ += consumed;
  return true;
}

// ---- Faults.

void Machine::add_event(EventKind kind, NodeId node_id, std::string text) {
  graph_.events.push_back({kind, base_ + opcode_position_, node_id, std::move(text)});
}

bool Machine::fail_stream(EventKind kind, ErrorCode code, std::string message) {
  add_event(kind, kNoNode, message);
  stream_.error = Error(code, std::move(message)).at_offset(base_ + opcode_position_);
  return false;
}

bool Machine::stack_fault(std::string message) {
  return fail_stream(EventKind::kStackFault, ErrorCode::kMalformed, std::move(message));
}

bool Machine::malformed(std::string message) {
  stream_.error =
      Error(ErrorCode::kMalformed, std::move(message)).at_offset(base_ + opcode_position_);
  return false;
}

bool Machine::report_limit(std::uint64_t max, const char* what) {
  stream_.error =
      Error(ErrorCode::kLimitExceeded, fmt::format("the pickle has more than {} {}", max, what))
          .at_offset(base_ + opcode_position_);
  return true;
}

// ---- Stack.

bool Machine::top(NodeId* out) {
  if (stack_.size() <= fence()) {
    return stack_fault(fmt::format("{} finds the stack empty", opcode_name(opcode_)));
  }
  *out = stack_.back();
  return true;
}

bool Machine::pop(NodeId* out) {
  if (!top(out)) return false;
  stack_.pop_back();
  return true;
}

bool Machine::take_mark(std::size_t* begin) {
  if (marks_.empty()) {
    return stack_fault(fmt::format("{} finds no MARK", opcode_name(opcode_)));
  }
  *begin = marks_.back();
  marks_.pop_back();
  return true;
}

std::vector<NodeId> Machine::cut(std::size_t begin) {
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(begin);
  std::vector<NodeId> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  return items;
}

// ---- Nodes.

bool Machine::make(NodeKind kind, NodeId* out) {
  if (over_limit(graph_.nodes.size() + 1, limits_.node_count_max, "values")) return false;
  Node& added = graph_.nodes.emplace_back();
  added.kind = kind;
  added.call_opcode = opcode_;
  added.offset_bytes = base_ + opcode_position_;
  *out = static_cast<NodeId>(graph_.nodes.size() - 1);
  return true;
}

bool Machine::push_new(NodeKind kind) {
  NodeId id;
  return make(kind, &id) && push(id);
}

bool Machine::push_text(NodeKind kind, std::string_view text) {
  text_bytes_ += text.size();
  if (over_limit(text_bytes_, limits_.text_bytes_max, "bytes of text")) return false;
  NodeId id;
  if (!make(kind, &id)) return false;
  node(id).text.assign(text);
  return push(id);
}

bool Machine::push_items(NodeKind kind, std::vector<NodeId> items) {
  NodeId id;
  if (!make(kind, &id)) return false;
  node(id).items = std::move(items);
  return push(id);
}

bool Machine::push_shared(NodeKind kind, std::int64_t integer, NodeId* slot) {
  if (*slot == kNoNode) {
    if (!make(kind, slot)) return false;
    node(*slot).integer = integer;
  }
  return push(*slot);
}

// Equal integers that are pushed again soon are one node: lists of them stay small.
bool Machine::push_int(std::int64_t value) {
  NodeId* slot;
  if (value >= 0 && value < 256) {
    slot = &small_ints_[static_cast<std::size_t>(value)];
  } else {
    if (recent_ints_.empty()) recent_ints_.resize(kRecentIntCount, kNoNode);
    slot = &recent_ints_[static_cast<std::uint64_t>(value) % kRecentIntCount];
    if (*slot != kNoNode && node(*slot).integer != value) *slot = kNoNode;
  }
  return push_shared(NodeKind::kInt, value, slot);
}

bool Machine::push_parsed(ParsedInt value) {
  return value.text.empty() ? push_int(value.value) : push_text(NodeKind::kBigInt, value.text);
}

bool Machine::is_shared(NodeId id) const {
  if (id == none_ || id == true_ || id == false_ || id == empty_tuple_) return true;
  return graph_.nodes[id].kind == NodeKind::kInt;
}

bool Machine::push_global(std::string_view module, std::string_view name, NodeId* out) {
  text_bytes_ += module.size() + name.size();
  if (over_limit(text_bytes_, limits_.text_bytes_max, "bytes of text")) return false;
  NodeId id;
  if (!make(NodeKind::kGlobal, &id)) return false;
  node(id).text.assign(module);
  node(id).text2.assign(name);
  add_event(EventKind::kGlobal, id);
  if (out != nullptr) {
    *out = id;
    return true;
  }
  return push(id);
}

bool Machine::push_call(NodeId callable, NodeId arguments, NodeId keywords) {
  NodeId id;
  if (!make(NodeKind::kCall, &id)) return false;
  node(id).items = {callable, arguments};
  if (keywords != kNoNode) node(id).items.push_back(keywords);
  add_event(EventKind::kCall, id);
  return push(id);
}

std::optional<std::uint64_t> payload_offset(const Node& node) {
  switch (node.call_opcode) {
    case kOpShortBinString:
    case kOpShortBinBytes:
    case kOpShortBinUnicode:
      return node.offset_bytes + 2;
    case kOpBinString:
    case kOpBinBytes:
    case kOpBinUnicode:
      return node.offset_bytes + 5;
    case kOpBinUnicode8:
    case kOpBinBytes8:
    case kOpByteArray8:
      return node.offset_bytes + 9;
    default:
      return std::nullopt;
  }
}

}  // namespace kilter::pickle

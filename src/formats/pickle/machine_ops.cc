// What each opcode does to the machine.
#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <utility>

#include "formats/pickle/machine_state.h"

namespace kilter::pickle {
namespace {

constexpr std::uint64_t kSparseIndexMin = 1 << 20;
// What can never stand for a tuple, whatever the loader does: anything known by value.
bool surely_no_tuple(NodeKind kind) {
  return kind != NodeKind::kTuple && kind != NodeKind::kCall && kind != NodeKind::kPersistentId &&
         kind != NodeKind::kExtension && kind != NodeKind::kGlobal;
}

}  // namespace

template <typename T>
bool Machine::take_number(T* out) {
  std::string_view raw;
  if (!take(sizeof(T), &raw)) return false;
  static_assert(std::endian::native == std::endian::little);
  std::memcpy(out, raw.data(), sizeof(T));
  return true;
}

// Bytes behind their length: one byte, four (unsigned) or eight.
bool Machine::take_sized(std::size_t size_bytes, std::string_view* out) {
  std::string_view raw;
  if (!take(size_bytes, &raw)) return false;
  std::uint64_t length = 0;
  std::memcpy(&length, raw.data(), size_bytes);
  return take(length, out);
}

bool Machine::step(std::uint8_t opcode) {
  switch (opcode) {
    case kOpMark:
      if (over_limit(marks_.size() + 1, limits_.stack_depth_max, "marks on its stack"))
        return false;
      marks_.push_back(stack_.size());
      return true;
    case kOpStop:
      return op_stop();
    case kOpPop:
      return op_pop();
    case kOpPopMark: {
      std::size_t begin;
      if (!take_mark(&begin)) return false;
      stack_.resize(begin);
      return true;
    }
    case kOpDup:
      return op_dup();
    case kOpNone:
      return push_shared(NodeKind::kNone, 0, &none_);
    case kOpNewTrue:
      return push_shared(NodeKind::kBool, 1, &true_);
    case kOpNewFalse:
      return push_shared(NodeKind::kBool, 0, &false_);
    case kOpEmptyTuple:
      return push_shared(NodeKind::kTuple, 0, &empty_tuple_);
    case kOpEmptyList:
      return push_new(NodeKind::kList);
    case kOpEmptyDict:
      return push_new(NodeKind::kDict);
    case kOpEmptySet:
      return push_new(NodeKind::kSet);
    case kOpTuple1:
      return op_tuple(1);
    case kOpTuple2:
      return op_tuple(2);
    case kOpTuple3:
      return op_tuple(3);
    case kOpTuple:
      return op_marked(NodeKind::kTuple);
    case kOpList:
      return op_marked(NodeKind::kList);
    case kOpFrozenSet:
      return op_marked(NodeKind::kFrozenSet);
    case kOpDict:
      return op_dict();
    case kOpAppend:
      return op_append();
    case kOpAppends:
      return op_appends(false);
    case kOpAddItems:
      return op_appends(true);
    case kOpSetItem:
      return op_set_item();
    case kOpSetItems:
      return op_set_items();
    case kOpMemoize:
      return put(memo_.count());
    default:
      return step_binary(opcode);
  }
}

bool Machine::step_text(std::uint8_t opcode) {
  switch (opcode) {
    case kOpInt:
      return op_int();
    case kOpLong:
      return op_long_text();
    case kOpFloat:
      return op_float_text();
    case kOpString:
      return op_string();
    case kOpUnicode:
      return op_unicode();
    case kOpPersId:
      return op_persistent_text();
    case kOpGet:
      return op_get_text();
    case kOpPut:
      return op_put_text();
    case kOpInst:
      return op_inst();
    case kOpGlobal:
      return op_global();
    default:
      return step_object(opcode);
  }
}

bool Machine::step_binary(std::uint8_t opcode) {
  switch (opcode) {
    case kOpBinInt: {
      std::int32_t value;
      return take_number(&value) && push_int(value);
    }
    case kOpBinInt1: {
      std::uint8_t value;
      return take_number(&value) && push_int(value);
    }
    case kOpBinInt2: {
      std::uint16_t value;
      return take_number(&value) && push_int(value);
    }
    case kOpBinGet: {
      std::uint8_t index;
      return take_number(&index) && get(index);
    }
    case kOpLongBinGet: {
      std::uint32_t index;
      return take_number(&index) && get(index);
    }
    case kOpBinPut: {
      std::uint8_t index;
      return take_number(&index) && put(index);
    }
    case kOpLongBinPut: {
      std::uint32_t index;
      return take_number(&index) && put(index);
    }
    case kOpLong1:
      return op_long_binary(1);
    case kOpLong4:
      return op_long_binary(4);
    case kOpBinFloat:
      return op_float_binary();
    case kOpShortBinString:
      return op_8bit_string(1);
    case kOpBinString:
      return op_8bit_string(4);
    case kOpShortBinBytes:
      return op_binary_text(NodeKind::kBytes, 1);
    case kOpBinBytes:
      return op_binary_text(NodeKind::kBytes, 4);
    case kOpBinBytes8:
      return op_binary_text(NodeKind::kBytes, 8);
    case kOpByteArray8:
      return op_binary_text(NodeKind::kByteArray, 8);
    case kOpShortBinUnicode:
      return op_binary_text(NodeKind::kString, 1);
    case kOpBinUnicode:
      return op_binary_text(NodeKind::kString, 4);
    case kOpBinUnicode8:
      return op_binary_text(NodeKind::kString, 8);
    default:
      return step_text(opcode);
  }
}

bool Machine::step_object(std::uint8_t opcode) {
  switch (opcode) {
    case kOpProto:
      return op_proto();
    case kOpFrame:
      return op_frame();
    case kOpReduce:
      return op_reduce();
    case kOpObj:
      return op_obj();
    case kOpNewObj:
      return op_new_obj();
    case kOpNewObjEx:
      return op_new_obj_ex();
    case kOpStackGlobal:
      return op_stack_global();
    case kOpBuild:
      return op_build();
    case kOpBinPersId:
      return op_persistent();
    case kOpExt1:
      return op_extension(1);
    case kOpExt2:
      return op_extension(2);
    case kOpExt4:
      return op_extension(4);
    case kOpNextBuffer:
      return op_next_buffer();
    case kOpReadonlyBuffer:
      return op_readonly_buffer();
    default:
      return fail_stream(EventKind::kUnknownOpcode, ErrorCode::kMalformed,
                         fmt::format("byte 0x{:02x} is no pickle opcode", opcode));
  }
}

bool Machine::op_proto() {
  std::uint8_t protocol;
  if (!take_number(&protocol)) return false;
  if (protocol > kProtocolMax) {
    return malformed(fmt::format("pickle protocol {} is unknown", protocol));
  }
  stream_.protocol = protocol;
  return true;
}

bool Machine::op_frame() {
  const bool inside = frame_end_ != kNoFrame;
  std::uint64_t length;
  if (!take_number(&length)) return false;
  if (inside && frame_end_ != kNoFrame && position_ != frame_end_) {
    add_event(EventKind::kFrameFault, kNoNode, "a frame begins before the last one ends");
  }
  frame_end_ = kNoFrame;
  if (length > remaining()) {
    // The C unpickler stops here, the Python one reads on: so does this one.
    add_event(EventKind::kFrameFault, kNoNode,
              fmt::format("a frame of {} bytes has {} left", length, remaining()));
    return true;
  }
  if (length > 0) frame_end_ = position_ + static_cast<std::size_t>(length);
  return true;
}

bool Machine::op_stop() {
  if (!pop(&stream_.result)) return false;
  if (frame_end_ != kNoFrame && position_ != frame_end_) {
    add_event(EventKind::kFrameFault, kNoNode, "STOP comes before the end of its frame");
  }
  stream_.left_on_stack = std::move(stack_);
  stream_.stopped = true;
  return true;
}

// Marks and values lie on one stack for the pickler, so POP also removes a mark on top.
bool Machine::op_pop() {
  if (!marks_.empty() && marks_.back() == stack_.size()) {
    marks_.pop_back();
    return true;
  }
  NodeId ignored;
  return pop(&ignored);
}

bool Machine::op_dup() {
  NodeId id;
  return top(&id) && push(id);
}

bool Machine::op_int() {
  std::string_view line;
  if (!take_line(&line)) return false;
  const auto value = parse_int(line, 0);
  if (!value) return malformed("the argument of INT is no integer");
  const bool boolean = line.size() == 2 && value->text.empty() && (value->value | 1) == 1;
  if (!boolean) return push_parsed(*value);
  return push_shared(NodeKind::kBool, value->value, value->value == 1 ? &true_ : &false_);
}

bool Machine::op_long_text() {
  std::string_view line;
  if (!take_line(&line)) return false;
  if (!line.empty() && line.back() == 'L') line.remove_suffix(1);
  const auto value = parse_int(line, 0);
  return value ? push_parsed(*value) : malformed("the argument of LONG is no integer");
}

bool Machine::op_long_binary(std::size_t size_bytes) {
  std::string_view raw;
  if (!take_sized(size_bytes, &raw)) return false;
  if (raw.size() > INT32_MAX) return malformed("LONG4 has a negative length");
  return push_parsed(decode_long(as_bytes(raw)));
}

bool Machine::op_float_text() {
  std::string_view line;
  if (!take_line(&line)) return false;
  const auto value = parse_float(line);
  if (!value) return malformed("the argument of FLOAT is no number");
  NodeId id;
  if (!make(NodeKind::kFloat, &id)) return false;
  node(id).number = *value;
  return push(id);
}

bool Machine::op_float_binary() {
  std::uint64_t bits;
  if (!take_number(&bits)) return false;
  NodeId id;
  if (!make(NodeKind::kFloat, &id)) return false;
  node(id).number = std::bit_cast<double>(__builtin_bswap64(bits));
  return push(id);
}

bool Machine::op_string() {
  std::string_view line;
  if (!take_line(&line)) return false;
  while (!line.empty() && std::strchr(" \t\r\n\v\f", line.back()) != nullptr) {
    line.remove_suffix(1);
  }
  const bool quoted = line.size() >= 2 && line.front() == line.back() &&
                      (line.front() == '\'' || line.front() == '"');
  if (!quoted) return malformed("the argument of STRING is not quoted");
  const auto text = decode_escapes(line.substr(1, line.size() - 2));
  if (!text) return malformed("the argument of STRING has a broken escape");
  return push_text(is_valid_wtf8(*text) ? NodeKind::kString : NodeKind::kBytes, *text);
}

bool Machine::op_8bit_string(std::size_t size_bytes) {
  std::string_view text;
  if (!take_sized(size_bytes, &text)) return false;
  if (text.size() > INT32_MAX) return malformed("BINSTRING has a negative length");
  return push_text(is_valid_wtf8(text) ? NodeKind::kString : NodeKind::kBytes, text);
}

bool Machine::op_unicode() {
  std::string_view line;
  if (!take_line(&line)) return false;
  const auto text = decode_raw_unicode(line);
  if (!text) return malformed("the argument of UNICODE has a broken escape");
  return push_text(NodeKind::kString, *text);
}

bool Machine::op_binary_text(NodeKind kind, std::size_t size_bytes) {
  std::string_view text;
  if (!take_sized(size_bytes, &text)) return false;
  if (kind == NodeKind::kString && !is_valid_wtf8(text)) {
    return malformed(fmt::format("{} is no UTF-8", opcode_name(opcode_)));
  }
  return push_text(kind, text);
}

bool Machine::op_tuple(std::size_t count) {
  if (stack_.size() - fence() < count) {
    return stack_fault(fmt::format("{} finds too few values", opcode_name(opcode_)));
  }
  return push_items(NodeKind::kTuple, cut(stack_.size() - count));
}

bool Machine::op_marked(NodeKind kind) {
  std::size_t begin;
  return take_mark(&begin) && push_items(kind, cut(begin));
}

// A key without a value is dropped, as the C unpickler does.
bool Machine::op_dict() {
  std::size_t begin;
  if (!take_mark(&begin)) return false;
  std::vector<NodeId> items = cut(begin);
  if (items.size() % 2 != 0) items.pop_back();
  return push_items(NodeKind::kDict, std::move(items));
}

bool Machine::op_get_text() {
  std::string_view line;
  if (!take_line(&line)) return false;
  const auto index = parse_int(line, 10);
  if (!index || !index->text.empty() || index->value < 0) {
    return malformed("the argument of GET is no index");
  }
  return get(static_cast<std::uint64_t>(index->value));
}

bool Machine::op_put_text() {
  std::string_view line;
  if (!take_line(&line)) return false;
  const auto index = parse_int(line, 10);
  if (!index || !index->text.empty() || index->value < 0) {
    return malformed("the argument of PUT is no index");
  }
  return put(static_cast<std::uint64_t>(index->value));
}

bool Machine::get(std::uint64_t index) {
  const NodeId id = memo_.get(index);
  if (id == kNoNode) return stack_fault(fmt::format("memo slot {} was never filled", index));
  return push(id);
}

bool Machine::put(std::uint64_t index) {
  NodeId id;
  if (!top(&id)) return false;
  if (over_limit(memo_.count() + 1, limits_.memo_count_max, "memo entries")) return false;
  // The C unpickler keeps an array of twice the highest index.
  if (!sparse_memo_ && index > kSparseIndexMin && index / 64 > memo_.count()) {
    sparse_memo_ = true;
    add_event(EventKind::kSparseMemo, id, fmt::format("memo slot {} is filled", index));
  }
  memo_.put(index, id);
  return true;
}

bool Machine::op_append() {
  if (stack_.size() < fence() + 2) return stack_fault("APPEND finds too few values");
  return add_items(stack_.size() - 1, false);
}

bool Machine::op_appends(bool as_set) {
  std::size_t begin;
  if (!take_mark(&begin)) return false;
  if (begin <= fence()) {
    return stack_fault(fmt::format("{} finds nothing to add to", opcode_name(opcode_)));
  }
  return add_items(begin, as_set);
}

bool Machine::add_items(std::size_t begin, bool as_set) {
  const std::vector<NodeId> added = cut(begin);
  const NodeId target = stack_.back();
  const bool plain = node(target).kind == (as_set ? NodeKind::kSet : NodeKind::kList);
  if (added.empty()) return true;
  if (!plain) add_event(EventKind::kSetItemOnObject, target, opcode_name(opcode_));
  if (is_shared(target)) return true;
  std::vector<NodeId>& list = plain ? node(target).items : node(target).appended.edit();
  list.insert(list.end(), added.begin(), added.end());
  return true;
}

bool Machine::op_set_item() {
  if (stack_.size() < fence() + 3) return stack_fault("SETITEM finds too few values");
  return set_items(stack_.size() - 2);
}

bool Machine::op_set_items() {
  std::size_t begin;
  if (!take_mark(&begin)) return false;
  if (begin <= fence()) return stack_fault("SETITEMS finds nothing to add to");
  if ((stack_.size() - begin) % 2 != 0) return stack_fault("SETITEMS finds a key without a value");
  return set_items(begin);
}

bool Machine::set_items(std::size_t begin) {
  const std::vector<NodeId> added = cut(begin);
  const NodeId target = stack_.back();
  const bool plain = node(target).kind == NodeKind::kDict;
  if (added.empty()) return true;
  if (!plain) add_event(EventKind::kSetItemOnObject, target, opcode_name(opcode_));
  if (is_shared(target)) return true;
  std::vector<NodeId>& items = plain ? node(target).items : node(target).set_items.edit();
  items.insert(items.end(), added.begin(), added.end());
  return true;
}

bool Machine::op_global() {
  std::string_view module;
  std::string_view name;
  if (!take_line(&module) || !take_line(&name)) return false;
  return push_global(module, name);
}

bool Machine::op_stack_global() {
  NodeId name;
  NodeId module;
  if (!pop(&name) || !pop(&module)) return false;
  if (node(name).kind == NodeKind::kString && node(module).kind == NodeKind::kString) {
    const std::string module_text = node(module).text;  // copies: push_global moves the nodes
    const std::string name_text = node(name).text;
    return push_global(module_text, name_text);
  }
  // A str subclass or a result of a call could stand here: what it names shows only on loading.
  NodeId id;
  if (!make(NodeKind::kGlobal, &id)) return false;
  node(id).items = {module, name};
  add_event(EventKind::kComputedName, id, "the name to import is no plain text");
  return push(id);
}

bool Machine::op_inst() {
  std::size_t begin;
  std::string_view module;
  std::string_view name;
  if (!take_mark(&begin) || !take_line(&module) || !take_line(&name)) return false;
  NodeId callable;
  if (!push_global(module, name, &callable)) return false;
  if (!push_items(NodeKind::kTuple, cut(begin))) return false;
  const NodeId arguments = stack_.back();
  stack_.pop_back();
  return push_call(callable, arguments);
}

bool Machine::op_obj() {
  std::size_t begin;
  if (!take_mark(&begin)) return false;
  if (stack_.size() <= begin) return stack_fault("OBJ finds no class");
  if (!push_items(NodeKind::kTuple, cut(begin + 1))) return false;
  const NodeId arguments = stack_.back();
  stack_.pop_back();
  const NodeId callable = stack_.back();
  stack_.pop_back();
  return push_call(callable, arguments);
}

bool Machine::op_reduce() {
  NodeId arguments;
  NodeId callable;
  if (!pop(&arguments) || !pop(&callable)) return false;
  if (!push_call(callable, arguments)) return false;
  if (surely_no_tuple(node(arguments).kind)) return stack_fault("REDUCE finds no argument tuple");
  return true;
}

bool Machine::op_new_obj() {
  NodeId arguments;
  NodeId callable;
  if (!pop(&arguments) || !pop(&callable)) return false;
  if (!push_call(callable, arguments)) return false;
  if (surely_no_tuple(node(arguments).kind)) return stack_fault("NEWOBJ finds no argument tuple");
  return true;
}

bool Machine::op_new_obj_ex() {
  NodeId keywords;
  NodeId arguments;
  NodeId callable;
  if (!pop(&keywords) || !pop(&arguments) || !pop(&callable)) return false;
  if (!push_call(callable, arguments, keywords)) return false;
  if (surely_no_tuple(node(arguments).kind)) {
    return stack_fault("NEWOBJ_EX finds no argument tuple");
  }
  return true;
}

bool Machine::op_build() {
  if (stack_.size() < fence() + 2) return stack_fault("BUILD finds too few values");
  NodeId state;
  if (!pop(&state)) return false;
  const NodeId target = stack_.back();
  add_event(EventKind::kBuild, target);
  if (!is_shared(target)) node(target).states.push_back(state);
  return !limits_.joblib_arrays || read_joblib_array(target);
}

bool Machine::op_extension(std::size_t size_bytes) {
  std::string_view raw;
  if (!take(size_bytes, &raw)) return false;
  std::uint32_t code = 0;
  std::memcpy(&code, raw.data(), size_bytes);
  NodeId id;
  if (!make(NodeKind::kExtension, &id)) return false;
  node(id).integer = code;
  add_event(EventKind::kExtension, id, fmt::format("copyreg extension code {}", code));
  return push(id);
}

bool Machine::op_persistent_text() {
  std::string_view line;
  if (!take_line(&line)) return false;
  if (!push_text(NodeKind::kString, line)) return false;
  return op_persistent();
}

bool Machine::op_persistent() {
  NodeId id;
  return pop(&id) && push_items(NodeKind::kPersistentId, {id});
}

bool Machine::op_next_buffer() {
  NodeId id;
  if (!make(NodeKind::kBuffer, &id)) return false;
  node(id).integer = static_cast<std::int64_t>(buffer_count_++);
  add_event(EventKind::kBuffer, id, "the bytes lie outside the pickle");
  return push(id);
}

bool Machine::op_readonly_buffer() {
  NodeId id;
  if (!top(&id)) return false;
  if (node(id).kind != NodeKind::kBuffer) {
    add_event(EventKind::kBuffer, id, "READONLY_BUFFER on something that is no buffer");
  }
  return true;
}

}  // namespace kilter::pickle

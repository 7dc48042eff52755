// The machine's registers: stack, marks, memo, frame, and the bytes it reads.
// Included by machine.cc and machine_ops.cc only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/pickle/machine.h"
#include "formats/pickle/memo.h"
#include "formats/pickle/numbers.h"
#include "formats/pickle/opcodes.h"

namespace kilter::pickle {

/// Runs one stream. Each op_ function returns false once the stream is broken; `stream.error` then
/// says why. Semantics follow CPython's C unpickler (Modules/_pickle.c): wherever that one goes
/// on, this one goes on too, so that nothing it would do stays unseen.
class Machine {
 public:
  Machine(Bytes bytes, std::uint64_t file_offset_bytes, const Limits& limits, Graph* graph);
  Stream run();

 private:
  static constexpr std::size_t kNoFrame = SIZE_MAX;
  static constexpr std::size_t kRecentIntCount = 1024;

  // Reading.
  std::size_t remaining() const { return bytes_.size() - position_; }
  bool take(std::uint64_t count_bytes, std::string_view* out);
  bool take_line(std::string_view* out);
  template <typename T>
  bool take_number(T* out);
  bool take_sized(std::size_t size_bytes, std::string_view* out);
  void leave_frame();

  // Faults.
  bool fail_stream(EventKind kind, ErrorCode code, std::string message);
  bool stack_fault(std::string message);
  bool malformed(std::string message);
  void add_event(EventKind kind, NodeId node = kNoNode, std::string text = {});
  bool over_limit(std::uint64_t count, std::uint64_t max, const char* what) {
    return count > max && report_limit(max, what);
  }
  bool report_limit(std::uint64_t max, const char* what);

  // Stack.
  std::size_t fence() const { return marks_.empty() ? 0 : marks_.back(); }
  bool push(NodeId node) {
    if (over_limit(stack_.size() + 1, limits_.stack_depth_max, "values on its stack")) return false;
    stack_.push_back(node);
    return true;
  }
  bool pop(NodeId* out);
  bool top(NodeId* out);
  bool take_mark(std::size_t* begin);
  std::vector<NodeId> cut(std::size_t begin);

  // Nodes.
  bool make(NodeKind kind, NodeId* out);
  bool push_new(NodeKind kind);
  bool push_text(NodeKind kind, std::string_view text);
  bool push_items(NodeKind kind, std::vector<NodeId> items);
  bool push_shared(NodeKind kind, std::int64_t integer, NodeId* slot);
  bool push_int(std::int64_t value);
  bool push_parsed(ParsedInt value);
  bool push_call(NodeId callable, NodeId arguments, NodeId keywords = kNoNode);
  bool push_global(std::string_view module, std::string_view name, NodeId* out = nullptr);
  bool is_shared(NodeId node) const;
  Node& node(NodeId id) { return graph_.nodes[id]; }

  // Opcodes.
  bool step(std::uint8_t opcode);
  bool step_text(std::uint8_t opcode);
  bool step_binary(std::uint8_t opcode);
  bool step_object(std::uint8_t opcode);
  bool op_proto();
  bool op_frame();
  bool op_stop();
  bool op_pop();
  bool op_dup();
  bool op_int();
  bool op_long_text();
  bool op_long_binary(std::size_t size_bytes);
  bool op_float_text();
  bool op_float_binary();
  bool op_string();
  bool op_8bit_string(std::size_t size_bytes);
  bool op_unicode();
  bool op_binary_text(NodeKind kind, std::size_t size_bytes);
  bool op_tuple(std::size_t count);
  bool op_marked(NodeKind kind);
  bool op_dict();
  bool op_get_text();
  bool op_put_text();
  bool get(std::uint64_t index);
  bool put(std::uint64_t index);
  bool op_append();
  bool op_appends(bool as_set);
  bool op_set_item();
  bool op_set_items();
  bool add_items(std::size_t begin, bool as_set);
  bool set_items(std::size_t begin);
  bool op_global();
  bool op_stack_global();
  bool op_inst();
  bool op_obj();
  bool op_reduce();
  bool op_new_obj();
  bool op_new_obj_ex();
  bool op_build();
  bool read_joblib_array(NodeId wrapper);
  bool read_joblib_objects(NodeId wrapper);
  bool op_extension(std::size_t size_bytes);
  bool op_persistent_text();
  bool op_persistent();
  bool op_next_buffer();
  bool op_readonly_buffer();

  Bytes bytes_;
  std::uint64_t base_;
  const Limits& limits_;
  Graph& graph_;
  Stream stream_;
  std::size_t position_ = 0;
  std::size_t opcode_position_ = 0;
  std::uint8_t opcode_ = 0;
  std::size_t frame_end_ = kNoFrame;
  std::uint64_t opcode_count_ = 0;
  std::uint64_t text_bytes_ = 0;
  std::uint64_t buffer_count_ = 0;
  bool sparse_memo_ = false;
  std::vector<NodeId> stack_;
  std::vector<std::size_t> marks_;
  Memo memo_;
  NodeId none_ = kNoNode;
  NodeId true_ = kNoNode;
  NodeId false_ = kNoNode;
  NodeId empty_tuple_ = kNoNode;
  std::array<NodeId, 256> small_ints_;
  std::vector<NodeId> recent_ints_;  // by value modulo its size; empty until needed
};

}  // namespace kilter::pickle

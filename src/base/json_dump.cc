#include <vector>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace kilter {
namespace {

/// Writes a value with a stack of its own: nesting is as deep as the data, not as the call stack.
class Dumper {
 public:
  explicit Dumper(int indent) : indent_(indent) {}

  std::string dump(const Json& root) {
    write(root);
    while (!open_.empty()) step();
    return std::move(out_);
  }

 private:
  struct Frame {
    const Json* value;
    Json::const_iterator next;
  };

  void write(const Json& value) {
    if (!value.is_structured() || value.empty()) {
      out_ += value.dump(-1, ' ', false, Json::error_handler_t::replace);
      return;
    }
    out_ += value.is_object() ? '{' : '[';
    open_.push_back({&value, value.cbegin()});
  }

  void step() {
    Frame& frame = open_.back();
    const bool object = frame.value->is_object();
    if (frame.next == frame.value->cend()) {
      open_.pop_back();
      break_line();
      out_ += object ? '}' : ']';
      return;
    }
    if (frame.next != frame.value->cbegin()) out_ += ',';
    break_line();
    if (object) {
      out_ += Json(frame.next.key()).dump(-1, ' ', false, Json::error_handler_t::replace);
      out_ += indent_ < 0 ? ":" : ": ";
    }
    const Json& child = *frame.next;
    ++frame.next;
    write(child);  // may move `frame`
  }

  void break_line() {
    if (indent_ < 0) return;
    out_ += '\n';
    out_.append(open_.size() * static_cast<std::size_t>(indent_), ' ');
  }

  int indent_;
  std::string out_;
  std::vector<Frame> open_;
};

}  // namespace

std::string dump_json(const Json& value, int indent) { return Dumper(indent).dump(value); }

}  // namespace kilter

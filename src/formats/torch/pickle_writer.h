// Opcodes of pickle protocol 2, those that weights_only loading reads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace kilter::torch {

/// Appends opcodes. Deterministic; strings given to name() and global() are written once and then
/// taken from the memo.
class PickleWriter {
 public:
  PickleWriter() : out_("\x80\x02") {}

  void none() { out_ += 'N'; }
  void boolean(bool value) { out_ += value ? '\x88' : '\x89'; }
  void integer(std::int64_t value);
  /// Decimal text with an optional sign, at most kBigIntDigitsMax digits.
  void big_integer(std::string_view decimal);
  void number(double value);
  void string(std::string_view utf8);  ///< shorter than 4 GiB
  void name(std::string_view utf8);    ///< string() with memo
  void global(std::string_view module_dot_name);
  void empty_tuple() { out_ += ')'; }
  void empty_list() { out_ += ']'; }
  void empty_dict() { out_ += '}'; }
  void mark() { out_ += '('; }
  void tuple() { out_ += 't'; }
  void appends() { out_ += 'e'; }
  void set_items() { out_ += 'u'; }
  void reduce() { out_ += 'R'; }
  void build() { out_ += 'b'; }
  void new_object() { out_ += '\x81'; }  ///< class and argument tuple lie on top
  void persistent_id() { out_ += 'Q'; }
  void stop() { out_ += '.'; }
  /// Puts the value on top into the memo and returns its number.
  std::uint32_t put();
  void get(std::uint32_t number);

  const std::string& bytes() const { return out_; }
  std::string take() { return std::move(out_); }

 private:
  template <typename T>
  void little(T value);
  void long_bytes(std::string_view two_complement);
  std::string out_;
  std::uint32_t memo_count_ = 0;
  std::unordered_map<std::string, std::uint32_t> names_;
};

}  // namespace kilter::torch

// Colour and emphasis, only where the terminal wants them.
#pragma once

#include <string>

namespace kilter::cli {

class Style {
 public:
  explicit Style(bool colour) : colour_(colour) {}
  std::string bold(const std::string& text) const { return wrap("1", text); }
  std::string dim(const std::string& text) const { return wrap("2", text); }
  std::string good(const std::string& text) const { return wrap("32", text); }
  std::string warn(const std::string& text) const { return wrap("33", text); }
  std::string bad(const std::string& text) const { return wrap("1;31", text); }
  std::string name(const std::string& text) const { return wrap("36", text); }

 private:
  std::string wrap(const char* code, const std::string& text) const {
    return colour_ ? std::string("\x1b[") + code + "m" + text + "\x1b[0m" : text;
  }
  bool colour_;
};

}  // namespace kilter::cli

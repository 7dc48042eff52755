#include "formats/npy/literal.h"

#include <algorithm>

#include "base/checked.h"
#include "base/text.h"
#include "base/try.h"
#include "formats/npy/npy_header.h"

namespace kilter::npy {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<HeaderLiteral> parse() {
    KILTER_TRY(take('{'));
    while (!peek('}')) {
      KILTER_ASSIGN(const std::string key, string());
      KILTER_TRY(take(':'));
      KILTER_TRY(value(key));
      if (!peek('}')) KILTER_TRY(take(','));
    }
    KILTER_TRY(take('}'));
    skip_space();
    if (at_ != text_.size()) return refuse("something follows the dictionary", "only spaces");
    if (seen_ != 7) return refuse("a key is missing", "descr, fortran_order and shape");
    return std::move(out_);
  }

 private:
  tl::unexpected<Error> refuse(std::string message, std::string expected) const {
    return fail(
        Error(ErrorCode::kMalformed, "the numpy header is malformed: " + message)
            .at_offset(at_)
            .wanted(std::move(expected),
                    '"' + escape_text(text_.substr(std::min(at_, text_.size()), 40), 40) + '"'));
  }

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  }

  bool peek(char c) {
    skip_space();
    return at_ < text_.size() && text_[at_] == c;
  }

  Status take(char c) {
    if (!peek(c)) return refuse("a character is missing", std::string("'") + c + "'");
    ++at_;
    return ok();
  }

  bool take_word(std::string_view word) {
    skip_space();
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  Result<std::string> string() {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') return refuse("a string is missing", "a quote");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == text_.npos) return refuse("a string has no end", "a closing quote");
    const std::string_view content = text_.substr(at_ + 1, end - at_ - 1);
    if (content.find('\\') != content.npos)
      return refuse("a string has escapes", "plain characters");
    at_ = end + 1;
    return std::string(content);
  }

  Status once(unsigned bit) {
    if ((seen_ & bit) != 0) return refuse("a key comes twice", "each key once");
    seen_ |= bit;
    return ok();
  }

  Status value(const std::string& key) {
    if (key == "descr") return once(1) ? descr() : once(1);
    if (key == "fortran_order") return once(2) ? boolean() : once(2);
    if (key == "shape") return once(4) ? shape() : once(4);
    return refuse("a key is unknown: \"" + escape_text(key, 40) + "\"",
                  "descr, fortran_order or shape");
  }

  Status descr() {
    if (peek('\'') || peek('"')) {
      out_.is_string = true;
      KILTER_ASSIGN(out_.descr, string());
      return ok();
    }
    if (!peek('[') && !peek('(')) return refuse("descr is no dtype", "a string, list or tuple");
    return bracketed();
  }

  /// Skips a list or tuple with what is inside; counts brackets instead of recursing.
  Status bracketed() {
    const std::size_t begin = at_;
    std::string open;  // closing brackets still to come
    do {
      if (at_ >= text_.size()) return refuse("a bracket is not closed", "its end");
      const char c = text_[at_];
      if (c == '\'' || c == '"') {
        KILTER_TRY(skip_string(c));
        continue;
      }
      if (c == '[' || c == '(' || c == '{') open += c == '[' ? ']' : c == '(' ? ')' : '}';
      if (c == ']' || c == ')' || c == '}') {
        if (open.back() != c) return refuse("brackets do not match", std::string(1, open.back()));
        open.pop_back();
      }
      ++at_;
    } while (!open.empty());
    out_.descr = text_.substr(begin, at_ - begin);
    return ok();
  }

  Status skip_string(char quote) {
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\') {
        ++at_;
      } else if (text_[at_] == quote) {
        ++at_;
        return ok();
      }
    }
    return refuse("a string has no end", "a closing quote");
  }

  Status boolean() {
    if (take_word("True")) {
      out_.fortran_order = true;
    } else if (!take_word("False")) {
      return refuse("fortran_order is no boolean", "True or False");
    }
    return ok();
  }

  Status shape() {
    KILTER_TRY(take('('));
    while (!peek(')')) {
      if (out_.shape.size() == kDimensionsMax)
        return refuse("there are too many dimensions", "at most 64");
      KILTER_ASSIGN(const std::int64_t size, integer());
      out_.shape.push_back(size);
      if (!peek(')')) KILTER_TRY(take(','));
    }
    return take(')');
  }

  Result<std::int64_t> integer() {
    skip_space();
    std::optional<std::int64_t> out;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const auto tens = checked_mul<std::int64_t>(out.value_or(0), 10);
      out = tens ? checked_add<std::int64_t>(*tens, text_[at_] - '0') : std::nullopt;
      if (!out) return refuse("a dimension does not fit 63 bits", "at most 2^63 - 1");
    }
    if (!out) return refuse("a dimension is no number", "digits");
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2's long
    return *out;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  unsigned seen_ = 0;
  HeaderLiteral out_;
};

}  // namespace

Result<HeaderLiteral> parse_header_literal(std::string_view text) { return Parser(text).parse(); }

}  // namespace kilter::npy

#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace kilter {
namespace {

using Object = Json::object_t;

/// Hands the text to the lexer byte by byte and counts, so that events have positions.
class CountingIterator {
 public:
  using difference_type = std::ptrdiff_t;
  using value_type = char;
  using pointer = const char*;
  using reference = const char&;
  using iterator_category = std::input_iterator_tag;

  CountingIterator(const char* at, std::size_t* count) : at_(at), count_(count) {}
  const char& operator*() const { return *at_; }
  CountingIterator& operator++() {
    ++at_;
    ++*count_;
    return *this;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  std::size_t* count_;
};

/// Where the key that ends (with its closing quote) before `end` begins.
std::size_t key_begin(std::string_view text, std::size_t end) {
  std::size_t quote = end - 1;
  while (quote > 0) {
    quote = text.rfind('"', quote - 1);
    if (quote == std::string_view::npos) return 0;
    std::size_t backslashes = 0;
    while (backslashes < quote && text[quote - 1 - backslashes] == '\\') ++backslashes;
    if (backslashes % 2 == 0) return quote;
  }
  return 0;
}

/// Builds the value from parse events. Objects are appended to as plain vectors: the ordered map's
/// own insertion searches every key, which is quadratic. Repeated keys are found when the object
/// ends, by sorting.
class Builder {
 public:
  Builder(std::string_view text, const JsonLimits& limits, std::uint64_t base_offset_bytes)
      : text_(text), limits_(limits), base_(base_offset_bytes) {}

  std::size_t* position() { return &position_; }
  Json take_value() { return std::move(root_); }
  Error take_error() { return std::move(error_); }

  bool null() { return put(Json(nullptr)) != nullptr; }
  bool boolean(bool value) { return put(Json(value)) != nullptr; }
  bool number_integer(std::int64_t value) { return put(Json(value)) != nullptr; }
  bool number_unsigned(std::uint64_t value) { return put(Json(value)) != nullptr; }
  bool number_float(double value, const std::string&) { return put(Json(value)) != nullptr; }
  bool string(std::string& value) { return put(Json(std::move(value))) != nullptr; }
  bool binary(Json::binary_t&) { return false; }  // JSON text has none

  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_array() {
    open_.pop_back();
    return true;
  }

  bool key(std::string& name) {
    Frame& frame = open_.back();
    frame.key_ends.push_back(position_);
    entries(*frame.value).emplace_back(std::move(name), nullptr);
    return true;
  }

  bool end_object() {
    const Frame& frame = open_.back();
    if (const auto repeated = find_repeated(frame)) {
      const std::string& name = entries(*frame.value)[*repeated].first;
      return refuse(
          Error(ErrorCode::kMalformed, "a JSON object has the same key twice")
              .at_offset(base_ + key_begin(text_, frame.key_ends[*repeated]))
              .wanted("each key once", fmt::format("\"{}\" again", escape_text(name, 200))));
    }
    open_.pop_back();
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const Json::exception& cause) {
    const std::size_t at = position == 0 ? 0 : position - 1;
    return refuse(Error(ErrorCode::kMalformed, "the text is no valid JSON")
                      .at_offset(base_ + at)
                      .wanted("JSON by RFC 8259", plain_cause(cause.what())));
  }

 private:
  struct Frame {
    Json* value;                        // inside its parent, which does not grow meanwhile
    std::vector<std::size_t> key_ends;  // position after each key's closing quote
  };

  static Object::Container& entries(Json& object) { return object.get_ref<Object&>(); }

  bool refuse(Error error) {
    error_ = std::move(error);
    return false;
  }

  Json* put(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back().value;
    if (parent.is_array()) {
      auto& items = parent.get_ref<Json::array_t&>();
      items.push_back(std::move(value));
      return &items.back();
    }
    Json& slot = entries(parent).back().second;
    slot = std::move(value);
    return &slot;
  }

  bool open(Json value) {
    if (open_.size() >= limits_.depth_max) {
      return refuse(
          Error(ErrorCode::kLimitExceeded, "JSON is nested too deeply")
              .at_offset(base_ + (position_ == 0 ? 0 : position_ - 1))
              .wanted(fmt::format("at most {} levels", limits_.depth_max), "more than that"));
    }
    open_.push_back({put(std::move(value)), {}});
    return true;
  }

  /// The earliest entry whose key stood before in the object.
  static std::optional<std::size_t> find_repeated(const Frame& frame) {
    const auto& all = entries(*frame.value);
    std::vector<std::size_t> order(all.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&all](std::size_t a, std::size_t b) {
      const int sign = all[a].first.compare(all[b].first);
      return sign != 0 ? sign < 0 : a < b;
    });
    std::optional<std::size_t> found;
    for (std::size_t i = 1; i < order.size(); ++i) {
      if (all[order[i]].first != all[order[i - 1]].first) continue;
      found = std::min(found.value_or(order[i]), order[i]);
    }
    return found;
  }

  /// The parser's own words without its library's prefix: "[json.exception...] ... : cause".
  static std::string plain_cause(std::string_view what) {
    const std::size_t begin = what.find(": ");
    return escape_text(begin == std::string_view::npos ? what : what.substr(begin + 2), 200);
  }

  std::string_view text_;
  JsonLimits limits_;
  std::uint64_t base_;
  std::size_t position_ = 0;
  Json root_;
  std::vector<Frame> open_;
  Error error_;
};

/// What the lexer would let pass: it skips a byte order mark and takes NUL for the end.
std::optional<Error> find_smuggled(std::string_view text, std::uint64_t base_offset_bytes) {
  if (text.starts_with("\xef\xbb\xbf")) {
    return Error(ErrorCode::kMalformed, "JSON begins with a byte order mark")
        .at_offset(base_offset_bytes);
  }
  const std::size_t nul = text.find('\0');
  if (nul == std::string_view::npos) return std::nullopt;
  return Error(ErrorCode::kMalformed, "JSON holds a zero byte").at_offset(base_offset_bytes + nul);
}

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits,
                        std::uint64_t base_offset_bytes) {
  if (text.size() > limits.bytes_max) {
    return fail(Error(ErrorCode::kLimitExceeded, "JSON text is too large")
                    .at_offset(base_offset_bytes)
                    .wanted(fmt::format("at most {}", format_bytes(limits.bytes_max)),
                            format_bytes(text.size())));
  }
  if (auto error = find_smuggled(text, base_offset_bytes)) return fail(std::move(*error));

  Builder builder(text, limits, base_offset_bytes);
  const CountingIterator begin(text.data(), builder.position());
  const CountingIterator end(text.data() + text.size(), builder.position());
  if (!Json::sax_parse(begin, end, &builder)) return fail(builder.take_error());
  return builder.take_value();
}

Json error_to_json(const Error& error) {
  Json fields = Json::object();
  fields["code"] = std::string(error_row(error.code).name);
  fields["message"] = error.message;
  const auto add = [&fields](const char* name, const std::string& value) {
    if (!value.empty()) fields[name] = value;
  };
  add("path", error.path);
  add("tensor", error.tensor);
  if (error.offset_bytes) fields["offset"] = *error.offset_bytes;
  add("expected", error.expected);
  add("found", error.found);
  add("hint", error.hint);
  Json out = Json::object();
  out["error"] = std::move(fields);
  return out;
}

}  // namespace kilter

#include "model/card.h"

#include <algorithm>
#include <utility>

namespace kilter::model {
namespace {

constexpr std::size_t kFrontMatterBytesMax = 256 << 10;
constexpr std::size_t kFieldsMax = 500;
constexpr std::size_t kItemsMax = 1000;
constexpr std::size_t kValueBytesMax = 1000;

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

// The scalar at the front of `text`: quoted, or up to a comment.
std::string read_scalar(std::string_view text) {
  text = trim(text);
  if (!text.empty() && (text.front() == '"' || text.front() == '\'')) {
    const std::size_t end = text.find(text.front(), 1);
    if (end != std::string_view::npos) return std::string(text.substr(1, end - 1));
  }
  const std::size_t comment = text.find(" #");
  if (comment != std::string_view::npos) text = trim(text.substr(0, comment));
  return std::string(text.substr(0, kValueBytesMax));
}

void read_inline_list(std::string_view text, std::vector<std::string>* out) {
  const std::size_t close = text.find(']');
  text = text.substr(1, close == std::string_view::npos ? close : close - 1);
  while (!text.empty() && out->size() < kItemsMax) {
    const std::size_t comma = text.find(',');
    std::string item = read_scalar(text.substr(0, comma));
    if (!item.empty()) out->push_back(std::move(item));
    if (comma == std::string_view::npos) return;
    text.remove_prefix(comma + 1);
  }
}

class CardReader {
 public:
  Card read(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    text = text.substr(0, kFrontMatterBytesMax);
    if (trim(next_line(&text)) != "---") return {};
    while (!text.empty() && card_.fields.size() < kFieldsMax) {
      const std::string_view line = next_line(&text);
      const std::string_view body = trim(line);
      if (body == "---" || body == "...") return std::move(card_);
      take(line, body);
    }
    return card_.fields.size() < kFieldsMax ? Card{} : std::move(card_);  // no end: no front matter
  }

 private:
  static std::string_view next_line(std::string_view* text) {
    const std::size_t end = text->find('\n');
    const std::string_view line = text->substr(0, end);
    text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
    return line;
  }

  void take(std::string_view line, std::string_view body) {
    if (body.empty() || body.front() == '#') return;
    const bool item = body.starts_with("- ") || body == "-";
    const bool indented = line.front() == ' ' || line.front() == '\t';
    if (item) {
      take_item(body.substr(1));
    } else if (!indented) {
      take_field(body);
    } else {
      list_open_ = false;  // a nested map: its lists are not the field's
    }
  }

  void take_item(std::string_view body) {
    if (!list_open_ || card_.fields.empty()) return;
    auto& values = card_.fields.back().second;
    const std::string item = read_scalar(body);
    if (item.find(": ") != std::string::npos) return;  // a list of maps
    if (values.size() < kItemsMax && !item.empty()) values.push_back(item);
  }

  void take_field(std::string_view body) {
    const std::size_t colon = body.find(':');
    list_open_ = false;
    if (colon == std::string_view::npos) return;
    std::string key = read_scalar(body.substr(0, colon));
    if (key.empty()) return;
    auto& field = card_.fields.emplace_back(std::move(key), std::vector<std::string>{});
    const std::string_view value = trim(body.substr(colon + 1));
    if (value.empty() || value.front() == '#') {
      list_open_ = true;
    } else if (value.front() == '[') {
      read_inline_list(value, &field.second);
    } else if (value.front() != '|' && value.front() != '>' && value.front() != '{') {
      field.second.push_back(read_scalar(value));
    }
  }

  Card card_;
  bool list_open_ = false;
};

}  // namespace

const std::vector<std::string>* Card::find(std::string_view key) const {
  for (const auto& [name, values] : fields)
    if (name == key) return &values;
  return nullptr;
}

std::string_view Card::first(std::string_view key) const {
  const auto* values = find(key);
  return values == nullptr || values->empty() ? std::string_view{} : values->front();
}

bool Card::has(std::string_view key, std::string_view value) const {
  const auto* values = find(key);
  return values != nullptr && std::find(values->begin(), values->end(), value) != values->end();
}

Card read_card(std::string_view text) { return CardReader().read(text); }

}  // namespace kilter::model

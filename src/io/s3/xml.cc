#include "io/s3/xml.h"

#include <algorithm>

#include "base/text.h"
#include "base/try.h"
#include "io/s3/xml_text.h"

namespace kilter::io::s3 {
namespace {

bool is_name_char(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == ':';
}

/// No recursion: `open_` holds the path to the element being read. A pointer stays good because an
/// element gets new children only while it is the last one open.
class XmlParser {
 public:
  XmlParser(std::string_view text, const XmlLimits& limits) : text_(text), limits_(limits) {}

  Result<XmlElement> parse() {
    if (text_.size() > limits_.bytes_max)
      return fail(ErrorCode::kLimitExceeded, "the XML is longer than Kilter reads");
    if (!is_valid_utf8(text_)) return malformed("the XML is no UTF-8");
    skip_spaces();
    KILTER_TRY(declaration());
    skip_spaces();
    if (!at("<")) return malformed("no element where the root should be");
    do {
      KILTER_TRY(step());
    } while (!open_.empty());
    skip_spaces();
    if (position_ != text_.size()) return malformed("bytes after the root element");
    return std::move(root_);
  }

 private:
  tl::unexpected<Error> malformed(std::string message) const {
    return fail(Error(ErrorCode::kMalformed, std::move(message)).at_offset(position_));
  }
  bool at(std::string_view what) const { return text_.substr(position_).starts_with(what); }
  bool take(std::string_view what) {
    if (!at(what)) return false;
    position_ += what.size();
    return true;
  }
  void skip_spaces() {
    while (position_ < text_.size() && is_xml_space(text_[position_])) ++position_;
  }

  Status declaration() {
    if (!take("<?xml ")) return ok();
    const auto end = text_.find("?>", position_);
    if (end == text_.npos || end - position_ > 200) return malformed("an endless XML declaration");
    position_ = end + 2;
    return ok();
  }

  /// One tag, or the text before the next one.
  Status step() {
    if (position_ == text_.size()) return malformed("the XML ends inside an element");
    if (!at("<")) return characters();
    if (take("</")) return close_tag();
    if (at("<!") || at("<?"))
      return malformed("a comment, CDATA section, document type or instruction");
    ++position_;
    return open_tag();
  }

  Status characters() {
    const auto end = std::min(text_.find('<', position_), text_.size());
    const std::string_view raw = text_.substr(position_, end - position_);
    XmlElement& element = *open_.back();
    if (!element.children.empty()) {
      if (!std::all_of(raw.begin(), raw.end(), is_xml_space))
        return malformed("text between elements");
    } else {
      auto text = xml_text(raw);
      if (!text) return fail(std::move(text).error().at_offset(position_));
      element.text += *text;
    }
    position_ = end;
    return ok();
  }

  Result<std::string> name() {
    const auto begin = position_;
    while (position_ < text_.size() && is_name_char(text_[position_])) ++position_;
    if (begin == position_) return malformed("a tag without a name");
    return std::string(text_.substr(begin, position_ - begin));
  }

  Status open_tag() {
    if (++elements_ > limits_.elements_max || open_.size() >= limits_.depth_max)
      return fail(
          Error(ErrorCode::kLimitExceeded, "too many or too deep elements").at_offset(position_));
    KILTER_ASSIGN(XmlElement element, opened());
    const bool empty = take("/");
    if (!take(">")) return malformed("a tag that does not end");
    if (open_.empty()) {
      root_ = std::move(element);
      if (!empty) open_.push_back(&root_);
      return ok();
    }
    XmlElement& parent = *open_.back();
    if (!std::all_of(parent.text.begin(), parent.text.end(), is_xml_space))
      return malformed("text between elements");
    parent.text.clear();
    parent.children.push_back(std::move(element));
    if (!empty) open_.push_back(&parent.children.back());
    return ok();
  }

  /// Name and attributes.
  Result<XmlElement> opened() {
    XmlElement element;
    KILTER_ASSIGN(element.name, name());
    for (;;) {
      const auto before = position_;
      skip_spaces();
      if (at("/") || at(">")) return element;
      if (before == position_) return malformed("a tag that does not end");
      KILTER_TRY(attribute());
    }
  }

  Status attribute() {
    KILTER_TRY(name());
    if (!take("=")) return malformed("an attribute without a value");
    const std::string_view quote = at("\"") ? "\"" : "'";
    if (!take(quote)) return malformed("an attribute's value without quotes");
    const auto end = text_.find(quote, position_);
    const std::string_view value = text_.substr(position_, end - position_);
    if (end == text_.npos || value.find('<') != value.npos)
      return malformed("an attribute's value that does not end");
    if (!xml_text(value)) return malformed("an unknown entity in an attribute");
    position_ = end + 1;
    return ok();
  }

  Status close_tag() {
    KILTER_ASSIGN(const std::string closing, name());
    if (open_.empty()) return malformed("an element is closed that was not opened");
    if (closing != open_.back()->name)
      return malformed("the element " + open_.back()->name + " is closed as " + closing);
    skip_spaces();
    if (!take(">")) return malformed("a tag that does not end");
    open_.pop_back();
    return ok();
  }

  std::string_view text_;
  XmlLimits limits_;
  std::size_t position_ = 0;
  std::uint64_t elements_ = 0;
  XmlElement root_;
  std::vector<XmlElement*> open_;
};

}  // namespace

const XmlElement* XmlElement::find(std::string_view child) const {
  const auto it = std::find_if(children.begin(), children.end(),
                               [child](const XmlElement& e) { return e.name == child; });
  return it == children.end() ? nullptr : &*it;
}

std::string_view XmlElement::text_of(std::string_view child) const {
  const XmlElement* found = find(child);
  return found == nullptr ? std::string_view() : std::string_view(found->text);
}

Result<XmlElement> parse_xml(std::string_view text, const XmlLimits& limits) {
  return XmlParser(text, limits).parse();
}

}  // namespace kilter::io::s3

// The little of XML that S3 answers with, read strictly: elements and text. Attributes are checked
// and dropped. Document types, processing instructions, CDATA and comments are refused; so is every
// entity but the five of XML and character references: nothing can expand.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"

namespace kilter::io::s3 {

struct XmlElement {
  std::string name;  ///< as written, with a prefix if there is one
  std::string text;  ///< of a leaf; empty for an element with children
  std::vector<XmlElement> children;

  /// The first child of this name, or nullptr.
  const XmlElement* find(std::string_view child) const;
  /// The text of that child, or "".
  std::string_view text_of(std::string_view child) const;
};

struct XmlLimits {
  std::uint64_t bytes_max = 16U << 20U;
  std::uint64_t elements_max = 100'000;
  std::uint32_t depth_max = 16;
};

/// The root element. Errors: kMalformed with the offset; kLimitExceeded.
Result<XmlElement> parse_xml(std::string_view text, const XmlLimits& limits = {});

}  // namespace kilter::io::s3

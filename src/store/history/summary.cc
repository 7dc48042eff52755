#include "store/history/summary.h"

#include <simdjson.h>

#include <algorithm>
#include <limits>

#include "base/try.h"
#include "store/format/objects.h"

namespace kilter::store {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;

MetaValue meta_value(const element& value) {
  switch (value.type()) {
    case element_type::INT64:
      return static_cast<std::int64_t>(value.get_int64().value_unsafe());
    case element_type::UINT64:
      return static_cast<double>(value.get_uint64().value_unsafe());
    case element_type::DOUBLE:
      return value.get_double().value_unsafe();
    case element_type::BOOL:
      return value.get_bool().value_unsafe();
    case element_type::STRING:
      return std::string(value.get_string().value_unsafe());
    case element_type::NULL_VALUE:
      return nullptr;
    default:
      return simdjson::minify(value);
  }
}

std::string text_of(const element& root, const char* key) {
  std::string_view text;
  return root[key].get_string().get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

bool read_digest(const element& value, Digest& out) {
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) return false;
  const auto digest = digest_from_hex(text);
  if (digest) out = *digest;
  return digest.has_value();
}

/// Numbers whose keys occur in the selector.
void read_numbers(simdjson::ondemand::object& metadata, std::string_view selector,
                  CommitSummary& summary) {
  for (auto field : metadata) {
    std::string_view key;
    double number = 0;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS) return;
    if (selector.find(key) == std::string_view::npos) continue;
    if (field.value().get_double().get(number) != simdjson::SUCCESS) continue;
    summary.metadata.emplace_back(std::string(key), number);
  }
  std::ranges::sort(summary.metadata, {},
                    [](const auto& pair) { return std::string_view(pair.first); });
}

tl::unexpected<Error> malformed(const Digest& digest) {
  return fail(Error(ErrorCode::kMalformed, "the index holds a commit that is none")
                  .at_path("commit " + to_hex(digest)));
}

MetaValue slow_meta_value(const SortedJson& value) {
  if (value.is_null()) return nullptr;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_string()) return value.get<std::string>();
  if (value.is_structured()) return value.dump();
  const bool fits = value.is_number_integer() &&
                    (!value.is_number_unsigned() ||
                     value.get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max());
  return fits ? MetaValue(value.get<std::int64_t>()) : MetaValue(value.get<double>());
}

/// What the quick parser refuses but readers accept: integers beyond 64 bits.
Result<CommitSummary> read_slowly(const Digest& digest, std::int64_t time_unix_ns,
                                  std::string_view text) {
  auto commit = parse_commit(text);
  if (!commit) return malformed(digest);
  CommitSummary summary;
  summary.digest = digest;
  summary.tree = commit->tree;
  summary.parents = std::move(commit->parents);
  summary.time_unix_ns = time_unix_ns;
  summary.author = std::move(commit->author);
  summary.message = std::move(commit->message);
  for (const auto& [key, value] : commit->metadata.items())  // sorted already
    summary.metadata.emplace_back(key, slow_meta_value(value));
  return summary;
}

}  // namespace

struct SummaryReader::Parser {
  simdjson::dom::parser parser;
  simdjson::ondemand::parser on_demand;
  std::string padded;
};

SummaryReader::SummaryReader() : parser_(std::make_unique<Parser>()) {}
SummaryReader::~SummaryReader() = default;

Result<CommitSummary> SummaryReader::read(const Digest& digest, std::int64_t time_unix_ns,
                                          std::string_view text) {
  element root;
  if (parser_->parser.parse(text.data(), text.size()).get(root) != simdjson::SUCCESS)
    return read_slowly(digest, time_unix_ns, text);
  if (!root.is_object()) return malformed(digest);
  CommitSummary summary;
  summary.digest = digest;
  summary.time_unix_ns = time_unix_ns;
  element value;
  if (root["tree"].get(value) != simdjson::SUCCESS || !read_digest(value, summary.tree))
    return malformed(digest);
  simdjson::dom::array parents;
  if (root["parents"].get_array().get(parents) != simdjson::SUCCESS) return malformed(digest);
  for (const element parent : parents) {
    summary.parents.emplace_back();
    if (!read_digest(parent, summary.parents.back())) return malformed(digest);
  }
  summary.author = text_of(root, "author");
  summary.message = text_of(root, "message");
  simdjson::dom::object metadata;
  if (root["metadata"].get_object().get(metadata) == simdjson::SUCCESS)
    for (const auto field : metadata)
      summary.metadata.emplace_back(std::string(field.key), meta_value(field.value));
  std::ranges::sort(summary.metadata, {},
                    [](const auto& pair) { return std::string_view(pair.first); });
  return summary;
}

Result<CommitSummary> SummaryReader::read_for(std::string_view selector, const Digest& digest,
                                              std::int64_t time_unix_ns, std::string_view text) {
  std::string& padded = parser_->padded;
  padded.assign(text);
  padded.append(simdjson::SIMDJSON_PADDING, '\0');
  namespace od = simdjson::ondemand;
  od::document document;
  od::object root, metadata;
  if (parser_->on_demand.iterate(padded.data(), text.size(), padded.size()).get(document) !=
          simdjson::SUCCESS ||
      document.get_object().get(root) != simdjson::SUCCESS)
    return malformed(digest);
  CommitSummary summary;
  summary.digest = digest;
  summary.time_unix_ns = time_unix_ns;
  // Keys of commits are sorted, so that each search goes on where the last one ended.
  if (root["metadata"].get_object().get(metadata) == simdjson::SUCCESS)
    read_numbers(metadata, selector, summary);
  od::array parents;
  if (root["parents"].get_array().get(parents) != simdjson::SUCCESS) return malformed(digest);
  for (auto parent : parents) {
    std::string_view hex;
    if (parent.get_string().get(hex) != simdjson::SUCCESS) return malformed(digest);
    const auto parsed = digest_from_hex(hex);
    if (!parsed) return malformed(digest);
    summary.parents.push_back(*parsed);
  }
  return summary;
}

}  // namespace kilter::store

// Commits, trees and times as they lie in a store. What parses says the same when it is written and
// parsed again, and a log's quick reader sees in a commit what the full parser sees.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <variant>

#include "base/json.h"
#include "store/digest.h"
#include "store/format/objects.h"
#include "store/history/summary.h"

namespace kilter::store {
namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

/// Arrays and objects are kept as text.
bool same_value(const SortedJson& value, const MetaValue& seen) {
  if (value.is_null()) return std::holds_alternative<std::nullptr_t>(seen);
  if (value.is_boolean())
    return std::holds_alternative<bool>(seen) && value.get<bool>() == std::get<bool>(seen);
  if (const auto* integer = std::get_if<std::int64_t>(&seen))
    return value.is_number_integer() && value.get<std::int64_t>() == *integer;
  if (const auto* real = std::get_if<double>(&seen))
    return value.is_number() && value.get<double>() == *real;
  const auto* text = std::get_if<std::string>(&seen);
  if (text == nullptr) return false;
  if (value.is_string()) return value.get_ref<const std::string&>() == *text;
  const auto back = parse_json(*text);
  return value.is_structured() && back && SortedJson(*back) == value;
}

void compare_summary(std::string_view text, const Commit& commit) {
  SummaryReader reader;
  const auto summary = reader.read(blake3(as_bytes(text)), commit.time_unix_ns, text);
  check(summary.has_value());
  check(summary->tree == commit.tree && summary->parents == commit.parents);
  check(summary->author == commit.author && summary->message == commit.message);
  check(summary->metadata.size() == commit.metadata.size());
  for (const auto& [key, value] : commit.metadata.items()) {
    const MetaValue* seen = summary->find(key);
    check(seen != nullptr && same_value(value, *seen));
  }
}

/// What is read to resolve an address is what is read of the whole.
void compare_lean_summary(std::string_view text, const Commit& commit) {
  SummaryReader reader;
  const Digest digest = blake3(as_bytes(text));
  const auto whole = reader.read(digest, commit.time_unix_ns, text);
  const auto lean = reader.read_for("best:loss", digest, commit.time_unix_ns, text);
  check(whole && lean && lean->parents == whole->parents);
  for (const char* key : {"best", "loss", "s"}) check(lean->number(key) == whole->number(key));
}

void try_commit(std::string_view text) {
  const auto commit = parse_commit(text);
  if (!commit) return;
  compare_summary(text, *commit);
  compare_lean_summary(text, *commit);
  const std::string written = commit_text(*commit);
  const auto again = parse_commit(written);
  check(again && commit_text(*again) == written);
  check(again->tree == commit->tree && again->parents == commit->parents);
  check(again->time_unix_ns == commit->time_unix_ns && again->metadata == commit->metadata);
  check(again->author == commit->author && again->message == commit->message);
}

void try_tree(std::string_view text) {
  const auto tree = parse_tree(text);
  if (!tree) return;
  std::uint64_t bytes = 0;
  for (const TreeTensor& tensor : tree->tensors) {
    check(tensor.offset_bytes + tensor.bytes <= tree->files[tensor.file].bytes);
    check((tensor.chunks.size() - 1) * tensor.piece_bytes < tensor.bytes);
    check(tensor.chunks.size() * tensor.piece_bytes >= tensor.bytes);
    bytes += tensor.bytes;
  }
  for (const SkeletonPart& part : tree->skeleton) bytes += part.bytes;
  check(bytes == tree->file_bytes());
  const std::string written = tree_text(*tree);
  const auto again = parse_tree(written);
  check(again && tree_text(*again) == written);
}

void try_time(std::string_view text) {
  const auto time = parse_time(text);
  if (time) check(parse_time(time_text(*time)) == time);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try_time(text);
  try_commit(text);
  try_tree(text);
  SummaryReader reader;
  static_cast<void>(reader.read({}, 0, text));
  return 0;
}

}  // namespace kilter::store

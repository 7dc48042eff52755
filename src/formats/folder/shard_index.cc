#include "formats/folder/shard_index.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <unordered_set>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "base/try.h"
#include "formats/file_name.h"
#include "io/safe_path.h"

namespace kilter::formats {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t kNamedMax = 20;  // tensors named one by one in a fault of each rule

Error malformed(std::string message, std::string expected, std::string found = {}) {
  return Error(ErrorCode::kMalformed, std::move(message))
      .wanted(std::move(expected), std::move(found));
}

/// simdjson says only that the text is wrong; the slow parser says where.
Error json_error(std::string_view text, simdjson::error_code code) {
  constexpr std::uint64_t kSlowBytesMax = 4 << 20;
  if (text.size() <= kSlowBytesMax)
    if (auto slow = parse_json(text, {kSlowBytesMax, 128}); !slow) return std::move(slow).error();
  return malformed("the shard index is no valid JSON", "JSON", simdjson::error_message(code));
}

Status read_map(const dom::object& map, ShardIndex* out) {
  std::unordered_map<std::string_view, std::uint32_t> numbers;
  std::unordered_set<std::string_view> names;
  for (const auto [name, value] : map) {
    std::string_view file;
    if (value.get(file) != simdjson::SUCCESS)
      return fail(
          malformed("a tensor of the shard index has no file name", "a string").at_tensor(name));
    if (!names.insert(name).second)
      return fail(
          malformed("the shard index names a tensor twice", "each tensor once").at_tensor(name));
    const auto [at, is_new] = numbers.emplace(file, static_cast<std::uint32_t>(out->files.size()));
    if (is_new) {
      if (auto status = io::check_relative_name(file); !status) {
        Error error = std::move(status).error();
        error.path.clear();
        return fail(std::move(error).at_tensor(name));
      }
      out->files.emplace_back(file);
    }
    out->tensors.emplace_back(name, at->second);
  }
  return ok();
}

/// Collects faults of one rule: the first few by name, the rest as a count.
class Tally {
 public:
  Tally(std::string rule, std::vector<Fault>* out) : rule_(std::move(rule)), out_(out) {}
  void add(Error error) {
    if (++count_ <= kNamedMax) out_->push_back({rule_, std::move(error)});
  }
  void finish(std::string_view path) {
    if (count_ <= kNamedMax) return;
    Error error(ErrorCode::kMalformed,
                fmt::format("and {} more tensors like these", count_ - kNamedMax));
    error.path = path;
    out_->push_back({rule_, std::move(error)});
  }

 private:
  std::string rule_;
  std::vector<Fault>* out_;
  std::size_t count_ = 0;
};

Error about_tensor(std::string_view path, std::string_view tensor, std::string message) {
  Error error(ErrorCode::kMalformed, std::move(message));
  error.path = path;
  error.tensor = tensor;
  return error;
}

void report_missing_files(const ShardIndex& index, std::string_view path,
                          const std::vector<ShardContent>& shards, std::vector<Fault>* out) {
  std::vector<std::size_t> counts(index.files.size());
  for (const auto& [name, file] : index.tensors) ++counts[file];
  for (std::size_t i = 0; i < index.files.size(); ++i) {
    if (shards[i].present) continue;
    Error error(ErrorCode::kMalformed,
                fmt::format("the shard \"{}\" is missing: {} tensors are not there",
                            escape_text(index.files[i], 200), counts[i]));
    error.path = path;
    error.hint = "fetch that file into the folder";
    out->push_back({"shard.missing-file", std::move(error)});
  }
}

}  // namespace

Result<ShardIndex> parse_shard_index(std::string_view text) {
  dom::parser parser;
  dom::element root;
  if (const auto code = parser.parse(text.data(), text.size(), true).get(root);
      code != simdjson::SUCCESS)
    return fail(json_error(text, code));
  dom::object map;
  if (root["weight_map"].get(map) != simdjson::SUCCESS)
    return fail(malformed("the shard index has no weight_map", "\"weight_map\": {…}"));
  ShardIndex out;
  std::uint64_t total = 0;
  if (root["metadata"]["total_size"].get(total) == simdjson::SUCCESS) out.total_bytes = total;
  KILTER_TRY(read_map(map, &out));
  return out;
}

std::vector<Fault> reconcile_shards(const ShardIndex& index, std::string_view index_path,
                                    const std::vector<ShardContent>& shards) {
  std::vector<Fault> out;
  report_missing_files(index, index_path, shards, &out);
  std::unordered_map<std::string_view, std::uint32_t> found;
  Tally twice("shard.duplicate-tensor", &out), absent("shard.missing-tensor", &out);
  Tally moved("shard.moved-tensor", &out), unlisted("shard.unlisted-tensor", &out);
  std::uint64_t total_bytes = 0;
  bool complete = true;
  for (std::uint32_t i = 0; i < shards.size(); ++i) {
    complete = complete && shards[i].present;
    if (!shards[i].present) continue;
    for (const TensorInfo& tensor : *shards[i].tensors) {
      total_bytes += tensor.bytes();
      const auto [at, is_new] = found.emplace(tensor.name, i);
      if (is_new || at->second == i) continue;
      twice.add(about_tensor(index_path, tensor.name, "two shards hold the same tensor")
                    .wanted("one of them", index.files[at->second] + " and " + index.files[i]));
    }
  }
  std::unordered_set<std::string_view> listed;
  for (const auto& [name, file] : index.tensors) {
    listed.insert(name);
    if (!shards[file].present) continue;
    const auto at = found.find(name);
    if (at == found.end()) {
      absent.add(about_tensor(index_path, name, "the index names a tensor that its shard lacks")
                     .wanted("the tensor in " + index.files[file], "none in any shard"));
    } else if (at->second != file) {
      moved.add(about_tensor(index_path, name, "the index looks for a tensor in the wrong shard")
                    .wanted(index.files[file], index.files[at->second]));
    }
  }
  for (std::uint32_t i = 0; i < shards.size(); ++i) {
    if (!shards[i].present) continue;
    for (const TensorInfo& tensor : *shards[i].tensors)
      if (!listed.contains(tensor.name))
        unlisted.add(about_tensor(index_path, tensor.name,
                                  "a shard holds a tensor that the index does not name")
                         .wanted("an entry in weight_map", "the tensor in " + index.files[i]));
  }
  for (Tally* tally : {&twice, &absent, &moved, &unlisted}) tally->finish(index_path);
  if (complete && index.total_bytes && *index.total_bytes != total_bytes) {
    Error error = malformed("the index states another total size than its shards have",
                            fmt::format("{} bytes", total_bytes),
                            fmt::format("{} bytes", *index.total_bytes));
    error.path = index_path;
    out.push_back({"shard.total-size", std::move(error)});
  }
  return out;
}

bool stops_reading(const Fault& fault) {
  return fault.rule != "shard.unlisted-tensor" && fault.rule != "shard.total-size";
}

std::optional<ShardName> parse_shard_name(std::string_view file_name) {
  const std::string stem = stem_of(file_name);
  const std::size_t of = stem.rfind("-of-");
  if (of == std::string::npos || of < 2) return std::nullopt;
  const std::size_t dash = stem.rfind('-', of - 1);
  if (dash == std::string::npos || dash == 0 || of - dash < 2) return std::nullopt;
  ShardName out;
  const auto number = [&](std::size_t begin, std::size_t end, std::uint32_t* value) {
    const auto [at, code] = std::from_chars(stem.data() + begin, stem.data() + end, *value);
    return code == std::errc() && at == stem.data() + end;
  };
  if (!number(dash + 1, of, &out.number) || !number(of + 4, stem.size(), &out.count))
    return std::nullopt;
  if (out.number == 0 || out.number > out.count || out.count > 100'000) return std::nullopt;
  out.stem = stem.substr(0, dash);
  return out;
}

}  // namespace kilter::formats

#include "formats/safetensors/header.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <new>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "base/try.h"
#include "formats/safetensors/header_rules.h"
#include "formats/safetensors/layout.h"

namespace kilter::safetensors {
namespace {

namespace dom = simdjson::dom;

/// Where `key` first stands in the header's text, for messages: simdjson keeps no positions.
std::optional<std::uint64_t> offset_of_key(std::string_view json, std::string_view key) {
  std::string quoted = "\"";
  quoted.append(key).append("\"");
  const std::size_t at = json.find(quoted);
  if (at == std::string_view::npos) return std::nullopt;
  return kLengthBytes + at;
}

class Parser {
 public:
  Parser(std::string_view json, Header* header) : json_(json), header_(header) {}

  void read(const dom::object& object) {
    std::vector<std::string_view> names;
    names.reserve(object.size());
    header_->entries.reserve(object.size());
    for (const auto [key, value] : object) {
      names.push_back(key);
      if (key == kMetadataKey) {
        read_metadata(value);
      } else {
        read_entry(key, value);
      }
    }
    check_names_unique(names, header_);
  }

 private:
  void refuse(std::string rule, std::string_view tensor, std::string message, std::string expected,
              std::string found) {
    Error error(ErrorCode::kMalformed, std::move(message));
    if (tensor != kMetadataKey) error.tensor = tensor;
    error.offset_bytes = offset_of_key(json_, tensor);
    add_fault(header_, std::move(rule),
              std::move(error).wanted(std::move(expected), std::move(found)));
  }

  void read_metadata(const dom::element& value) {
    header_->has_metadata = true;
    if (value.is_null()) return;  // the reference takes it for absent
    dom::object object;
    if (value.get(object) != simdjson::SUCCESS)
      return refuse("safetensors.metadata", kMetadataKey, "__metadata__ is no object",
                    "an object of strings", "another JSON value");
    std::vector<std::string_view> keys;
    for (const auto [key, item] : object) {
      std::string_view text;
      if (item.get(text) != simdjson::SUCCESS) {
        refuse("safetensors.metadata", kMetadataKey, "a value in __metadata__ is no string",
               "strings only", "another JSON value at \"" + escape_text(key, 200) + "\"");
        continue;
      }
      keys.push_back(key);
      header_->metadata.emplace_back(key, text);
    }
    check_names_unique(keys, header_);
  }

  void read_entry(std::string_view name, const dom::element& value) {
    Entry& entry = header_->entries.emplace_back();
    entry.name = name;
    dom::object object;
    if (value.get(object) != simdjson::SUCCESS) {
      entry.usable = false;
      return refuse("safetensors.entry", name, "the tensor's entry is no object",
                    "an object with dtype, shape and data_offsets", "another JSON value");
    }
    Seen seen;
    for (const auto [key, item] : object)
      entry.usable &= read_field(name, key, item, &entry, &seen);
    if (seen.dtype == 1 && seen.shape == 1 && seen.offsets == 1) return;
    if (!entry.usable) return;
    entry.usable = false;
    refuse("safetensors.entry", name, "the tensor's entry is not complete",
           "dtype, shape and data_offsets once each",
           fmt::format("dtype {} times, shape {} times, data_offsets {} times", seen.dtype,
                       seen.shape, seen.offsets));
  }

  struct Seen {
    int dtype = 0, shape = 0, offsets = 0;
  };

  bool read_field(std::string_view name, std::string_view key, const dom::element& value,
                  Entry* entry, Seen* seen) {
    if (key == "dtype") return ++seen->dtype, read_dtype(name, value, entry);
    if (key == "shape") return ++seen->shape, read_shape(name, value, entry);
    if (key == "data_offsets") return ++seen->offsets, read_offsets(name, value, entry);
    return true;  // the reference ignores unknown fields
  }

  bool read_dtype(std::string_view name, const dom::element& value, Entry* entry) {
    std::string_view text;
    if (value.get(text) != simdjson::SUCCESS)
      return refuse("safetensors.dtype", name, "the dtype is no string", "a dtype's name",
                    "another JSON value"),
             false;
    if (text == last_dtype_text_) return entry->dtype = last_dtype_, true;
    const auto dtype = dtype_from_safetensors(text);
    if (!dtype)
      return refuse("safetensors.dtype", name, "unknown dtype",
                    "one of BOOL, U8 ... U64, F4 ... F64", "\"" + escape_text(text, 100) + "\""),
             false;
    last_dtype_text_ = text;
    entry->dtype = last_dtype_ = *dtype;
    return true;
  }

  bool read_shape(std::string_view name, const dom::element& value, Entry* entry) {
    dom::array array;
    bool good = value.get(array) == simdjson::SUCCESS && array.size() <= kRankMax;
    if (good) {
      entry->shape.clear();
      entry->shape.reserve(array.size());
      for (const dom::element item : array) {
        std::int64_t size = 0;
        good = good && item.get(size) == simdjson::SUCCESS && size >= 0;
        entry->shape.push_back(size);
      }
    }
    if (!good)
      refuse("safetensors.shape", name, "the shape is no list of sizes",
             fmt::format("at most {} numbers from 0 to 2^63 - 1", kRankMax), json_text(value));
    return good;
  }

  bool read_offsets(std::string_view name, const dom::element& value, Entry* entry) {
    dom::array array;
    const bool good = value.get(array) == simdjson::SUCCESS && array.size() == 2 &&
                      array.at(0).get(entry->begin_bytes) == simdjson::SUCCESS &&
                      array.at(1).get(entry->end_bytes) == simdjson::SUCCESS;
    if (!good)
      refuse("safetensors.offsets", name, "data_offsets is no pair of offsets",
             "[begin, end], both from 0 to 2^64 - 1", json_text(value));
    return good;
  }

  static std::string json_text(const dom::element& value) {
    if (value.is_object()) return "an object";
    dom::array array;
    if (value.get(array) == simdjson::SUCCESS && array.size() > 16)
      return fmt::format("a list of {} values", array.size());
    // Lists in lists could be deep or long; only what is short is shown.
    if (value.is_array()) {
      for (const dom::element item : array)
        if (item.is_array() || item.is_object() || item.is_string())
          return "a list of other values";
    }
    return escape_text(simdjson::minify(value), 100);
  }

  std::string_view json_;
  Header* header_;
  std::string_view last_dtype_text_;
  DType last_dtype_ = DType::kF32;
};

/// simdjson says only that the text is wrong; the slow parser says where.
Error json_error(std::string_view json, simdjson::error_code code) {
  constexpr std::uint64_t kSlowBytesMax = 4 << 20;
  if (json.size() <= kSlowBytesMax) {
    auto slow = parse_json(json, {kSlowBytesMax, 128}, kLengthBytes);
    if (!slow) {
      Error error = std::move(slow).error();
      error.message = "the header is no valid JSON: " + error.message;
      return error;
    }
  }
  return Error(ErrorCode::kMalformed, "the header is no valid JSON")
      .at_offset(kLengthBytes)
      .wanted("JSON", simdjson::error_message(code));
}

/// `padded` holds `json_bytes` of text and room for simdjson's reads past the end.
Result<Header> parse_padded(const char* padded, std::uint64_t json_bytes,
                            std::uint64_t file_bytes) {
  const std::string_view json(padded, json_bytes);
  Header header;
  header.header_bytes = json_bytes;
  header.file_bytes = file_bytes;
  dom::parser parser;
  dom::element root;
  const auto code =
      parser.parse(reinterpret_cast<const std::uint8_t*>(padded), json_bytes, false).get(root);
  if (code == simdjson::MEMALLOC)
    return fail(ErrorCode::kLimitExceeded, "there is not enough memory to parse the header");
  if (code != simdjson::SUCCESS) return fail(json_error(json, code));
  dom::object object;
  if (root.get(object) != simdjson::SUCCESS)
    return fail(Error(ErrorCode::kMalformed, "the header is no JSON object")
                    .at_offset(kLengthBytes)
                    .wanted("an object of tensors", "another JSON value"));
  Parser(json, &header).read(object);
  check_sizes(&header);
  check_tiling(&header);
  return header;
}

Result<std::uint64_t> read_header_bytes(const io::ReadFile& file, std::uint64_t header_bytes_max) {
  if (file.bytes() < kLengthBytes)
    return fail(Error(ErrorCode::kMalformed, "the file is too short to be a safetensors file")
                    .at_offset(0)
                    .wanted("at least 8 bytes", fmt::format("{} bytes", file.bytes())));
  std::byte raw[kLengthBytes];
  KILTER_TRY(file.read_at(0, raw));
  KILTER_ASSIGN(const std::uint64_t header_bytes, ByteReader(raw).u64_le());
  if (header_bytes > kHeaderBytesMax)
    return fail(Error(ErrorCode::kMalformed, "the header's length is out of bounds")
                    .at_offset(0)
                    .wanted(fmt::format("at most {} bytes", kHeaderBytesMax),
                            fmt::format("{} bytes", header_bytes)));
  const std::uint64_t remaining = file.bytes() - kLengthBytes;
  if (header_bytes > remaining)
    return fail(Error(ErrorCode::kMalformed,
                      fmt::format("the file is cut off inside its header: at least {} bytes are "
                                  "missing, and no tensor can be read",
                                  header_bytes - remaining))
                    .at_offset(0)
                    .wanted(fmt::format("a header of {} bytes", header_bytes),
                            fmt::format("{} bytes after the length", remaining))
                    .advise("fetch the file again"));
  if (header_bytes > header_bytes_max)
    return fail(Error(ErrorCode::kLimitExceeded, "the header is larger than allowed")
                    .at_offset(0)
                    .wanted(fmt::format("at most {} bytes", header_bytes_max),
                            fmt::format("{} bytes", header_bytes)));
  return header_bytes;
}

std::unique_ptr<char[]> padded_buffer(std::uint64_t bytes) {
  std::unique_ptr<char[]> out(new (std::nothrow) char[bytes + simdjson::SIMDJSON_PADDING]);
  if (out) std::fill_n(out.get() + bytes, simdjson::SIMDJSON_PADDING, '\0');
  return out;
}

Error no_memory() {
  return Error(ErrorCode::kLimitExceeded, "there is not enough memory for the header");
}

}  // namespace

Result<Header> parse_header(std::string_view json, std::uint64_t file_bytes) {
  const auto buffer = padded_buffer(json.size());
  if (!buffer) return fail(no_memory());
  std::copy(json.begin(), json.end(), buffer.get());
  return parse_padded(buffer.get(), json.size(), file_bytes);
}

Result<Header> read_header(const io::ReadFile& file, std::uint64_t header_bytes_max) {
  const auto at_path = [&](Error error) { return fail(std::move(error).at_path(file.path())); };
  const auto header_bytes = read_header_bytes(file, header_bytes_max);
  if (!header_bytes) return at_path(header_bytes.error());
  const auto buffer = padded_buffer(*header_bytes);
  if (!buffer) return at_path(no_memory());
  KILTER_TRY(
      file.read_at(kLengthBytes, std::as_writable_bytes(std::span(buffer.get(), *header_bytes))));
  auto header = parse_padded(buffer.get(), *header_bytes, file.bytes());
  if (!header) return at_path(std::move(header).error());
  for (Fault& fault : header->faults) fault.error.path = file.path();
  return header;
}

}  // namespace kilter::safetensors

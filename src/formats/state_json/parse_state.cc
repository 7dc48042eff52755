#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <limits>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/json.h"
#include "base/text.h"
#include "base/try.h"
#include "formats/state_json/state_json.h"

namespace kilter::state_json {
namespace {

tl::unexpected<Error> refuse(std::string message, std::string expected, std::string found = {}) {
  return fail(Error(ErrorCode::kMalformed, std::move(message))
                  .wanted(std::move(expected), std::move(found)));
}

std::string short_text(std::string_view text) { return '"' + escape_text(text, 100) + '"'; }

Result<double> parse_float(const Json& value) {
  if (value.is_number_float()) return value.get<double>();
  const bool tagged = value.is_object() && value.size() == 1 && value.contains("$float") &&
                      value["$float"].is_string();
  if (!tagged) return refuse("a value is no float", "a number with a point, or {\"$float\": …}");
  const std::string& text = value["$float"].get_ref<const std::string&>();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  std::uint64_t bits = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), bits, 16);
  const double number = std::bit_cast<double>(bits);
  if (text.size() != 16 || code != std::errc() || end != text.data() + text.size() ||
      number == number)
    return refuse("a $float is unknown", "nan, inf, -inf or the 16 hexadecimal digits of a NaN",
                  short_text(text));
  return number;
}

Result<std::string> parse_base64(const Json& value) {
  if (!value.is_string()) return refuse("bytes are no string", "base64");
  KILTER_ASSIGN(const auto bytes, base64_decode(value.get_ref<const std::string&>()));
  return std::string(as_text(Bytes(bytes)));
}

/// A string, or {"$text": base64}.
Result<std::string> parse_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.size() == 1 && value.contains("$text"))
    return parse_base64(value["$text"]);
  return refuse("a name is no string", "a string or {\"$text\": base64}");
}

Result<std::string> parse_decimal(const Json& value) {
  KILTER_ASSIGN(std::string text, parse_text(value));
  const std::size_t sign = text.starts_with('-') ? 1 : 0;
  if (text.size() == sign || text.find_first_not_of("0123456789", sign) != std::string::npos)
    return refuse("a $bigint is no integer", "decimal digits", short_text(text));
  return text;
}

/// JSON values waiting to become nodes that exist already. Nothing here recurses.
class Parser {
 public:
  explicit Parser(StateFile* out) : out_(out) {}

  Status parse_root(const Json* root, const Json* shared) {
    if (shared != nullptr) {
      shared_count_ = shared->size();
      for (std::size_t i = 0; i < shared_count_; ++i) out_->state.add({});
      for (std::size_t i = 0; i < shared_count_; ++i) {
        if (is_tag((*shared)[i], "$ref"))
          return refuse("an entry of \"shared\" is itself a $ref", "the value");
        pending_.push_back({&(*shared)[i], static_cast<StateId>(i)});
      }
    }
    if (root != nullptr) {
      KILTER_ASSIGN(const StateId id, child(*root));
      out_->state.set_root(id);
    }
    while (!pending_.empty()) {
      const Pending next = pending_.back();
      pending_.pop_back();
      KILTER_TRY(fill(*next.value, next.id));
    }
    return ok();
  }

 private:
  struct Pending {
    const Json* value;
    StateId id;
  };

  static bool is_tag(const Json& value, const char* tag) {
    return value.is_object() && value.contains(tag);
  }

  /// The node that will stand for `value`.
  Result<StateId> child(const Json& value) {
    if (!is_tag(value, "$ref")) {
      const StateId id = out_->state.add({});
      pending_.push_back({&value, id});
      return id;
    }
    const Json& slot = value["$ref"];
    if (value.size() != 1 || !slot.is_number_unsigned() ||
        slot.get<std::uint64_t>() >= shared_count_)
      return refuse("a $ref leads nowhere", fmt::format("a number below {}", shared_count_));
    return static_cast<StateId>(slot.get<std::uint64_t>());
  }

  Status children(const Json& array, StateId id) {
    if (!array.is_array()) return refuse("the items of a value are no array", "an array");
    for (const Json& item : array) {
      KILTER_ASSIGN(const StateId made, child(item));
      out_->state[id].items.push_back(made);
    }
    return ok();
  }

  Status fill(const Json& value, StateId id) {
    StateNode& node = out_->state[id];
    switch (value.type()) {
      case Json::value_t::null:
        return ok();
      case Json::value_t::boolean:
        node.kind = StateKind::kBool;
        node.integer = value.get<bool>() ? 1 : 0;
        return ok();
      case Json::value_t::number_integer:
      case Json::value_t::number_unsigned:
        return fill_integer(value, &node);
      case Json::value_t::number_float:
        node.kind = StateKind::kFloat;
        node.number = value.get<double>();
        return ok();
      case Json::value_t::string:
        node.kind = StateKind::kString;
        node.text = value.get<std::string>();
        return ok();
      case Json::value_t::array:
        node.kind = StateKind::kList;
        return children(value, id);
      default:
        return fill_object(value, id);
    }
  }

  static Status fill_integer(const Json& value, StateNode* node) {
    if (value.is_number_unsigned() &&
        value.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
      return refuse("an integer does not fit 64 bits signed", "{\"$bigint\": …}", value.dump());
    node->kind = StateKind::kInt;
    node->integer = value.get<std::int64_t>();
    return ok();
  }

  Status fill_object(const Json& value, StateId id) {
    if (!value.empty() && value.begin().key().starts_with('$')) return fill_tagged(value, id);
    out_->state[id].kind = StateKind::kDict;
    for (const auto& [key, item] : value.items()) {
      if (key.starts_with('$'))
        return refuse("a dictionary's key begins with $", "{\"$dict\": …}", short_text(key));
      StateNode name;
      name.kind = StateKind::kString;
      name.text = key;
      const StateId key_id = out_->state.add(std::move(name));
      KILTER_ASSIGN(const StateId item_id, child(item));
      auto& items = out_->state[id].items;
      items.push_back(key_id);
      items.push_back(item_id);
    }
    return ok();
  }

  Status fill_tagged(const Json& value, StateId id) {
    const std::string tag = value.begin().key();
    const Json& content = value.begin().value();
    if (tag == "$object") return fill_inert(value, id);
    if (value.size() != 1)
      return refuse("a tagged value has more than one member", "only " + tag,
                    fmt::format("{} members", value.size()));
    if (tag == "$tuple") return fill_items(StateKind::kTuple, content, id);
    if (tag == "$set") return fill_items(StateKind::kSet, content, id);
    if (tag == "$dict") return fill_pairs(content, id);
    if (tag == "$tensor") return fill_tensor(content, id);
    if (tag == "$complex") return fill_complex(content, id);
    if (tag == "$float") {
      KILTER_ASSIGN(out_->state[id].number, parse_float(value));
      out_->state[id].kind = StateKind::kFloat;
      return ok();
    }
    return fill_text(tag, content, id);
  }

  Status fill_text(const std::string& tag, const Json& content, StateId id) {
    StateNode& node = out_->state[id];
    if (tag == "$bigint") {
      node.kind = StateKind::kBigInt;
      KILTER_ASSIGN(node.text, parse_decimal(content));
    } else if (tag == "$text" || tag == "$bytes") {
      node.kind = tag == "$text" ? StateKind::kString : StateKind::kBytes;
      KILTER_ASSIGN(node.text, parse_base64(content));
    } else if (tag == "$global") {
      node.kind = StateKind::kGlobal;
      KILTER_ASSIGN(node.text, parse_text(content));
    } else {
      return refuse("a tag is unknown", "a tag of spec/state-json.md", short_text(tag));
    }
    return ok();
  }

  Status fill_items(StateKind kind, const Json& content, StateId id) {
    out_->state[id].kind = kind;
    return children(content, id);
  }

  Status fill_pairs(const Json& content, StateId id) {
    out_->state[id].kind = StateKind::kDict;
    if (!content.is_array()) return refuse("$dict is no array", "[[key, value], …]");
    for (const Json& pair : content) {
      if (!pair.is_array() || pair.size() != 2)
        return refuse("an entry of $dict is no pair", "[key, value]");
      KILTER_TRY(children(pair, id));
    }
    return ok();
  }

  Status fill_tensor(const Json& content, StateId id) {
    if (!content.is_string()) return refuse("$tensor names no tensor", "a string");
    const std::string& name = content.get_ref<const std::string&>();
    const auto [at, added] = positions_.emplace(name, out_->tensor_names.size());
    if (added) out_->tensor_names.push_back(name);
    out_->state[id].kind = StateKind::kTensor;
    out_->state[id].integer = static_cast<std::int64_t>(at->second);
    return ok();
  }

  Status fill_complex(const Json& content, StateId id) {
    if (!content.is_array() || content.size() != 2)
      return refuse("$complex is no pair", "[real, imaginary]");
    StateNode& node = out_->state[id];
    node.kind = StateKind::kComplex;
    KILTER_ASSIGN(node.number, parse_float(content[0]));
    KILTER_ASSIGN(node.imaginary, parse_float(content[1]));
    return ok();
  }

  Status fill_inert(const Json& value, StateId id) {
    out_->state[id].kind = StateKind::kObject;
    for (const auto& [key, item] : value.items()) {
      if (key == "$object") {
        KILTER_ASSIGN(out_->state[id].text, parse_text(item));
      } else if (key == "args") {
        KILTER_TRY(children(item, id));
      } else if (key == "state") {
        KILTER_ASSIGN(const StateId made, child(item));
        out_->state[id].state = made;
      } else if (key == "extra") {
        KILTER_ASSIGN(const StateId made, child(item));
        out_->state[id].extra = made;
      } else {
        return refuse("an object has an unknown member", "$object, args, state, extra",
                      short_text(key));
      }
    }
    return ok();
  }

  StateFile* out_;
  std::size_t shared_count_ = 0;
  std::vector<Pending> pending_;
  std::unordered_map<std::string, std::size_t> positions_;
};

Result<std::vector<std::int64_t>> parse_sizes(const Json& value) {
  if (!value.is_array()) return refuse("a list of sizes is no array", "an array of integers");
  std::vector<std::int64_t> out;
  for (const Json& item : value) {
    if (!item.is_number_unsigned() ||
        item.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
      return refuse("a size is no integer", "integers from 0 to 2^63 - 1");
    out.push_back(item.get<std::int64_t>());
  }
  return out;
}

Result<bool> parse_flag(const Json& value) {
  if (!value.is_boolean()) return refuse("a flag is no boolean", "true or false");
  return value.get<bool>();
}

Status parse_member(const std::string& key, const Json& value, TensorRecord* record) {
  if (key == "dtype") {
    record->dtype =
        value.is_string() ? dtype_from_name(value.get_ref<const std::string&>()) : std::nullopt;
    if (!record->dtype) return refuse("a dtype is unknown", "a name such as \"bf16\"");
  } else if (key == "shape") {
    KILTER_ASSIGN(record->shape, parse_sizes(value));
  } else if (key == "strides") {
    KILTER_ASSIGN(record->strides, parse_sizes(value));
  } else if (key == "source_strides") {
    KILTER_ASSIGN(record->source_strides, parse_sizes(value));
  } else if (key == "offset") {
    if (!value.is_number_unsigned()) return refuse("an offset is no integer", "0 or more");
    record->offset_elements = value.get<std::uint64_t>();
  } else if (key == "view_of") {
    if (!value.is_string()) return refuse("view_of names no tensor", "a string");
    record->view_of = value.get<std::string>();
  } else if (key == "tied_to") {
    if (!value.is_string()) return refuse("tied_to names no tensor", "a string");
    record->tied_to = value.get<std::string>();
  } else if (key == "requires_grad") {
    KILTER_ASSIGN(record->requires_grad, parse_flag(value));
  } else if (key == "parameter") {
    KILTER_ASSIGN(record->parameter, parse_flag(value));
  } else {
    return refuse("a tensor record has an unknown member", "a member of spec/state-json.md",
                  short_text(key));
  }
  return ok();
}

Status parse_records(const Json& tensors, std::vector<TensorRecord>* out) {
  if (!tensors.is_object()) return refuse("\"tensors\" is no object", "an object of records");
  for (const auto& [name, members] : tensors.items()) {
    TensorRecord record;
    record.name = name;
    const auto at_tensor = [&, n = name](Error error) {
      return fail(std::move(error).at_tensor(n));
    };
    if (!members.is_object())
      return at_tensor(std::move(refuse("a tensor record is no object", "an object").value()));
    for (const auto& [key, value] : members.items())
      if (auto status = parse_member(key, value, &record); !status)
        return at_tensor(std::move(status).error());
    if (record.dtype && record.view_of.empty() && !record.shape)
      return at_tensor(refuse("a record has a dtype without a shape", "both").value());
    out->push_back(std::move(record));
  }
  return ok();
}

}  // namespace

Result<StateFile> parse_state_json(std::string_view text) {
  JsonLimits limits;
  limits.bytes_max = kTextBytesMax;
  KILTER_ASSIGN(const Json json, parse_json(text, limits));
  if (!json.is_object() || !json.contains("format") || json["format"] != "kilter-state")
    return refuse("this is no kilter-state file", "\"format\": \"kilter-state\"");
  if (!json.contains("version") || json["version"] != 1)
    return fail(Error(ErrorCode::kUnsupported, "the state file's version is unknown")
                    .wanted("\"version\": 1", "another"));
  StateFile out;
  const Json* root = nullptr;
  const Json* shared = nullptr;
  for (const auto& [key, value] : json.items()) {
    if (key == "tensors") {
      KILTER_TRY(parse_records(value, &out.records));
    } else if (key == "root") {
      root = &value;
    } else if (key == "shared") {
      if (!value.is_array()) return refuse("\"shared\" is no array", "an array");
      shared = &value;
    } else if (key != "format" && key != "version") {
      return refuse("the state file has an unknown member", "tensors, root, shared",
                    short_text(key));
    }
  }
  KILTER_TRY(Parser(&out).parse_root(root, shared));
  return out;
}

}  // namespace kilter::state_json

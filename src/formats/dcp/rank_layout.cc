#include "formats/dcp/rank_layout.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/try.h"

namespace kilter::dcp {
namespace {

constexpr std::size_t kDimensionsMax = 64;
constexpr std::size_t kPathPartsMax = 64;
constexpr std::uint32_t kRanksMax = 100'000;

Error broken(const std::string& entry, std::string_view wanted, const Json& found) {
  return Error(ErrorCode::kMalformed, "the layout of the ranks' files is malformed")
      .at_tensor(entry)
      .wanted(std::string(wanted), dump_json(found, -1).substr(0, 100));
}

/// A member of an object; null where it is missing.
const Json& member(const Json& object, std::string_view key) {
  static const Json kNull;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() ? *found : kNull;
}

Result<std::vector<std::int64_t>> sizes_in(const Json& list, const std::string& entry) {
  if (!list.is_array() || list.size() > kDimensionsMax)
    return fail(broken(entry, "a list of at most 64 sizes", list));
  std::vector<std::int64_t> out;
  for (const Json& size : list) {
    if (!size.is_number_integer() || size.get<std::int64_t>() < 0 ||
        (size.is_number_unsigned() && size.get<std::uint64_t>() > INT64_MAX))
      return fail(broken(entry, "a size", size));
    out.push_back(size.get<std::int64_t>());
  }
  return out;
}

Result<RankItem> item_in(const Json& json, const std::string& entry) {
  RankItem out;
  const Json& rank = member(json, "rank");
  const Json& name = member(json, "name");
  if (!rank.is_number_unsigned() || rank.get<std::uint64_t>() >= kRanksMax || !name.is_string())
    return fail(broken(entry, "a rank and a name", json));
  out.rank = rank.get<std::uint32_t>();
  out.name = name.get<std::string>();
  return out;
}

Result<RankTensor> tensor_in(const std::string& name, const Json& json) {
  RankTensor out;
  out.name = name;
  const Json& dtype = member(json, "dtype");
  const auto known = dtype.is_string() ? dtype_from_name(dtype.get<std::string>()) : std::nullopt;
  if (!known) return fail(broken(name, "a dtype of Kilter's", dtype));
  out.dtype = *known;
  KILTER_ASSIGN(out.shape, sizes_in(member(json, "shape"), name));
  const Json& gradient = member(json, "requires_grad");
  out.requires_grad = gradient.is_boolean() && gradient.get<bool>();
  const Json& pieces = member(json, "pieces");
  if (!pieces.is_array()) return fail(broken(name, "a list of pieces", pieces));
  for (const Json& piece : pieces) {
    KILTER_ASSIGN(RankItem item, item_in(piece, name));
    KILTER_ASSIGN(item.chunk.offsets, sizes_in(member(piece, "at"), name));
    KILTER_ASSIGN(item.chunk.sizes, sizes_in(member(piece, "shape"), name));
    if (item.chunk.offsets.size() != out.shape.size() ||
        item.chunk.sizes.size() != out.shape.size())
      return fail(broken(name, "a box of the tensor's dimensions", piece));
    out.pieces.push_back(std::move(item));
  }
  return out;
}

Result<std::vector<PathPart>> path_in(const std::string& name, const Json& list) {
  if (!list.is_array() || list.empty() || list.size() > kPathPartsMax)
    return fail(broken(name, "a path of 1 to 64 keys and positions", list));
  std::vector<PathPart> out;
  for (const Json& part : list) {
    if (part.is_string()) {
      out.push_back({part.get<std::string>(), std::nullopt});
    } else if (part.is_number_integer()) {
      out.push_back({"", part.get<std::int64_t>()});
    } else {
      return fail(broken(name, "a key or a position", part));
    }
  }
  return out;
}

}  // namespace

std::vector<PathPart> RankLayout::path_of(const std::string& name) const {
  const auto found = paths.find(name);
  return found == paths.end() ? std::vector<PathPart>{{name, std::nullopt}} : found->second;
}

std::string rank_file_name(std::uint32_t rank) {
  return fmt::format("rank-{:05}.safetensors", rank);
}

Result<RankLayout> parse_rank_layout(std::string_view text) {
  KILTER_ASSIGN(const Json json, parse_json(text));
  if (member(json, "format") != "kilter-dcp")
    return fail(broken("", "format \"kilter-dcp\"", member(json, "format")));
  if (member(json, "version") != 1)
    return fail(Error(ErrorCode::kUnsupported, "the ranks' layout has a version that is not known")
                    .wanted("1", dump_json(member(json, "version"), -1).substr(0, 100)));
  RankLayout out;
  for (const char* key : {"tensors", "objects", "paths"})
    if (!member(json, key).is_object()) return fail(broken(key, "an object", member(json, key)));
  for (const auto& [name, entry] : member(json, "tensors").items()) {
    KILTER_ASSIGN(RankTensor tensor, tensor_in(name, entry));
    out.tensors.push_back(std::move(tensor));
  }
  for (const auto& [name, entry] : member(json, "objects").items()) {
    KILTER_ASSIGN(RankItem item, item_in(entry, name));
    out.objects.push_back({name, std::move(item)});
  }
  for (const auto& [name, entry] : member(json, "paths").items()) {
    KILTER_ASSIGN(out.paths[name], path_in(name, entry));
  }
  return out;
}

}  // namespace kilter::dcp

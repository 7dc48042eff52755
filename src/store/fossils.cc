#include "store/fossils.h"

#include <algorithm>

#include "base/json.h"
#include "base/try.h"
#include "store/format/json_fields.h"
#include "store/format/objects.h"

namespace kilter::store {
namespace {

constexpr std::uint64_t kListBytesMax = 256ULL << 20;

SortedJson hex_array(const auto& digests) {
  SortedJson out = SortedJson::array();
  for (const Digest& digest : digests) out.push_back(to_hex(digest));
  return out;
}

std::string fossils_text(const FossilList& list) {
  SortedJson out;
  out["packs"] = hex_array(list.packs);
  out["sessions"] = list.sessions ? SortedJson(*list.sessions) : SortedJson();
  return out.dump();
}

Result<std::string> read_list(Place& place, const std::string& name) {
  KILTER_ASSIGN(const auto file, place.open(name));
  if (file->bytes() > kListBytesMax) return fail(ErrorCode::kLimitExceeded, "a list is too long");
  std::string text(static_cast<std::size_t>(file->bytes()), '\0');
  KILTER_TRY(file->read_at(0, std::as_writable_bytes(std::span(text))));
  return text;
}

/// Every list of a folder; one that goes meanwhile is left out.
template <typename Use>
Status for_each_list(Place& place, const char* folder, Use use) {
  KILTER_ASSIGN(const auto entries, place.list(folder));
  for (const PlaceEntry& entry : entries) {
    auto text = read_list(place, entry.name);
    if (!text && text.error().code == ErrorCode::kNotFound) continue;
    if (!text) return fail(std::move(text).error());
    KILTER_ASSIGN(const Json json, parse_json(*text));
    JsonFields fields(json, entry.name);
    use(fields, entry.name);
    KILTER_TRY(fields.status());
  }
  return ok();
}

}  // namespace

Result<std::vector<FossilList>> read_fossils(Place& place) {
  std::vector<FossilList> lists;
  KILTER_TRY(for_each_list(place, "fossils", [&](JsonFields& fields, const std::string& name) {
    FossilList list;
    list.name = name;
    for (const Json& pack : fields.array("packs")) list.packs.push_back(fields.to_digest(pack));
    const Json& sessions = fields.member("sessions");
    if (sessions.is_array()) list.sessions.emplace();
    for (const Json& session : sessions)
      if (list.sessions && session.is_string())
        list.sessions->push_back(session.get<std::string>());
    lists.push_back(std::move(list));
  }));
  return lists;
}

std::string fossils_name(const FossilList& list) {
  return "fossils/" + to_hex(blake3(as_bytes(fossils_text(list)))) + ".json";
}

Status write_fossils(Place& place, FossilList& list) {
  std::ranges::sort(list.packs);
  list.name = fossils_name(list);
  return place.put(list.name, as_bytes(fossils_text(list)));
}

Result<std::set<Digest>> condemned_packs(Place& place) {
  KILTER_ASSIGN(const auto lists, read_fossils(place));
  std::set<Digest> packs;
  for (const FossilList& list : lists) packs.insert(list.packs.begin(), list.packs.end());
  return packs;
}

Result<std::set<Digest>> read_retired(Place& place) {
  std::set<Digest> commits;
  KILTER_TRY(for_each_list(place, "retired", [&](JsonFields& fields, const std::string&) {
    for (const Json& commit : fields.array("commits")) commits.insert(fields.to_digest(commit));
  }));
  return commits;
}

Status write_retired(Place& place, const std::set<Digest>& commits) {
  SortedJson out;
  out["commits"] = hex_array(commits);
  const std::string text = out.dump();
  return place.put("retired/" + to_hex(blake3(as_bytes(text))) + ".json", as_bytes(text));
}

}  // namespace kilter::store

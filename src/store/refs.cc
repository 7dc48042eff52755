#include "store/refs.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "base/try.h"

namespace kilter::store {
namespace {

constexpr std::size_t kRefNameMax = 200;

std::string folder_of(RefKind kind) {
  return kind == RefKind::kBranch ? "refs/heads" : "refs/tags";
}

std::string object_of(RefKind kind, const std::string& name) {
  return io::join_path(folder_of(kind), name);
}

bool is_ref_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-' || c == '/' || c == '+';
}

std::string ref_text(const Digest& commit) { return to_hex(commit).append(1, '\n'); }

Result<Digest> parse_ref(std::string_view text, const std::string& name) {
  if (text.size() == 65 && text.back() == '\n')
    if (const auto digest = digest_from_hex(text.substr(0, 64))) return *digest;
  return fail(Error(ErrorCode::kMalformed, "the reference holds no digest")
                  .at_path(name)
                  .advise("see `kilter check`"));
}

}  // namespace

Status check_ref_name(std::string_view name) {
  const auto refuse = [&](const char* why) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("\"{}\" cannot name a branch or tag: it {}", escape_text(name, 80), why));
  };
  if (name.empty() || name.size() > kRefNameMax) return refuse("is empty or longer than 200 bytes");
  if (!std::ranges::all_of(name, is_ref_char))
    return refuse("holds something other than letters, digits and . _ - / +");
  if (name.find("..") != std::string_view::npos || name.find("//") != std::string_view::npos ||
      name.find("/.") != std::string_view::npos)
    return refuse("has an empty or hidden part");
  if (name.front() == '.' || name.front() == '-' || name.front() == '/' || name.back() == '/')
    return refuse("begins or ends with a character that stands for something else");
  if (name.size() >= 8 && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
      }))
    return refuse("looks like a digest");
  return ok();
}

Result<std::vector<Ref>> list_refs(Place& place) {
  std::vector<Ref> refs;
  for (const RefKind kind : {RefKind::kBranch, RefKind::kTag}) {
    const std::string folder = folder_of(kind);
    KILTER_ASSIGN(const auto entries, place.list(folder));
    for (const PlaceEntry& entry : entries) {
      std::string name = entry.name.substr(folder.size() + 1);
      if (!check_ref_name(name)) continue;
      KILTER_ASSIGN(const auto commit, read_ref(place, kind, name));
      if (commit) refs.push_back({kind, std::move(name), *commit});
    }
  }
  return refs;
}

Result<std::optional<Digest>> read_ref(Place& place, RefKind kind, const std::string& name) {
  const std::string object = object_of(kind, name);
  KILTER_ASSIGN(const auto text, place.read_small(object));
  if (!text) return std::optional<Digest>();
  KILTER_ASSIGN(const Digest digest, parse_ref(*text, object));
  return std::optional<Digest>(digest);
}

Result<bool> move_ref(Place& place, RefKind kind, const std::string& name,
                      const std::optional<Digest>& commit, const std::optional<Digest>& expected) {
  KILTER_TRY(check_ref_name(name));
  std::optional<std::string> text;
  std::optional<std::string> before;
  if (commit) text = ref_text(*commit);
  if (expected) before = ref_text(*expected);
  return place.replace_small(object_of(kind, name), text, before);
}

Status check_free_name(Place& place, RefKind kind, const std::string& name) {
  const RefKind other = kind == RefKind::kBranch ? RefKind::kTag : RefKind::kBranch;
  KILTER_ASSIGN(const auto taken, read_ref(place, other, name));
  if (!taken) return ok();
  return fail(Error(ErrorCode::kAlreadyExists,
                    fmt::format("there is a {} \"{}\": an address could mean either",
                                other == RefKind::kTag ? "tag" : "branch", name))
                  .at_path(place.address())
                  .advise("choose another name"));
}

Result<ChangedRef> change_ref(Place& place, RefKind kind, const std::string& name,
                              const std::optional<Digest>& commit, bool force) {
  KILTER_TRY(check_ref_name(name));
  KILTER_ASSIGN(const auto before, read_ref(place, kind, name));
  if (!commit && !before)
    return fail(
        Error(ErrorCode::kNotFound, "there is no \"" + name + "\"").at_path(place.address()));
  if (commit && before && *before != *commit && !force)
    return fail(Error(ErrorCode::kAlreadyExists, "\"" + name + "\" exists already")
                    .at_path(place.address())
                    .advise("--force moves it"));
  if (commit && !before) KILTER_TRY(check_free_name(place, kind, name));
  KILTER_ASSIGN(const bool moved, move_ref(place, kind, name, commit, before));
  if (!moved)
    return fail(Error(ErrorCode::kIo, "it was moved by someone else meanwhile")
                    .at_path(place.address())
                    .advise("look with `kilter ls`, then try again"));
  if (!commit) return ChangedRef{RefChange::kRemoved, *before};
  return ChangedRef{before ? RefChange::kMoved : RefChange::kMade, *commit};
}

}  // namespace kilter::store

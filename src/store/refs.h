// Branches and tags: the only things of a store that are ever replaced.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/digest.h"
#include "store/place/place.h"

namespace kilter::store {

enum class RefKind : std::uint8_t { kBranch, kTag };

struct Ref {
  RefKind kind = RefKind::kBranch;
  std::string name;
  Digest commit{};
};

/// 1 to 200 bytes of A-Z a-z 0-9 . _ - / +; no digest, no leading '.', '-' or '/', no empty part,
/// no
/// "..", none of the words that addresses know ("step:…" holds a colon anyway).
/// Errors: kInvalidArgument with the reason.
Status check_ref_name(std::string_view name);

/// Sorted: branches, then tags, by name. Errors: kMalformed for a reference that is none.
Result<std::vector<Ref>> list_refs(Place& place);
Result<std::optional<Digest>> read_ref(Place& place, RefKind kind, const std::string& name);
/// Moves it from `expected` (nullopt: there was none) to `commit` (nullopt: remove it). False if it
/// is not at `expected` any more.
Result<bool> move_ref(Place& place, RefKind kind, const std::string& name,
                      const std::optional<Digest>& commit, const std::optional<Digest>& expected);

/// A branch and a tag of one name would leave an address with two meanings. Errors: kAlreadyExists
/// if the other kind has this name.
Status check_free_name(Place& place, RefKind kind, const std::string& name);

/// What became of a reference.
enum class RefChange : std::uint8_t { kMade, kMoved, kRemoved };
struct ChangedRef {
  RefChange change = RefChange::kMade;
  Digest commit{};  ///< where it is now, or was
};
/// Makes, moves (with `force`) or removes (`commit` nullopt) a reference. Errors: kAlreadyExists
/// for one that stands elsewhere or is of the other kind; kNotFound for one to be removed; kIo if
/// others moved it meanwhile.
Result<ChangedRef> change_ref(Place& place, RefKind kind, const std::string& name,
                              const std::optional<Digest>& commit, bool force);

}  // namespace kilter::store

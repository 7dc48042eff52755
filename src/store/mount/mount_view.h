// The folders of a mounted store that are made of names: branches, tags, steps and commits.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/history/history.h"

namespace kilter::store {

/// A folder of names, or of a commit.
struct MountSpot {
  std::optional<Digest> commit;  ///< nullopt: a folder of names
  std::string inner;             ///< the rest of the path, within the commit
};

/// A snapshot; it never changes. Paths have no '/' at either end; "" is the root.
///
/// branches/NAME and tags/NAME (with folders for the '/' in names), steps/00001200 (of the default
/// branch; the newest commit of a step) and commits/0123456789ab. Commits whose data was given up
/// are left out.
class MountView {
 public:
  explicit MountView(const History& history);

  const std::vector<Ref>& refs() const { return refs_; }
  /// nullopt if there is no such folder; paths into a commit are not looked up there.
  std::optional<MountSpot> find(std::string_view path) const;
  /// Names below a folder of names, sorted.
  std::vector<std::string> names(const std::string& folder) const;

 private:
  void add(const std::string& folder, const std::string& name, const Digest& commit);
  void add_steps(const History& history);

  std::vector<Ref> refs_;
  /// Every folder of names with what it holds; a commit where one is named.
  std::map<std::string, std::map<std::string, std::optional<Digest>>, std::less<>> folders_;
};

/// Whether what lies below this path can never change: commits/….
bool is_lasting(std::string_view path);

}  // namespace kilter::store

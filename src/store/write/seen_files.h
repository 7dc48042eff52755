// Files that were saved before and have not changed since: their tensors need not be read again.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "io/file_system.h"
#include "store/digest.h"
#include "store/store.h"

namespace kilter::store {

/// Where a file's bytes lie in the store.
struct SeenFile {
  Digest tree{};
  std::uint32_t file = 0;  ///< index in Tree::files
};

/// What one user has saved into one store, by device, inode, size and times of change of the files:
/// as version control and backup programs do it. A hint, kept outside of the store; whoever uses an
/// entry checks that the store still has what it leads to. Not for several threads.
class SeenFiles {
 public:
  /// Times of change within this span before a save say too little: what is written next may get
  /// the same ones.
  static constexpr std::int64_t kTooFreshNs = 2'000'000'000;
  /// Entries kept; beyond, those of trees that were saved longest ago go.
  static constexpr std::size_t kEntriesMax = 8192;
  /// Stores remembered; beyond, those saved into longest ago are forgotten.
  static constexpr std::size_t kStoresMax = 200;

  SeenFiles() = default;
  /// What is known of the store with this kilter-store.json; nothing where the file in `folder` is
  /// missing or not sound.
  static SeenFiles load(const std::string& folder, std::string_view store_text);
  /// The same in this user's cache folder. Errors: those of reading the store.
  static Result<SeenFiles> of_user(const Store& store);
  /// Writes it back, if there is anything new. Best effort: false where it failed.
  bool save();

  std::optional<SeenFile> find(const io::FileStat& stat) const;
  /// `begun_unix_ns`: when the save looked at the file's times. Ignores files without an inode.
  void add(const io::FileStat& stat, const SeenFile& seen, std::int64_t begun_unix_ns);
  std::size_t size() const { return entries_.size(); }

 private:
  // device, inode, bytes, modified, changed
  using Key = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::int64_t, std::int64_t>;
  struct Entry {
    SeenFile seen;
    std::uint64_t age = 0;  // higher: saved later
  };
  static Key key_of(const io::FileStat& stat);
  std::string text() const;
  void drop_oldest();

  std::string path_;
  std::map<Key, Entry> entries_;
  std::uint64_t next_age_ = 0;
  bool changed_ = false;
};

}  // namespace kilter::store

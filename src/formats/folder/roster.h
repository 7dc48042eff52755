// Which files of a folder are read, and what their tensors are called.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/findings.h"
#include "formats/folder/shard_index.h"
#include "io/file_system.h"

namespace kilter::formats {

/// A file that may hold tensors.
struct RosterFile {
  std::string name;      ///< relative to the folder
  std::string prefix;    ///< of its tensors' names: "", "unet.", "optimizer."
  bool weights = false;  ///< the folder's own weights: they must open
  bool nested = false;   ///< `name` is a folder that holds a DeepSpeed checkpoint
};

/// Files that belong together: shards of one set of weights.
struct RosterSet {
  std::string index_name;          ///< "" for a single file, or shards without an index
  ShardIndex index;                ///< where `index_name` is set
  std::vector<std::size_t> files;  ///< in Roster::files; for an index, those present, by its order
  std::vector<std::size_t> index_file_of;  ///< for each: number in index.files
  std::string state_name;  ///< where its STEM.state.json would be, relative to the folder
};

struct Roster {
  std::vector<RosterFile> files;
  std::vector<RosterSet> sets;  ///< one for each group of weights
  std::vector<std::string> documents;
  std::vector<Fault> faults;  ///< that a strict reader stops at
  std::vector<Finding> notes;
};

/// Sorts the names of a folder. Reads shard indexes, nothing else; `names` are sorted.
/// Errors: kIo. Broken or unsafe indexes are faults.
Result<Roster> make_roster(io::FileSystem& files, const std::string& root,
                           const std::vector<std::string>& names);

}  // namespace kilter::formats

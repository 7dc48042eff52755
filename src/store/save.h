// One checkpoint into a store.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "store/store.h"
#include "store/write/chunk_writer.h"
#include "store/write/tree_writer.h"

namespace kilter::store {

struct SaveRequest {
  TreeSource source;
  /// Where the commit's files come from instead of `source`: adds their bytes, fills the tree.
  std::function<Status(ChunkWriter& writer, Tree& tree)> content;
  std::string branch = "main";
  std::vector<std::string> tags;
  std::optional<Digest> parent;  ///< instead of the branch's tip, for a branch that is new
  std::string author;
  std::string message;
  SortedJson metadata = SortedJson::object();  ///< beats what the files state
  SortedJson lineage = SortedJson::array();
  std::optional<std::int64_t> time_unix_ns;  ///< default: now
  unsigned thread_count = 0;
  std::uint64_t max_memory_bytes = 512ULL << 20;
  /// Leave chunks raw where encoding them would keep the disk waiting: the shortest save, and more
  /// for compact_store() to do.
  bool fast = false;
  bool raw = false;  ///< encode nothing
  /// Write no commit if the branch has one of the same files, metadata and message already.
  bool skip_present = false;
  /// Files that need not be read again; is told of those that were saved. Null: all are read.
  SeenFiles* seen = nullptr;
  RunContext context = {};
};

struct SaveOutcome {
  Digest commit{};
  Commit content;
  bool present = false;  ///< `skip_present`: nothing was written, `commit` was there
  std::uint64_t file_count = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t tensor_count = 0;
  ChunkWriterTotals totals;
  double seconds = 0;
  std::vector<Error> warnings;  ///< files that look like a checkpoint but cannot be read as one
};

/// Durable when it returns: packs, then index, then reference. A save that loses the race for its
/// branch goes on from the new tip. Errors: as add_tree(); kAlreadyExists for a tag that is taken;
/// kInvalidArgument; kCancelled; kNoSpace.
Result<SaveOutcome> save_tree(Store& store, const SaveRequest& request);

/// A parent is stated for a branch that is new. Errors: kInvalidArgument for one that exists.
Status check_new_branch(Store& store, const std::string& branch);

/// What a checkpoint was made from, as lineage names it: a commit of a store by its digest,
/// wherever its branch moves; anything else as it stands. Errors: those of find_commit().
Result<std::string> lineage_input(const std::string& address);

/// One entry of a commit's lineage.
SortedJson lineage_entry(const std::string& operation, const SortedJson& parameters,
                         const std::vector<std::string>& inputs);

/// What a checkpoint says of itself: the commit it is a copy of, if `source` is an address in a
/// store, and the recipe it carries (spec/recipe.md): the verb, its own keys with the inputs'
/// content digests as "content", and the inputs' addresses. Empty if it says nothing; a recipe that
/// is damaged says nothing. Errors: those of find_commit().
Result<SortedJson> lineage_of_source(io::FileSystem& files, const std::string& source);

/// "Ada <ada@host>" from KILTER_AUTHOR, or the system's user and host names.
std::string default_author();

}  // namespace kilter::store

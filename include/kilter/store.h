// A store: the place where checkpoints live. Owned by the floor `store`.
//
//   auto store = kilter::Store::open_or_create("runs.kilter");   // or "s3://bucket/runs.kilter"
//   if (!store) { std::puts(store.error().text().c_str()); return 1; }
//   auto saved = store->save({.source = "out/", .metadata = {{"step", 1200}, {"loss", 1.93}}});
//   auto back = store->restore("best:loss", {.target = "resume/"});
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/checkpoint.h"
#include "kilter/commit.h"
#include "kilter/upkeep.h"

namespace kilter {

struct SaveRequest {
  std::string source = {};  ///< a file, a folder, or an address in a store ("runs.kilter@v1")
  std::string branch = "main";
  std::vector<std::string> tags = {};
  std::string parent = {};  ///< where a branch that is new begins: a commit of this store
  std::string author = {};  ///< default: KILTER_AUTHOR, else user@host
  std::string message = {};
  Metadata metadata = {};              ///< wins over what the files state
  std::vector<Lineage> lineage = {};   ///< default: "copy" where `source` is an address in a store
  std::vector<std::string> skip = {};  ///< globs of relative paths that are left out
  std::optional<std::int64_t> time_unix_ns = {};  ///< default: now
  /// Leave data uncompressed where compressing would keep the disk waiting: the shortest save, and
  /// more for compact() to do.
  bool fast = false;
  /// Do not read files again that have not changed (device, inode, size, times) since this user
  /// saved them into this store, which is remembered in the user's cache folder.
  bool skip_unchanged = false;
  /// Write no commit if the branch has one with the same files, metadata and message already.
  bool skip_present = false;
  unsigned thread_count = 0;                      ///< 0: as many as this process may use
  std::uint64_t max_memory_bytes = 512ULL << 20;  ///< at least 64 MiB
  RunContext context = {};
};

struct SaveOutcome {
  std::string commit;
  bool present = false;  ///< `skip_present`: it was there, nothing was written
  Metadata metadata;     ///< stated and found together, as the commit has it
  std::uint64_t file_count = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t tensor_count = 0;
  std::uint64_t new_bytes = 0;     ///< plain bytes that the store did not have
  std::uint64_t stored_bytes = 0;  ///< what they occupy
  std::uint64_t unread_bytes = 0;  ///< of files that had not changed; part of file_bytes
  double seconds = 0;
  /// Files that look like a checkpoint but cannot be read as one (cut off, say). They are saved
  /// byte for byte all the same.
  std::vector<Error> warnings;
};

/// One of several checkpoints to be saved, and what its files state.
struct SeriesItem {
  std::string path;
  std::string format;  ///< empty if unknown
  Metadata metadata;
  std::uint64_t bytes = 0;
};

/// What these paths and patterns ("run/checkpoint-*") lead to, in the order of the steps that the
/// files or their names state; save() them one after the other. `skip` as in SaveRequest.
/// Errors: kNotFound where there is nothing; kIo, kPermission.
Result<std::vector<SeriesItem>> find_series(const std::vector<std::string>& patterns,
                                            const std::vector<std::string>& skip = {});

struct LogRequest {
  std::string from = {};   ///< what leads to this commit; empty: all that branches and tags lead to
  std::string where = {};  ///< a condition: "loss<2 and step>1000" (spec/metadata.md); empty: all
  std::size_t count_max = SIZE_MAX;
};

struct RestoreRequest {
  std::string target = {};             ///< a new folder, or a new file where the checkpoint was one
  std::vector<std::string> only = {};  ///< globs of tensors: these alone, written as convert() does
  std::string as = {};  ///< "safetensors", "torch", "npz": the tensors in this format
  bool force = false;   ///< replace what is there
  unsigned thread_count = 0;
  std::uint64_t max_memory_bytes = 512ULL << 20;
  RunContext context = {};
};

struct RestoreOutcome {
  std::uint64_t file_count = 0;
  std::uint64_t bytes = 0;
  double seconds = 0;
};

/// An open store. Cheap to copy; safe to use from several threads and beside other processes: each
/// call sees what others have saved by then.
///
/// `commit` is what stands behind the '@' of an address: a branch, a tag, the first digits of a
/// digest, "step:1200", "best:loss" (lowest), "best:-accuracy" (highest), "time:2026-11-01", each
/// with "~3" for three before it; "" is the tip of the default branch. Where a call reads files, a
/// path may follow: "v1/config.json". Source: docs/store.md.
///
/// Errors that every call may return: kNotFound with what there is, kInvalidArgument, kMalformed or
/// kCorrupt for a damaged store (pack, offset, tensor), kIo, kPermission; kCancelled where there is
/// a RunContext. Every byte that is returned or written was checked against its name.
class Store {
 public:
  /// A folder, or "s3://bucket/prefix" with the usual AWS variables (spec/store-s3.md).
  /// Errors: kNotFound where there is no store; kUnsupported for a version that is not known.
  static Result<Store> open(const std::string& address);
  /// Makes an empty one. Errors: kAlreadyExists; kInvalidArgument for a file, or for a folder that
  /// holds something else.
  static Result<Store> create(const std::string& address);
  static Result<Store> open_or_create(const std::string& address);

  const std::string& address() const;

  /// Durable when it returns; after an error the store is as it was. A save that loses the race for
  /// its branch goes on from the new tip. Errors: kAlreadyExists for a tag that is taken;
  /// kInvalidArgument (names, parent of a branch that exists); kNoSpace; kUnsafe.
  Result<SaveOutcome> save(const SaveRequest& request);

  /// Newest first.
  Result<std::vector<CommitInfo>> log(const LogRequest& request = {}) const;
  Result<CommitInfo> find(std::string_view commit) const;
  Result<CommitDetails> show(std::string_view commit) const;

  /// Errors of these six: kNotFound also for a commit whose data was given up.
  Result<std::vector<StoredFile>> files(std::string_view commit) const;
  Result<std::vector<StoredTensor>> tensors(std::string_view commit) const;
  /// The output appears whole or not at all. Errors: kAlreadyExists without `force`; kNoSpace; with
  /// `only` or `as` those of convert().
  Result<RestoreOutcome> restore(std::string_view commit, const RestoreRequest& request) const;
  /// One file, whole. Errors: kLimitExceeded when it does not fit into memory.
  Result<std::vector<std::byte>> read_file(std::string_view commit, std::string_view path) const;
  /// Bytes [offset_bytes, offset_bytes + out.size()). Errors: kOutOfRange.
  Status read_file(std::string_view commit, std::string_view path, std::uint64_t offset_bytes,
                   std::span<std::byte> out) const;
  /// One tensor: contiguous, C order, little-endian. Errors: as Checkpoint::read_tensor();
  /// kInvalidArgument where several files of the commit have one of this name.
  Result<std::vector<std::byte>> read_tensor(std::string_view commit, std::string_view name) const;

  /// The commit (or a file or folder in it) as any other checkpoint, read as it is needed. It may
  /// outlive this object. Errors: as kilter::open_checkpoint(). `options.files` is not used.
  Result<Checkpoint> open_checkpoint(std::string_view commit, OpenOptions options = {}) const;

  /// Branches, then tags, by name.
  Result<std::vector<StoreRef>> refs() const;
  /// Names a commit. Errors: kAlreadyExists for a name that stands elsewhere, unless `force`;
  /// kInvalidArgument for a name that is none; kIo if others moved it at the same time.
  Status set_tag(const std::string& name, std::string_view commit, bool force = false);
  Status set_branch(const std::string& name, std::string_view commit, bool force = false);
  /// The name alone; what no other leads to goes at the next collect(). Errors: kNotFound.
  Status remove_tag(const std::string& name);
  Status remove_branch(const std::string& name);

  /// Compares names of chunks: no weights are read.
  Result<CommitDiff> diff(std::string_view before, std::string_view after) const;
  Result<CommitDiff> diff(std::string_view before, const Store& other,
                          std::string_view after) const;

  /// Gives up the data of one commit, not its record. Returns the commit. Errors: kInvalidArgument
  /// if a branch or tag points to it.
  Result<CommitInfo> remove(std::string_view commit);
  /// Gives up the data of what no rule keeps. Errors: kInvalidArgument without any rule.
  Result<RetainReport> retain(const RetainRequest& request);
  /// Frees what nothing needs, beside writers. Errors: kAlreadyExists while another collects.
  Result<CollectReport> collect(const CollectRequest& request = {});
  /// Looks for the smallest form of everything. May be interrupted: what is done stays done.
  Result<CompactReport> compact(const CompactRequest& request = {});
  /// Damage is a report, not an error.
  Result<CheckReport> check(const CheckRequest& request = {}) const;
  /// Mends a store, also one that cannot be opened. Deletes nothing. Open it anew afterwards.
  static Result<RepairReport> repair(const std::string& address, const RepairRequest& request = {});

  /// Copies what is missing to another store, which is made if it does not exist, or from another.
  /// Interrupted, it goes on where it was. Errors: kAlreadyExists for a branch or tag that would
  /// lose commits.
  Result<TransferReport> push(const std::string& to, const TransferRequest& request = {}) const;
  Result<TransferReport> pull(const std::string& from, const TransferRequest& request = {});

  Result<StoreStats> stats(const RunContext& context = {}) const;

 private:
  struct Impl;
  explicit Store(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace kilter

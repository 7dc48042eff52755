// What keeps a store small and whole: requests and reports. Owned by the floor `store`.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kilter/commit.h"
#include "kilter/error.h"
#include "kilter/progress.h"

namespace kilter {

/// What stays is whatever any rule keeps; tips of branches always.
struct RetainRequest {
  std::optional<std::uint64_t> last = {};   ///< the newest N of each branch
  std::optional<std::uint64_t> every = {};  ///< steps that are multiples of N
  struct Best {
    std::uint64_t count = 1;
    std::string key;       ///< "loss"
    bool highest = false;  ///< default: the lowest are the best
  };
  std::vector<Best> best = {};
  bool tagged = false;
  bool dry_run = false;
};

struct RetainReport {
  struct Kept {
    CommitInfo commit;
    std::string reason;  ///< all rules that keep it: "tip of main, tag v1.0, last, best loss"
  };
  std::vector<Kept> kept;           ///< newest first
  std::vector<CommitInfo> retired;  ///< newest first; were not retired before
};

struct CollectRequest {
  bool dry_run = false;
  RunContext context = {};
};

struct CollectReport {
  std::uint64_t removed_packs = 0;
  std::uint64_t removed_bytes = 0;
  std::uint64_t waiting_packs = 0;  ///< condemned; they go once the writers of now have ended
  std::uint64_t waiting_bytes = 0;
  std::uint64_t dead_bytes = 0;   ///< in packs that also hold what is needed: compact() frees them
  std::uint64_t swept_files = 0;  ///< left behind by writers that died
  std::vector<std::string> writers;  ///< sessions that are waited for
};

struct CompactRequest {
  bool dry_run = false;     ///< encode everything, say what it would gain, keep nothing
  unsigned chain_max = 16;  ///< other chunks behind one; 1 to 16
  unsigned thread_count = 0;
  std::uint64_t max_memory_bytes = 512ULL << 20;
  RunContext context = {};
};

struct CompactReport {
  std::uint64_t before_bytes = 0;   ///< of all packs
  std::uint64_t after_bytes = 0;    ///< of all packs once the old ones are gone
  std::uint64_t encoded_count = 0;  ///< chunks that were looked at
  std::uint64_t smaller_count = 0;  ///< chunks that got smaller
  CollectReport collected;
};

struct CheckRequest {
  bool data = false;  ///< read and decode every chunk, not only what says where they are
  unsigned thread_count = 0;
  std::uint64_t max_memory_bytes = 512ULL << 20;
  RunContext context = {};
};

/// Something that is damaged or missing.
struct StoreFault {
  Error error;  ///< object, offset, expected, found
  struct Affected {
    std::string commit;
    std::string step;    ///< "1200"; empty if none is stated
    std::string file;    ///< path in the commit
    std::string tensor;  ///< empty for what is no tensor
  };
  std::vector<Affected> affected;  ///< what of which commits cannot be had; empty if nothing
};

struct CheckReport {
  std::uint64_t commit_count = 0;
  std::uint64_t pack_count = 0;
  std::uint64_t chunk_count = 0;
  std::uint64_t read_bytes = 0;
  std::vector<StoreFault> faults;
  bool sound() const { return faults.empty(); }
};

struct RepairRequest {
  std::string from =
      {};  ///< another copy of the store, which may have what is missing; empty: none
  bool dry_run = false;
  std::uint64_t max_memory_bytes = 512ULL << 20;
  RunContext context = {};
};

struct RepairReport {
  std::vector<std::string> set_aside;  ///< objects moved to aside/
  std::uint64_t indexed_packs = 0;     ///< packs that no index named
  std::uint64_t saved_count = 0;       ///< sound chunks taken out of damaged packs
  std::uint64_t fetched_count = 0;     ///< chunks taken from the copy
  CheckReport after;                   ///< what is still wrong, with everything it hits
};

struct TransferRequest {
  std::string ref = {};  ///< one branch or tag; empty: all
  bool force = false;    ///< move branches and tags also where that loses commits
  bool dry_run = false;
  std::uint64_t max_memory_bytes = 512ULL << 20;
  RunContext context = {};
};

struct TransferReport {
  std::uint64_t commit_count = 0;  ///< that were new to the target
  std::uint64_t chunk_count = 0;
  std::uint64_t bytes = 0;          ///< payloads copied, or to be copied
  std::uint64_t present_count = 0;  ///< chunks the target had
  std::vector<StoreRef> moved;      ///< made or moved
};

struct FormStats {
  std::string form;     ///< "raw", "zstd", "exponent", "delta", "cast"
  std::string element;  ///< "bf16", "f32", …
  std::uint64_t chunk_count = 0;
  std::uint64_t plain_bytes = 0;
  std::uint64_t stored_bytes = 0;
};

struct StoreStats {
  std::uint64_t commit_count = 0;
  std::uint64_t retired_count = 0;
  std::uint64_t file_bytes = 0;    ///< of all commits, as if each were kept whole
  std::uint64_t unique_bytes = 0;  ///< plain bytes of all chunks that are needed, each once
  std::uint64_t stored_bytes = 0;  ///< their payloads
  std::uint64_t pack_bytes = 0;
  std::uint64_t index_bytes = 0;
  std::uint64_t pack_count = 0;
  std::vector<FormStats> forms;  ///< needed chunks by form and element
  std::map<unsigned, std::uint64_t> chunks_by_depth;
};

}  // namespace kilter

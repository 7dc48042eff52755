// What occupies how much.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kilter/progress.h"

#include "store/store.h"

namespace kilter::store {

struct FormStats {
  Form form = Form::kRaw;
  Element element = Element::kBytes;
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

/// Errors: kCorrupt, kIo; kCancelled.
Result<StoreStats> store_stats(Store& store, const RunContext& context);

}  // namespace kilter::store

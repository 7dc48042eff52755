#include "store/keep/stats.h"

#include <algorithm>

#include "base/try.h"
#include "store/keep/reach.h"

namespace kilter::store {

Result<StoreStats> store_stats(Store& store, const RunContext& context) {
  StoreStats stats;
  KILTER_ASSIGN(const History history, History::load(store));
  KILTER_ASSIGN(Reach reach, mark_reachable(store, history, context));
  if (!reach.faults.empty())
    return fail(std::move(reach.faults.front()).advise("run `kilter check`"));
  for (const std::size_t number : history.ancestry(std::nullopt)) {
    const CommitSummary& commit = history.commits()[number];
    ++stats.commit_count;
    stats.retired_count += commit.retired ? 1U : 0U;
    if (commit.retired) continue;
    KILTER_ASSIGN(const auto tree, store.read_tree(commit.tree));
    stats.file_bytes += tree->file_bytes();
  }
  const auto index = store.index();
  std::map<std::pair<Form, Element>, FormStats> forms;
  for (const Digest& digest : reach.chunks) {
    KILTER_ASSIGN(const auto places, index->find_all(digest));
    if (places.empty()) continue;
    const ChunkRecord& record = std::ranges::min_element(places, {}, [](const ChunkPlace& p) {
                                  return p.record.stored_bytes;
                                })->record;
    FormStats& form = forms[{record.form, record.element}];
    form.form = form_name(record.form);
    form.element = element_name(record.element);
    ++form.chunk_count;
    form.plain_bytes += record.bytes;
    form.stored_bytes += record.stored_bytes;
    stats.unique_bytes += record.bytes;
    stats.stored_bytes += record.stored_bytes;
    ++stats.chunks_by_depth[record.depth];
  }
  for (const auto& [key, form] : forms) stats.forms.push_back(form);
  for (const IndexedPack& pack : index->packs()) {
    ++stats.pack_count;
    stats.pack_bytes += pack.bytes;
  }
  for (const auto& file : index->files()) stats.index_bytes += file->bytes();
  return stats;
}

}  // namespace kilter::store

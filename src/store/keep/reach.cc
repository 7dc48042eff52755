#include "store/keep/reach.h"

#include <algorithm>

#include "base/try.h"

namespace kilter::store {
namespace {

/// A chunk with everything its forms lean on. Places in the packs of `leaving` count only where
/// there is no other.
Status mark_chunk(const Index& index, const Digest& digest, const std::set<Digest>& leaving,
                  DigestSet& chunks) {
  std::vector<Digest> open{digest};
  while (!open.empty()) {
    const Digest next = open.back();
    open.pop_back();
    if (!chunks.insert(next).second) continue;
    KILTER_ASSIGN(const auto places, index.find_all(next));
    const auto stays = [&](const ChunkPlace& place) { return !leaving.contains(place.pack); };
    const bool elsewhere = std::ranges::any_of(places, stays);
    for (const ChunkPlace& place : places)
      if (place.record.has_base() && (!elsewhere || stays(place)))
        open.push_back(place.record.base);
  }
  return ok();
}

/// What lay behind it cannot be told from what nobody needs.
Error missing_commit(const Digest& commit, const std::string& named_by) {
  return Error(ErrorCode::kCorrupt, "a commit that is referred to is missing")
      .at_path(named_by)
      .wanted("commit " + to_hex(commit), "none of this name");
}

}  // namespace

Status mark_tree(Store& store, const Digest& tree_digest, DigestSet& chunks,
                 const std::set<Digest>& leaving) {
  KILTER_ASSIGN(const auto tree, store.read_tree(tree_digest));
  const auto index = store.index();
  KILTER_TRY(mark_chunk(*index, tree_digest, leaving, chunks));
  for (const SkeletonPart& part : tree->skeleton)
    KILTER_TRY(mark_chunk(*index, part.digest, leaving, chunks));
  for (const TreeTensor& tensor : tree->tensors)
    for (const Digest& digest : tensor.chunks)
      KILTER_TRY(mark_chunk(*index, digest, leaving, chunks));
  return ok();
}

Result<Reach> mark_reachable(Store& store, const History& history, const RunContext& context,
                             const std::set<Digest>& leaving) {
  Reach reach;
  const auto index = store.index();
  for (const Ref& ref : history.refs())
    if (!history.find(ref.commit)) reach.faults.push_back(missing_commit(ref.commit, ref.name));
  for (const std::size_t number : history.ancestry(std::nullopt)) {
    KILTER_TRY(context.check());
    const CommitSummary& commit = history.commits()[number];
    KILTER_TRY(mark_chunk(*index, commit.digest, leaving, reach.chunks));
    for (const Digest& parent : commit.parents)
      if (!history.find(parent))
        reach.faults.push_back(missing_commit(parent, "commit " + to_hex(commit.digest)));
    if (commit.retired) continue;
    auto marked = mark_tree(store, commit.tree, reach.chunks, leaving);
    if (!marked) {
      if (marked.error().code == ErrorCode::kIo) return fail(std::move(marked).error());
      // What cannot be read is kept, as far as it is known.
      reach.chunks.insert(commit.tree);
      reach.faults.push_back(std::move(marked).error());
    }
  }
  return reach;
}

}  // namespace kilter::store

#include "store/history/diff.h"

#include <algorithm>
#include <map>
#include <unordered_set>

#include "base/try.h"

namespace kilter::store {
namespace {

using ChunkNames = std::unordered_set<Digest, DigestHash>;

ChunkNames chunk_names(const Tree& tree) {
  ChunkNames names;
  for (const TreeTensor& tensor : tree.tensors)
    names.insert(tensor.chunks.begin(), tensor.chunks.end());
  for (const SkeletonPart& part : tree.skeleton) names.insert(part.digest);
  return names;
}

/// What makes up each file: chunks of tensors with their places, and skeleton bytes cannot be told
/// apart by file, so a file is the same only if all of the skeleton is.
std::map<std::string, std::vector<const TreeTensor*>> tensors_by_file(const Tree& tree) {
  std::map<std::string, std::vector<const TreeTensor*>> files;
  for (const TreeTensor& tensor : tree.tensors)
    files[tree.files[tensor.file].path].push_back(&tensor);
  return files;
}

class Differ {
 public:
  Differ(const Tree& a, const Tree& b) : a_(a), b_(b), a_chunks_(chunk_names(a)) {}

  void tensors(CommitDiff& diff) {
    std::map<std::string, std::vector<const TreeTensor*>> before;
    for (const TreeTensor& tensor : a_.tensors) before[tensor.name].push_back(&tensor);
    for (const TreeTensor& tensor : b_.tensors) {
      TensorChange change{Change::kAdded, tensor.name, b_.files[tensor.file].path,
                          tensor.bytes,   0,           false};
      if (auto& same = before[tensor.name]; !same.empty()) {
        const TreeTensor& old = *same.front();
        same.erase(same.begin());
        change.change = old.chunks == tensor.chunks ? Change::kSame : Change::kChanged;
        change.shape_changed = old.shape != tensor.shape || old.dtype != tensor.dtype;
        if (change.shape_changed) change.change = Change::kChanged;
      }
      change.changed_bytes = new_bytes(tensor);
      diff.tensors.push_back(std::move(change));
    }
    for (const auto& [name, rest] : before)
      for (const TreeTensor* tensor : rest)
        diff.tensors.push_back(
            {Change::kRemoved, name, a_.files[tensor->file].path, tensor->bytes, 0, false});
  }

  void files(CommitDiff& diff, const std::map<std::string, bool>& rest_same) {
    std::map<std::string, FileChange> all;
    for (const TreeFile& file : a_.files)
      all[file.path] = {Change::kRemoved, file.path, file.bytes, 0};
    const auto tensors_a = tensors_by_file(a_);
    const auto tensors_b = tensors_by_file(b_);
    for (const TreeFile& file : b_.files) {
      FileChange& change = all[file.path];
      const bool there = !change.path.empty();
      change.path = file.path;
      change.bytes_after = file.bytes;
      change.change = Change::kAdded;
      if (!there) continue;
      const bool same = change.bytes_before == file.bytes && rest_same.at(file.path) &&
                        same_tensors(tensors_a, tensors_b, file.path);
      change.change = same ? Change::kSame : Change::kChanged;
    }
    for (auto& [path, change] : all) diff.files.push_back(std::move(change));
  }

 private:
  std::uint64_t new_bytes(const TreeTensor& tensor) const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < tensor.chunks.size(); ++i)
      if (!a_chunks_.contains(tensor.chunks[i]))
        sum += std::min(tensor.piece_bytes, tensor.bytes - i * tensor.piece_bytes);
    return sum;
  }

  static bool same_tensors(const auto& a, const auto& b, const std::string& path) {
    const auto left = a.find(path);
    const auto right = b.find(path);
    if (left == a.end() || right == b.end()) return left == a.end() && right == b.end();
    return std::ranges::equal(left->second, right->second,
                              [](const TreeTensor* x, const TreeTensor* y) {
                                return x->chunks == y->chunks && x->offset_bytes == y->offset_bytes;
                              });
  }

  const Tree& a_;
  const Tree& b_;
  ChunkNames a_chunks_;
};

/// The bytes of each file that are no tensors', as they lie one after the other.
Result<std::map<std::string, Digest>> skeleton_digests(Store& store, const Tree& tree) {
  std::map<std::string, Digest> digests;
  std::size_t part = 0;
  std::uint64_t at = 0;
  PlainChunk chunk;
  std::vector<std::uint64_t> tensor_bytes(tree.files.size(), 0);
  for (const TreeTensor& tensor : tree.tensors) tensor_bytes[tensor.file] += tensor.bytes;
  for (std::size_t i = 0; i < tree.files.size(); ++i) {
    std::uint64_t left = tree.files[i].bytes - tensor_bytes[i];
    Blake3 hash;
    while (left > 0) {
      if (chunk == nullptr) {
        KILTER_ASSIGN(chunk, store.read_chunk(tree.skeleton[part].digest));
      }
      const std::uint64_t count = std::min<std::uint64_t>(left, chunk->size() - at);
      hash.update(Bytes(*chunk).subspan(at, count));
      at += count;
      left -= count;
      if (at < chunk->size()) continue;
      chunk = nullptr;
      at = 0;
      ++part;
    }
    digests[tree.files[i].path] = hash.finish();
  }
  return digests;
}

Status add_stored_bytes(Store& store, const Tree& a, const Tree& b, CommitDiff& diff) {
  ChunkNames known = chunk_names(a);
  const auto index = store.index();
  for (const Digest& digest : chunk_names(b)) {
    if (known.contains(digest)) continue;
    KILTER_ASSIGN(const auto places, index->find_all(digest));
    if (places.empty()) continue;
    const auto best = std::ranges::min_element(
        places, {}, [](const ChunkPlace& place) { return place.record.stored_bytes; });
    diff.new_plain_bytes += best->record.bytes;
    diff.new_stored_bytes += best->record.stored_bytes;
  }
  return ok();
}

void diff_metadata(const Commit& a, const Commit& b, CommitDiff& diff) {
  std::map<std::string, MetadataChange> keys;
  for (const auto& [key, value] : a.metadata.items()) keys[key].before = value.dump();
  for (const auto& [key, value] : b.metadata.items()) keys[key].after = value.dump();
  for (auto& [key, change] : keys) {
    if (change.before == change.after) continue;
    change.key = key;
    diff.metadata.push_back(std::move(change));
  }
}

}  // namespace

Result<CommitDiff> diff_commits(Store& a_store, const Digest& a, Store& b_store, const Digest& b) {
  KILTER_ASSIGN(const Commit commit_a, a_store.read_commit(a));
  KILTER_ASSIGN(const Commit commit_b, b_store.read_commit(b));
  KILTER_ASSIGN(const auto tree_a, a_store.read_tree(commit_a.tree));
  KILTER_ASSIGN(const auto tree_b, b_store.read_tree(commit_b.tree));
  KILTER_ASSIGN(const auto rest_a, skeleton_digests(a_store, *tree_a));
  KILTER_ASSIGN(const auto rest_b, skeleton_digests(b_store, *tree_b));
  std::map<std::string, bool> rest_same;
  for (const auto& [path, digest] : rest_b) {
    const auto found = rest_a.find(path);
    rest_same[path] = found != rest_a.end() && found->second == digest;
  }
  CommitDiff diff;
  Differ differ(*tree_a, *tree_b);
  differ.tensors(diff);
  differ.files(diff, rest_same);
  diff_metadata(commit_a, commit_b, diff);
  KILTER_TRY(add_stored_bytes(b_store, *tree_a, *tree_b, diff));
  const auto same = [](const auto& change) { return change.change == Change::kSame; };
  diff.same = std::ranges::all_of(diff.files, same) && std::ranges::all_of(diff.tensors, same);
  return diff;
}

}  // namespace kilter::store

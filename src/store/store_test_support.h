// What the tests of this floor share: stores and checkpoints in memory.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "io/memory_file_system.h"
#include "store/read/commit_files.h"
#include "store/save.h"

namespace kilter::store::test {

/// A safetensors file of float32 tensors NAME -> values.
inline std::string safetensors_of(const std::map<std::string, std::vector<float>>& tensors) {
  std::string header = "{";
  std::string data;
  for (const auto& [name, values] : tensors) {
    const std::size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    header += fmt::format("{}\"{}\":{{\"dtype\":\"F32\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                          header.size() > 1 ? "," : "", name, values.size(), begin, data.size());
  }
  header += "}";
  while (header.size() % 8 != 0) header += ' ';
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return out + header + data;
}

/// Values of a weight-like spread, the same for the same seed.
inline std::vector<float> weights(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.02F);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

/// The same a training step later.
inline std::vector<float> moved(std::vector<float> values, unsigned seed, float by = 1e-5F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, by);
  for (float& value : values) value += normal(random);
  return values;
}

inline std::shared_ptr<Store> make_store(io::FileSystem& files, const std::string& root = "s") {
  auto store = Store::create(make_folder_place(files, root));
  EXPECT_TRUE(store) << (store ? "" : store.error().text());
  return store ? *store : nullptr;
}

inline std::shared_ptr<Store> reopen(io::FileSystem& files, const std::string& root = "s") {
  auto store = Store::open(make_folder_place(files, root));
  EXPECT_TRUE(store) << (store ? "" : store.error().text());
  return store ? *store : nullptr;
}

/// Saves the folder or file `root` of `files`.
inline Result<SaveOutcome> save(Store& store, io::FileSystem& files, const std::string& root,
                                SortedJson metadata = SortedJson::object(),
                                const std::string& branch = "main") {
  SaveRequest request;
  request.source = {&files, root, {}};
  request.branch = branch;
  request.author = "Ada";
  request.metadata = std::move(metadata);
  request.thread_count = 2;
  request.max_memory_bytes = 64ULL << 20;
  return save_tree(store, request);
}

/// Every file of a commit: path -> bytes, or the first error.
inline Result<std::map<std::string, std::string>> files_of(const std::shared_ptr<Store>& store,
                                                           const Digest& commit) {
  auto read = store->read_commit(commit);
  if (!read) return fail(std::move(read).error());
  auto tree = store->read_tree(read->tree);
  if (!tree) return fail(std::move(tree).error());
  const TreeReader reader(store, *tree);
  std::map<std::string, std::string> out;
  for (std::uint32_t i = 0; i < (*tree)->files.size(); ++i) {
    std::string text((*tree)->files[i].bytes, '\0');
    auto done = reader.read(i, 0, std::as_writable_bytes(std::span(text)));
    if (!done) return fail(std::move(done).error());
    out[(*tree)->files[i].path] = std::move(text);
  }
  return out;
}

/// All objects of a place in memory, with their bytes.
inline std::vector<std::string> all_names(io::FileSystem& files, const std::string& root) {
  std::vector<std::string> names;
  const auto entries = files.list(root);
  if (!entries) return names;
  for (const io::FolderEntry& entry : *entries) {
    const std::string path = io::join_path(root, entry.name);
    if (entry.stat.kind == io::FileKind::kFile) names.push_back(path);
    if (entry.stat.kind != io::FileKind::kFolder) continue;
    for (std::string& below : all_names(files, path)) names.push_back(std::move(below));
  }
  return names;
}

inline testing::AssertionResult worked_or(const Error* error) {
  return error == nullptr ? testing::AssertionSuccess()
                          : testing::AssertionFailure() << error->text();
}
template <typename T>
testing::AssertionResult worked(const Result<T>& result) {
  return worked_or(result ? nullptr : &result.error());
}
#define STORE_OK(expression) ASSERT_TRUE(worked(expression))

}  // namespace kilter::store::test

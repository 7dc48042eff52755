// Several opened files as one checkpoint.
#pragma once

#include <string_view>

#include "kilter/checkpoint.h"

namespace kilter::formats {

/// Appends files, storages, tensors (names behind `prefix`), state nodes, ties and findings of
/// `more`. With `own_files` false its storages keep their file numbers, which are `data`'s already.
/// Returns the node in `data->state` that stands for the root of `more` (kNoState if it has none);
/// the root of `data` is left alone. Documents, metadata and root stay with `more`.
StateId append_data(CheckpointData more, std::string_view prefix, bool own_files,
                    CheckpointData* data);

/// A dictionary of string keys under construction.
class DictBuilder {
 public:
  explicit DictBuilder(StateTree* tree) : tree_(tree) {}
  void add(std::string_view key, StateId value);
  StateId finish();  ///< adds the dictionary's node

 private:
  StateTree* tree_;
  std::vector<StateId> items_;
};

/// A node that refers to tensor number `index`.
StateId add_tensor_node(std::size_t index, StateTree* tree);

}  // namespace kilter::formats

// The state of a training run: live tensors and plain values. Owned by the floor `train`.
//
//   kilter::State state;
//   state.tensor({"model", "embed.weight"}, {kilter::DType::kF32, {256, 64}, embed.data()});
//   state.bind({"data", "position"}, position);   // read at each save, written at resume
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/error.h"
#include "kilter/state_tree.h"

namespace kilter {

/// A tensor in the caller's memory, which must outlive every save of it.
struct LiveTensor {
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  void* data = nullptr;                    ///< the first element; may be null where there are none
  std::vector<std::int64_t> strides = {};  ///< elements, not negative; empty: contiguous, C order
  /// The caller does not change it between Saver::save() and Saver::before_update(): parameters
  /// and optimizer state. Everything else is copied before save() returns.
  bool held = false;
};

/// A tree of dictionaries and lists with tensors and values as leaves. One object describes the
/// state for all saves and for resuming. Not for several threads at once.
///
/// Paths are keys from the top: {"optimizer", "lr"}; dictionaries on the way are made as needed.
/// Setting a path again replaces what was there.
class State {
 public:
  using Path = std::vector<std::string>;

  State();

  /// Errors: kInvalidArgument for an empty path, or where a value stands in the way.
  Status tensor(const Path& path, LiveTensor tensor);
  Status set(const Path& path, StateNode value);  ///< a leaf: number, text, bytes, none
  Status set(const Path& path, std::int64_t value);
  Status set(const Path& path, double value);
  Status set(const Path& path, bool value);
  Status set(const Path& path, std::string value);
  Status set(const Path& path, const char* value) { return set(path, std::string(value)); }

  /// Values in the caller's memory: read when save() is called, written by Saver::resume(). They
  /// must outlive this object.
  Status bind(const Path& path, std::int64_t& value);
  Status bind(const Path& path, double& value);
  Status bind(const Path& path, bool& value);
  Status bind(const Path& path, std::string& value);
  /// As many bytes as there are, always: the state of a random generator.
  Status bind(const Path& path, std::span<std::byte> bytes);

  /// A small file that lies beside the tensors in each step (config.json, a tokenizer), so that a
  /// step can be used as it is. `name` is relative; a name again replaces it.
  void file(const std::string& name, std::string text);

  /// For who builds the tree itself: kTensor nodes hold positions in tensors(). A tree that was
  /// set this way is not to be changed by path.
  StateTree& tree() { return tree_; }
  const StateTree& tree() const { return tree_; }
  StateId add_tensor(LiveTensor tensor);

  const std::vector<LiveTensor>& tensors() const { return tensors_; }
  const std::vector<std::pair<std::string, std::string>>& files() const { return files_; }

  /// The tree with bound values as they are now.
  StateTree capture() const;
  /// Whether every bound value has one of its kind in `loaded`, by path. Errors: kInvalidArgument
  /// naming each that is missing or holds something else.
  Status fits(const StateTree& loaded, StateId root) const;
  /// Writes values of `loaded` to what was bound. Errors: as fits(); nothing is written then.
  Status release(const StateTree& loaded, StateId root);

 private:
  using Target = std::variant<std::int64_t*, double*, bool*, std::string*, std::span<std::byte>>;
  struct Binding {
    Path path;
    StateId node = kNoState;
    Target target;
  };
  Result<StateId> place(const Path& path, StateNode node);
  Status bind_target(const Path& path, Target target);
  static StateId node_at(const StateTree& loaded, StateId root, const Path& path);

  StateTree tree_;
  std::vector<LiveTensor> tensors_;
  std::vector<Binding> bindings_;
  std::vector<std::pair<std::string, std::string>> files_;
  std::unordered_map<std::string, StateId> by_path_;  // keys joined by U+001F
};

}  // namespace kilter

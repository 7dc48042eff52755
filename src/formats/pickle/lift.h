// From the machine's graph to a checkpoint's state tree and tensor index.
#pragma once

#include <optional>
#include <string>

#include "kilter/checkpoint.h"

#include "formats/pickle/machine.h"

namespace kilter::pickle {

/// A tensor found while lifting, not yet named: a view on a storage of the index being built.
/// Names come afterwards from the paths that lead to it.
using TensorDraft = TensorInfo;

class Lifter;

/// A format's own knowledge: persistent ids and rebuild functions. The numpy ones are built in.
class LiftHooks {
 public:
  virtual ~LiftHooks() = default;
  /// Called for every kCall and kPersistentId whose operands are lifted already (post-order).
  /// Returns the state node that stands for it, nullopt to keep it as an inert object, or an error.
  virtual Result<std::optional<StateId>> lift(Lifter& lifter, NodeId node) = 0;
  /// The file (index in TensorIndex::files) in which Node::offset_bytes counts, if the pickle lies
  /// there byte for byte: bytes of numpy arrays are then left in the file. nullopt: they are
  /// copied.
  virtual std::optional<std::uint32_t> verbatim_file() const { return std::nullopt; }
};

/// What hooks may use.
class Lifter {
 public:
  virtual ~Lifter() = default;
  virtual const Graph& graph() const = 0;
  virtual StateTree& tree() = 0;
  virtual TensorIndex& index() = 0;
  /// The state node already made for `node`; kNoState while it is not lifted (a cycle).
  virtual StateId lifted(NodeId node) const = 0;
  /// Adds a tensor draft and returns its kTensor node.
  virtual StateId add_tensor(TensorDraft draft) = 0;
};

/// Lifts `root` into out->state and out->index (appending storages and tensors), then names tensors
/// by path: keys and list positions joined with '.', every path of a shared tensor gets its own
/// TensorInfo (same storage and view) and a row in out->ties. A name that is taken gets '#2', '#3'
/// …; a tensor that is the root itself is called "tensor". In the state of a torch.nn.Module the
/// parts
/// "_parameters", "_buffers" and "_modules" are left out of the path. Work is bounded: containers
/// reached twice are expanded again only within a budget. Never recursive.
///
/// What is not a call to a known constructor stays what it is: a kObject named by its class.
/// OrderedDict, Counter, defaultdict and dict called with pairs keep their entries in `extra`;
/// copyreg._reconstructor(C, object, None) is an object of class C; arrays of Python objects are a
/// kObject "numpy.ndarray" with the shape as `items[0]` and the elements in `extra`. With several
/// BUILDs `state` is a kList of all of them.
/// Errors: kMalformed, kLimitExceeded, kUnsafe for a BUILD on a global.
Status lift(const Graph& graph, NodeId root, LiftHooks* hooks, CheckpointData* out);

}  // namespace kilter::pickle

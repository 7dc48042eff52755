// The inert pickle machine: runs pickle opcodes to plain data and calls nothing.
//
// Both loading and scanning stand on it, so what was judged is exactly what is read.
// Source: CPython's Lib/pickletools.py describes every opcode of protocols 0 to 5.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"

#include "base/byte_reader.h"
#include "formats/pickle/node_storage.h"

namespace kilter::pickle {

inline constexpr NodeId kNoNode = 0xffffffffU;

enum class NodeKind : std::uint8_t {
  kNone,
  kBool,
  kInt,
  kBigInt,
  kFloat,
  kString,
  kBytes,
  kByteArray,
  kList,
  kTuple,
  kDict,
  kSet,
  kFrozenSet,
  kGlobal,        ///< `text` = "module", `text2` = qualified name
  kCall,          ///< `items[0]` the callable, `items[1]` the argument tuple (REDUCE, OBJ, INST,
                  ///< NEWOBJ; NEWOBJ_EX has keyword arguments in items[2])
  kPersistentId,  ///< items[0] = the id
  kExtension,     ///< EXT1/2/4: `integer` the code. Never resolved.
  kBuffer,        ///< NEXT_BUFFER (out-of-band): `integer` its number. Refused as data.
};

/// Python 2's 8-bit strings (STRING, BINSTRING, SHORT_BINSTRING) become kString where they are
/// valid UTF-8 and kBytes otherwise; `text` holds their exact bytes either way. None, booleans,
/// empty tuples and small integers are shared between the places that push them.
///
/// Later additions to an object stay on it: `state` (BUILD), `appended` (APPEND/APPENDS/ADDITEMS on
/// a non-list), `set_items` (SETITEM(S) on a non-dict: key, value, key, value …).
struct Node {
  NodeKind kind = NodeKind::kNone;
  std::uint8_t call_opcode = 0;    ///< the opcode that made it, for every kind (see opcodes.h)
  std::uint64_t offset_bytes = 0;  ///< of the opcode that made it, in its file
  std::int64_t integer = 0;        ///< kInt, kBool, kExtension, kBuffer
  double number = 0;               ///< kFloat
  std::string text;                ///< kString (UTF-8, surrogates kept as WTF-8), kBytes,
                                   ///< kByteArray, kGlobal (module), kBigInt (decimal; "0x…"
                                   ///< above 1024 bytes, to stay linear)
  std::string text2;               ///< kGlobal (name)
  std::vector<NodeId> items;       ///< kDict: key, value, key, value …
  RareList appended;
  RareList set_items;
  RareList states;  ///< BUILD may come more than once
};

struct Limits {
  std::uint64_t node_count_max = 20'000'000;
  std::uint64_t text_bytes_max = 1ULL << 30;  ///< all strings and bytes together
  std::uint64_t memo_count_max = 10'000'000;
  std::uint64_t stack_depth_max = 10'000'000;
  std::uint64_t opcode_count_max = 200'000'000;
  /// Reads arrays as joblib.load does: the bytes of each lie in the stream behind the BUILD of its
  /// joblib.numpy_pickle.NumpyArrayWrapper. That node's `integer` is then their offset in the file
  /// (as Node::offset_bytes counts); of an array of objects, `appended` holds the array.
  bool joblib_arrays = false;
};

/// Something noteworthy that happened on the way, in order of offset.
enum class EventKind : std::uint8_t {
  kGlobal,     ///< GLOBAL, STACK_GLOBAL, INST named a class or function
  kCall,       ///< REDUCE, OBJ, INST, NEWOBJ, NEWOBJ_EX would call `node`
  kBuild,      ///< BUILD on `node`
  kExtension,  ///< EXT1/2/4
  kBuffer,     ///< NEXT_BUFFER / READONLY_BUFFER
  kUnknownOpcode,
  kStackFault,  ///< underflow, wrong type, missing memo slot: real unpicklers would fail or differ
  kFrameFault,  ///< FRAME that straddles an opcode or runs past the end
  kComputedName,     ///< STACK_GLOBAL whose operands are no plain strings
  kSparseMemo,       ///< PUT at an index far beyond the number of entries: costs loaders memory
  kSetItemOnObject,  ///< SETITEM(S)/APPEND(S)/ADDITEMS on something that is not that container
};
struct Event {
  EventKind kind;
  std::uint64_t offset_bytes = 0;
  NodeId node = kNoNode;
  std::string text;  ///< for people
};

/// What came of one stream (one pickle up to its STOP).
struct Stream {
  std::uint64_t begin_bytes = 0;
  std::uint64_t end_bytes = 0;  ///< just past STOP, or where it broke
  int protocol = 0;             ///< by PROTO; 0 if none
  bool stopped = false;         ///< STOP was reached
  NodeId result = kNoNode;
  std::vector<NodeId> left_on_stack;  ///< beside the result; all of it where it broke
  std::optional<Error> error;         ///< why it ended before STOP; events before it stay
};

/// Nodes of one or several streams of one file.
struct Graph {
  ChunkedList<Node> nodes;
  std::vector<Event> events;
  std::vector<Stream> streams;
  const Node& operator[](NodeId id) const { return nodes[id]; }
};

/// Runs one pickle at the start of `bytes` and appends to `graph`. Returns the finished Stream
/// (also appended): its `error` says why it broke. Never recursive; memory is bounded by `limits`
/// and by a small multiple of the bytes consumed. Nothing is imported, called or resolved.
Stream run_stream(Bytes bytes, std::uint64_t file_offset_bytes, const Limits& limits, Graph* graph);

/// Where the bytes of a kBytes, kByteArray or kString node lie verbatim in the pickle: offset (as
/// Node::offset_bytes counts) of the first one. nullopt where they are escaped text.
std::optional<std::uint64_t> payload_offset(const Node& node);

/// A call, global or value as one line of readable Python-like text, at most `chars_max`
/// characters: "os.system('rm -rf ~')". Cycles and depth are cut with "…".
std::string render(const Graph& graph, NodeId node, std::size_t chars_max = 200);

/// "module.name" with Python-2 names mapped as unpicklers do ("__builtin__" -> "builtins").
std::string qualified_name(const Node& global);
/// Whether qualified_name(global) is `qualified`, without building it. False for computed names.
bool is_named(const Node& global, std::string_view qualified);

}  // namespace kilter::pickle

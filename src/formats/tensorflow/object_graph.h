// What a checkpoint's keys are called in the program that saved it.
// Source: tensorflow/core/protobuf/trackable_object_graph.proto.
#pragma once

#include "kilter/error.h"
#include "kilter/state_tree.h"

#include "base/byte_reader.h"

namespace kilter::tensorflow {

/// The key under which a bundle holds its object graph, as a string.
inline constexpr std::string_view kObjectGraphKey = "_CHECKPOINTABLE_OBJECT_GRAPH";

/// Adds what the graph says about keys: {"names": {key: name of the variable}, "slots": [{"key":
/// the slot's, "of": the variable's, "slot": "momentum"}, …]} (slots only where there are some).
/// Takes at most `bytes_max` of memory. Errors: kMalformed, kLimitExceeded.
Result<StateId> add_object_graph(Bytes message, std::uint64_t bytes_max, StateTree* tree);

}  // namespace kilter::tensorflow

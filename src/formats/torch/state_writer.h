// From a plan and a state tree to the bytes of data.pkl.
#pragma once

#include <string>

#include "flow/plan.h"
#include "formats/format.h"

namespace kilter::torch {

/// Pickles `state` (or, without one, a dictionary of all tensors) in protocol 2. Storage N of the
/// archive is output N of the plan. Tensors that the state does not mention are added to its root
/// dictionary, or to {"state": …, "tensors": {…}} where the root is no dictionary.
/// Errors: kUnsupported for a dtype torch lacks, or a tuple or object that contains itself;
/// kInvalidArgument for a plan whose views do not fit.
Result<std::string> write_data_pickle(const Plan& plan, const StateTree* state,
                                      const std::vector<std::string>& tensor_names);

}  // namespace kilter::torch

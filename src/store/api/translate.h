// Between what the public headers show and what this floor works with.
#pragma once

#include "kilter/commit.h"
#include "kilter/metadata.h"
#include "kilter/upkeep.h"

#include "store/history/history.h"
#include "store/keep/check.h"

namespace kilter::store::api {

/// Errors: kInvalidArgument for JsonText that is no array or object.
Result<SortedJson> to_json(const kilter::Metadata& metadata);
Result<SortedJson> to_json(const std::vector<kilter::Lineage>& lineage);
kilter::Metadata to_metadata(const SortedJson& json);
/// What other programs wrote there in another shape is left out.
std::vector<kilter::Lineage> to_lineage(const SortedJson& json);

/// Errors: those of reading the commit again where the history's metadata does not say enough.
Result<kilter::CommitInfo> to_info(Store& store, const History& history, std::size_t commit);
std::vector<kilter::StoreRef> to_refs(const std::vector<Ref>& refs);

kilter::CheckReport to_report(CheckOutcome outcome);

}  // namespace kilter::store::api

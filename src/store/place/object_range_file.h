// An object of a bucket as a file, of which only the ranges that are read are fetched.
#pragma once

#include <memory>
#include <string>

#include "io/object_store.h"
#include "store/place/range_cache.h"

namespace kilter::store {

/// Its size and version are those of now. With a cache every range is kept as it was asked for:
/// only for objects that never change. Errors: as ObjectStore::head().
Result<std::unique_ptr<io::ReadFile>> open_object_ranges(std::shared_ptr<io::ObjectStore> objects,
                                                         const std::string& name,
                                                         std::shared_ptr<RangeCache> cache);

}  // namespace kilter::store

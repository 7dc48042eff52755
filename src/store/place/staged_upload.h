// An object on its way into a bucket: written to a file without a name, then put whole.
#pragma once

#include <memory>
#include <string>

#include "io/object_store.h"
#include "store/place/place.h"

namespace kilter::store {

/// The file lies in `folder` (TMPDIR, else /tmp, if empty) and has no name: the system frees it
/// with the process. Errors: as creating a file there.
Result<std::unique_ptr<StagedObject>> stage_upload(std::shared_ptr<io::ObjectStore> objects,
                                                   const std::string& folder);

}  // namespace kilter::store

// A store in a bucket. Source: spec/store-s3.md.
#pragma once

#include <memory>
#include <string>

#include "io/object_store.h"
#include "store/place/kept_object.h"
#include "store/place/place.h"
#include "store/place/range_cache.h"

namespace kilter::store {

struct ObjectPlaceOptions {
  KeepTimes times = {};
  std::string staging_folder = {};  ///< for packs until they are whole; empty: TMPDIR, else /tmp
  std::shared_ptr<RangeCache> cache = {};  ///< null: nothing is kept
};

/// Opens no connection and makes no request.
std::unique_ptr<Place> make_object_place(std::shared_ptr<io::ObjectStore> objects,
                                         ObjectPlaceOptions options = {});

}  // namespace kilter::store

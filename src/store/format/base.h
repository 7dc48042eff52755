// What a delta or cast may lean on. Source: spec/store.md, "Forms".
#pragma once

#include "store/format/records.h"

namespace kilter::store {

/// Equal bytes may be stored once as these and once as those elements: a form needs its own kind.
inline bool suits_as_base(const ChunkRecord& above, const ChunkRecord& base) {
  return base.depth < above.depth &&
         base.element == (above.form == Form::kCast ? Element::kF32 : above.element);
}

}  // namespace kilter::store

// The row of the table of formats for single texts of a model: a configuration, a tokenizer, a
// card.
#pragma once

#include "formats/format.h"

namespace kilter::formats {

/// "document": opens as a checkpoint without tensors whose one document is the file, so that
/// `inspect config.json` says what the file is and what it is not.
const Format& document_format();

}  // namespace kilter::formats

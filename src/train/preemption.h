// SIGTERM as a wish, not an end.
#pragma once

#include "kilter/error.h"

namespace kilter::train {

/// From now on the signal sets a flag; a handler that was there is called as well. Errors: kIo.
Status watch_sigterm();
bool sigterm_came();

}  // namespace kilter::train

#include "kilter/version.h"

namespace kilter {

std::string_view version() { return KILTER_VERSION; }

}  // namespace kilter

#include "ops/output_place.h"

#include <algorithm>
#include <utility>

namespace kilter::ops {

Place place_of(std::string path, bool wants_folder) {
  Place place;
  while (path.size() > 1 && path.back() == '/') {
    path.pop_back();
    wants_folder = true;
  }
  place.path = path;
  const auto slash = path.find_last_of('/');
  place.parent = slash == std::string::npos ? "" : path.substr(0, std::max<std::size_t>(slash, 1));
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  const auto dot = name.find_last_of('.');
  const bool named_file = dot != std::string::npos && dot > 0;
  place.is_folder = wants_folder || !named_file;
  if (!place.is_folder) {
    place.stem = name.substr(0, dot);
    place.extension = name.substr(dot);
  }
  return place;
}

}  // namespace kilter::ops

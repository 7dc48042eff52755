#include "ops/output_place.h"

#include <algorithm>
#include <utility>

#include "io/file_system.h"
#include "io/publish.h"

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

Result<RunReport> write_to(const Place& place, const Plan& plan, Sink& sink,
                           const OutputOptions& options) {
  io::FileSystem& files =
      options.open.files != nullptr ? *options.open.files : io::real_file_system();
  const io::Replace replace = options.force ? io::Replace::kAllow : io::Replace::kRefuse;
  auto opened = place.is_folder ? io::Publication::folder(files, place.path, replace)
                                : io::Publication::beside(files, place.parent, replace);
  if (!opened) return fail(std::move(opened).error());
  EngineOptions engine;
  engine.max_memory_bytes = options.max_memory_bytes;
  engine.thread_count = options.thread_count;
  engine.tile_bytes = options.tile_bytes;
  engine.direct_io = options.direct_io;
  return run_plan(plan, sink, files, **opened, place.is_folder ? place.path : place.parent, engine,
                  options.context);
}

}  // namespace kilter::ops

#include "ops/output_place.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/try.h"
#include "io/file_system.h"
#include "io/publish.h"
#include "ops/unfinished_output.h"

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

EngineOptions engine_options(const OutputOptions& options) {
  EngineOptions engine;
  engine.max_memory_bytes = options.max_memory_bytes;
  engine.thread_count = options.thread_count;
  engine.tile_bytes = options.tile_bytes;
  engine.direct_io = options.direct_io;
  return engine;
}

namespace {

Result<std::unique_ptr<io::Publication>> open_publication(io::FileSystem& files, const Place& place,
                                                          const OutputOptions& options) {
  const io::Replace replace = options.force ? io::Replace::kAllow : io::Replace::kRefuse;
  const auto unfinished = options.resume ? io::Unfinished::kKeep : io::Unfinished::kRemove;
  return place.is_folder ? io::Publication::folder(files, place.path, replace, unfinished)
                         : io::Publication::beside(files, place.parent, replace, unfinished);
}

Result<RunReport> go_on(io::FileSystem& files, const Place& place, const Plan& plan, Sink& sink,
                        const OutputOptions& options) {
  KILTER_ASSIGN(const std::vector<FileLayout> layout, sink.layout(plan));
  KILTER_ASSIGN(UnfinishedOutput unfinished, UnfinishedOutput::open(files, place, layout));
  KILTER_ASSIGN(const auto publication, open_publication(files, place, options));
  EngineOptions engine = engine_options(options);
  engine.resume = &unfinished.resume();
  KILTER_ASSIGN(RunReport report,
                run_plan(plan, sink, files, *publication,
                         place.is_folder ? place.path : place.parent, engine, options.context));
  unfinished.finish();
  return report;
}

}  // namespace

Result<RunReport> write_to(const Place& place, const Plan& plan, Sink& sink,
                           const OutputOptions& options) {
  io::FileSystem& files =
      options.open.files != nullptr ? *options.open.files : io::real_file_system();
  if (options.resume) return go_on(files, place, plan, sink, options);
  KILTER_ASSIGN(const auto publication, open_publication(files, place, options));
  return run_plan(plan, sink, files, *publication, place.is_folder ? place.path : place.parent,
                  engine_options(options), options.context);
}

}  // namespace kilter::ops

// Where an operation's output goes.
#pragma once

#include <string>

#include "kilter/output_options.h"

#include "flow/engine.h"

namespace kilter::ops {

/// `path` as a folder holds the files; for a single file, `stem` and `extension` name
/// it.
struct Place {
  bool is_folder = false;
  std::string parent;  ///< of the output
  std::string path;    ///< the output itself
  std::string stem = "model";
  std::string extension;
};

/// `path` as a user wrote it: a folder where `wants_folder`, where it ends with "/", or where its
/// name has no extension.
Place place_of(std::string path, bool wants_folder);

EngineOptions engine_options(const OutputOptions& options);

/// Runs the plan into a publication at `place`. Errors: as run_plan(); kAlreadyExists without
/// force.
Result<RunReport> write_to(const Place& place, const Plan& plan, Sink& sink,
                           const OutputOptions& options);

}  // namespace kilter::ops

// A step's folder, every byte of which is checked when it is read.
#pragma once

#include <memory>
#include <string>

#include "io/file_system.h"
#include "train/step_manifest.h"

namespace kilter::train {

/// The files that the manifest of the folder `root` lists; nothing else is there. `files` must
/// outlive it. Reading reports kCorrupt with file and offset where bytes are not what was saved.
std::unique_ptr<io::FileSystem> make_verified_files(io::FileSystem& files, std::string root,
                                                    StepManifest manifest);

}  // namespace kilter::train

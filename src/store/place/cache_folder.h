// Where this user keeps what can be fetched or found again.
#pragma once

#include <string>

namespace kilter::store {

/// KILTER_CACHE, else XDG_CACHE_HOME/kilter, else ~/.cache/kilter; empty where there is no home.
std::string cache_folder_of_environment();
/// Makes the folder and those above it, readable by their owner alone: what models say is nobody
/// else's business. Best effort.
void make_private_folders(const std::string& path);

std::string environment_text(const char* name);

}  // namespace kilter::store

// Shell completions from the table of commands.
#pragma once

#include <string>

namespace kilter::cli {

std::string bash_completion();
std::string zsh_completion();
std::string fish_completion();

}  // namespace kilter::cli

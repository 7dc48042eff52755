// Manual pages from the table of commands.
#pragma once

#include <string>

#include "cli/command.h"

namespace kilter::cli {

std::string overview_man();
std::string command_man(const CommandSpec& command);

}  // namespace kilter::cli

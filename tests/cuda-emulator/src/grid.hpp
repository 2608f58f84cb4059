// Runs the blocks of a grid on one or several threads of the host.
#pragma once

#include <string>

#include "block.hpp"

namespace emulator {

// Runs a launch whose sizes were checked. Returns what went wrong in the first block where something
// did, if anything.
std::string run_grid(const Launch &launch);

}  // namespace emulator

// Where an instruction of this program comes from.
#pragma once

#include <string>

namespace emulator {

// "name.cu:12", or "name.cuh:34 from name.cu:12" for a function of another file, for an address to which
// a call returns. Empty if that cannot be found out.
std::string source_line(const void *return_address);

}  // namespace emulator

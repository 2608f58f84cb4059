// Says which kernel touched memory that may not be touched, before the program ends of it.
#pragma once

namespace emulator {

// From now on. What handled such signals before still does, afterwards.
void tell_of_faults();

}  // namespace emulator

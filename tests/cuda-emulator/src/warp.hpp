// What the 32 lanes of a warp do together.
#pragma once

#include <string>

#include "cuda_emulator.hpp"

namespace emulator {

constexpr u32 WARP_SIZE = 32;

// Does a collective for all lanes, in place: each lane's result replaces its operands. `shared` is
// the block's shared memory of `shared_bytes`. Returns what is wrong with the operands, if anything.
std::string do_collective(Collective which, Operands (&lanes)[WARP_SIZE],
                          const unsigned char *shared, u32 shared_bytes);

}  // namespace emulator

// The kernels of this program, by name.
#pragma once

#include <string>
#include <string_view>

#include "cuda_emulator.hpp"

namespace emulator {

struct Kernel {
    std::string name;
    AnyKernel function;
    Invoke invoke;
    // How many arguments it takes.
    u32 parameters;
    // How many threads a block may have, as KERNEL(threads) says.
    u32 thread_limit;
};

// The kernel of this name, or null.
const Kernel *find_kernel(std::string_view name);

}  // namespace emulator

// The shared memory of a block: as many bytes as were asked for, and behind them a page that may not
// be touched.
#pragma once

#include <string>

#include "cuda_emulator.hpp"

namespace emulator {

class SharedMemory {
public:
    // What a block can have at most on any GPU.
    static constexpr u32 MOST_BYTES = 227 * 1024;

    SharedMemory();
    ~SharedMemory();
    SharedMemory(const SharedMemory &) = delete;
    SharedMemory &operator=(const SharedMemory &) = delete;

    // Gives `bytes`, aligned to 16, where every number reads as NaN.
    unsigned char *provide(u32 bytes);
    // Whether nothing was written behind the bytes that were provided last.
    bool intact() const;

private:
    unsigned char *mapping;
    // The bytes from the end of what was provided to the page that may not be touched.
    unsigned char *slack;
};

}  // namespace emulator

// Finds races: two accesses of different threads to the same memory, one of them a write, with nothing
// between them that orders them. A GPU may do them in any order, whatever order the emulator did.
//
// Kernels are compiled with -fsanitize=thread, for which the compiler calls a function before each
// access. These functions (races.cpp) are ours, not those of ThreadSanitizer, which knows nothing of
// barriers on a GPU.
//
// What orders accesses: sync_block those of a block's threads, sync_warp those of a warp's lanes. Other
// warp operations do not: CUDA promises nothing of the kind for shuffles. Nothing orders the blocks of
// a launch.
#pragma once

#include <string>
#include <vector>

#include "warp.hpp"

namespace emulator {

#ifdef EMULATOR_RACES
constexpr bool FINDS_RACES = true;
#else
constexpr bool FINDS_RACES = false;
#endif

// Who accesses memory, and when.
struct Access {
    // Accesses of two scopes have nothing to do with each other. Shared memory has a new scope for
    // each block, device memory for each launch.
    u64 scope = 0;
    u64 block = 0;
    // How many barriers of the block and then of the warp came before.
    u32 epoch = 0, warp_epoch = 0;
    u32 thread = 0;
    // Where in the program.
    const void *instruction = nullptr;
};

// Who has accessed a piece of memory.
class Shadow {
public:
    // Takes note of a read. Returns the write that it races with, or null.
    const Access *read(const Access &now);
    // Takes note of a write. Returns the access that it races with, or null; `read_before` says
    // whether that was a read.
    const Access *write(const Access &now, bool &read_before);

private:
    // Which readers there are beside the last one, as far as it matters: since the last barrier.
    enum class Spread { none, lanes, warps, blocks };

    void add_reader(const Access &now);
    void widen(Spread to);

    Access writer, last_reader;
    Spread spread = Spread::none;
    // A reader beside the last one; meant unless `spread` is none.
    Access other_reader;
};

// The races of the blocks that run on one thread of the host.
class Races {
public:
    void begin_block(u64 launch, u64 block, u32 warps, const unsigned char *shared,
                     u32 shared_bytes);
    void block_barrier() { ++epoch; }
    void warp_barrier(u32 warp) { ++warp_epochs[warp]; }

    // Takes note of an access. Returns a message if it races with another one.
    std::string access(u32 thread, const void *memory, size_t bytes, bool write,
                       const void *instruction);

private:
    u64 launch = 0, block = 0, shared_scope = 0;
    u32 epoch = 0;
    std::vector<u32> warp_epochs;
    const unsigned char *shared = nullptr;
    u32 shared_bytes = 0;
    // One a byte.
    std::vector<Shadow> shared_shadows;
};

// Device memory in which races are looked for.
void add_device_memory(const void *start, size_t bytes);
void remove_device_memory(const void *start);

// While it exists, no other launch runs and no device memory is added or removed. Only where races are
// looked for.
class OnlyLaunch {
public:
    OnlyLaunch();
    ~OnlyLaunch();
    OnlyLaunch(const OnlyLaunch &) = delete;
    OnlyLaunch &operator=(const OnlyLaunch &) = delete;
};

}  // namespace emulator

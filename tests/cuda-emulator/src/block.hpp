// Runs the blocks of a grid, one after another, on one thread of the host.
//
// Every CUDA thread has a fiber from its first wait to its end. A step runs all lanes of one warp,
// each until it waits or ends; lanes hand over to each other without coming back here. Lanes that
// all wait for the same collective are served and go on. When no warp can go on, either all threads
// of the block wait at a barrier, which opens, or all have ended, or the kernel is wrong.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fiber.hpp"
#include "kernel.hpp"
#include "races.hpp"
#include "schedule.hpp"
#include "shared_memory.hpp"
#include "warp.hpp"

namespace emulator {

struct Launch {
    // Differs from all other launches.
    u64 id;
    const Kernel *kernel;
    Index3 grid;
    u32 threads;
    u32 shared_bytes;
    const void *const *arguments;
    u32 schedule;
};

class Block : BlockView {
public:
    // Runs one block of a launch. Returns what went wrong, if anything.
    std::string run(const Launch &launch, Index3 index, u64 number);

    // What the running thread calls before it accesses memory, in kernels that were compiled so.
    // Called at any other time, does nothing.
    static void note_access(const void *memory, size_t bytes, bool write, const void *instruction);

    // What is wrong with what the running thread does. It then leaves; objects on its stack are not
    // destroyed.
    static void report(std::string problem);
    [[noreturn]] static void leave();

    // Writes which kernel, block and thread is running, and returns the length of that.
    static int describe_running(char *text, size_t size);

private:
    enum class State { ready, at_collective, at_barrier, ended };

    struct Thread : ThreadView {
        State state;
        // None before it runs for the first time and after its end.
        Stack *stack;
        Context context;
    };

    struct Warp {
        Operands operands[WARP_SIZE];
        // How many lanes are where.
        u32 at_collective, at_barrier, ended;
        // What the first lane that came to a collective wants, and whether another one differed.
        Collective wanted;
        bool differ;
    };

    friend void collective(Collective which);
    friend void barrier();

    static Thread &current_thread();
    static Block &current_block();
    static void run_threads();

    void prepare(const Launch &launch, Index3 index, u64 number);
    bool step(u32 warp, Schedule &schedule);
    std::string serve(u32 warp);
    std::string note_collective(u32 warp);
    std::string open_barrier();
    bool all_ended() const;
    Thread *next_lane();
    void resume(Context &from, Thread *next);
    void wait(Thread &thread, State state);
    Stack *take_stack();

    const Launch *launch;
    SharedMemory shared_memory;
    Races races;
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    // Warps that can go on, the least number first.
    std::vector<u32> ready;
    std::vector<std::unique_ptr<Stack>> stacks;
    std::vector<Stack *> free_stacks;

    // The step that is being made: its warp, the order of its lanes and how far it is.
    u32 running_warp;
    unsigned char lane_order[WARP_SIZE];
    u32 lanes_passed;
    Context scheduler;
    std::string problem;
};

}  // namespace emulator

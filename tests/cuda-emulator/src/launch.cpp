// What Rust calls.

#include <atomic>
#include <cstring>

#include "faults.hpp"
#include "grid.hpp"

namespace emulator {
namespace {

// What no GPU would launch.
std::string check(const Launch &launch, u32 arguments) {
    const Kernel &kernel = *launch.kernel;
    constexpr u32 MOST_BLOCKS_X = 0x7fffffff, MOST_BLOCKS_YZ = 0xffff;
    const Index3 &grid = launch.grid;
    if (arguments != kernel.parameters) {
        return "it takes " + std::to_string(kernel.parameters) + " arguments and was given " +
               std::to_string(arguments);
    }
    if (launch.threads == 0 || launch.threads % WARP_SIZE != 0) {
        return "a block of " + std::to_string(launch.threads) + " threads is not of whole warps";
    }
    if (launch.threads > kernel.thread_limit || launch.threads > 1024) {
        return "a block of " + std::to_string(launch.threads) + " threads, where it allows " +
               std::to_string(kernel.thread_limit);
    }
    if (launch.shared_bytes > SharedMemory::MOST_BYTES) {
        return std::to_string(launch.shared_bytes) + " bytes of shared memory, which no GPU has";
    }
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return "the grid has no blocks";
    if (grid.x > MOST_BLOCKS_X || grid.y > MOST_BLOCKS_YZ || grid.z > MOST_BLOCKS_YZ) {
        return "the grid is larger than a GPU allows";
    }
    return {};
}

}  // namespace
}  // namespace emulator

// Runs a kernel. On an error returns false and leaves a message in `message`, which ends with a zero.
extern "C" bool promot_emulator_launch(const char *name, size_t name_len, const u32 *grid,
                                       u32 threads, u32 shared_bytes, const void *const *arguments,
                                       u32 argument_count, u32 schedule, char *message,
                                       size_t message_len) {
    using namespace emulator;
    std::string_view wanted(name, name_len);
    std::string problem;
    tell_of_faults();
    if (const Kernel *kernel = find_kernel(wanted)) {
        static std::atomic<u64> launches = 0;
        Launch launch{++launches,   kernel,    {grid[0], grid[1], grid[2]}, threads,
                      shared_bytes, arguments, schedule};
        problem = check(launch, argument_count);
        if (problem.empty()) problem = run_grid(launch);
    } else {
        problem = "there is no kernel of this name";
    }
    if (problem.empty()) return true;
    problem = "kernel `" + std::string(wanted) + "`: " + problem;
    size_t kept = std::min(problem.size(), message_len - 1);
    memcpy(message, problem.data(), kept);
    message[kept] = 0;
    return false;
}

#include "grid.hpp"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <thread>

namespace emulator {
namespace {

// Blocks with their fibers and shared memory, kept from one launch to the next.
class BlockPool {
public:
    std::unique_ptr<Block> take() {
        std::lock_guard lock(mutex);
        if (idle.empty()) return std::make_unique<Block>();
        std::unique_ptr<Block> block = std::move(idle.back());
        idle.pop_back();
        return block;
    }

    void put(std::unique_ptr<Block> block) {
        std::lock_guard lock(mutex);
        idle.push_back(std::move(block));
    }

    // Never destroyed: threads may still run when the program ends.
    static BlockPool &instance() {
        static BlockPool *pool = new BlockPool;
        return *pool;
    }

private:
    std::mutex mutex;
    std::vector<std::unique_ptr<Block>> idle;
};

u32 host_threads() {
    static const u32 count = [] {
        const char *given = getenv("PROMOT_EMULATOR_THREADS");
        if (FINDS_RACES) return 1u;
        u32 count = given ? atoi(given) : std::thread::hardware_concurrency();
        return std::max(count, 1u);
    }();
    return count;
}

// The order in which blocks begin: as the schedule has it for warps.
class BlockOrder {
public:
    BlockOrder(u64 count, u32 schedule) : count(count), step(1), first(0) {
        if (schedule == 1) {
            step = first = count - 1;
        } else if (schedule > 1) {
            Random random(schedule);
            do step = 1 + random.below((u32)std::min<u64>(count, UINT32_MAX));
            while (std::gcd(step, count) != 1);
            first = random.below((u32)std::min<u64>(count, UINT32_MAX));
        }
    }

    u64 at(u64 position) const {
        return (u64)(((unsigned __int128)position * step + first) % count);
    }

private:
    u64 count, step, first;
};

class Run {
public:
    explicit Run(const Launch &launch)
        : launch(launch),
          blocks((u64)launch.grid.x * launch.grid.y * launch.grid.z),
          order(blocks, launch.schedule) {}

    std::string result() {
        work(true);
        for (std::thread &helper : helpers) helper.join();
        return problem;
    }

private:
    void work(bool may_call_helpers) {
        auto start = std::chrono::steady_clock::now();
        std::unique_ptr<Block> block = BlockPool::instance().take();
        while (!failed) {
            u64 position = next.fetch_add(1);
            if (position >= blocks) break;
            u64 number = order.at(position);
            std::string wrong = block->run(launch, index_of(number), number);
            if (!wrong.empty()) report(number, wrong);
            // Making a thread takes longer than most grids do.
            if (may_call_helpers && blocks - position > 2 &&
                std::chrono::steady_clock::now() - start > std::chrono::microseconds(300)) {
                call_helpers();
                may_call_helpers = false;
            }
        }
        BlockPool::instance().put(std::move(block));
    }

    void call_helpers() {
        for (u32 i = 1; i < host_threads(); ++i) helpers.emplace_back([this] { work(false); });
    }

    Index3 index_of(u64 number) const {
        const Index3 &grid = launch.grid;
        return {(u32)(number % grid.x), (u32)(number / grid.x % grid.y),
                (u32)(number / grid.x / grid.y)};
    }

    void report(u64 number, const std::string &wrong) {
        std::lock_guard lock(mutex);
        failed = true;
        if (!problem.empty()) return;
        Index3 index = index_of(number);
        problem = "block (" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " +
                  std::to_string(index.z) + "): " + wrong;
    }

    const Launch &launch;
    const u64 blocks;
    const BlockOrder order;
    std::atomic<u64> next = 0;
    std::atomic<bool> failed = false;
    std::mutex mutex;
    std::string problem;
    std::vector<std::thread> helpers;
};

}  // namespace

std::string run_grid(const Launch &launch) {
    OnlyLaunch only;
    return Run(launch).result();
}

}  // namespace emulator

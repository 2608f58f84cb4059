#include "block.hpp"

#include <algorithm>
#include <cstdio>
#include <numeric>

namespace emulator {

constinit thread_local ThreadView *current = nullptr;

Block::Thread &Block::current_thread() { return *static_cast<Thread *>(current); }

Block &Block::current_block() { return *static_cast<Block *>(current->block); }

void collective(Collective which) {
    Block::Thread &thread = Block::current_thread();
    Block &block = Block::current_block();
    Block::Warp &warp = block.warps[block.running_warp];
    if (warp.at_collective == 0) {
        warp.wanted = which;
        warp.differ = false;
    }
    warp.differ |= warp.wanted != which;
    ++warp.at_collective;
    block.wait(thread, Block::State::at_collective);
}

void collective_load(Collective which, const u16 *row) {
    current->operands->row = row;
    current->operands->caller = __builtin_return_address(0);
    collective(which);
}

void barrier() {
    Block &block = Block::current_block();
    ++block.warps[block.running_warp].at_barrier;
    block.wait(Block::current_thread(), Block::State::at_barrier);
}

std::string Block::run(const Launch &launch, Index3 index, u64 number) {
    prepare(launch, index, number);
    scheduler.belongs_to_host();
    Schedule schedule(launch.schedule, number);
    while (problem.empty()) {
        while (!ready.empty() && problem.empty()) {
            u32 position = schedule.pick(ready.size());
            if (!step(ready[position], schedule)) ready.erase(ready.begin() + position);
        }
        if (!problem.empty() || all_ended()) break;
        problem = open_barrier();
    }
    if (problem.empty() && !shared_memory.intact()) {
        problem = "a thread wrote behind the end of shared memory";
    }
    return std::move(problem);
}

void Block::prepare(const Launch &launch, Index3 index, u64 number) {
    this->launch = &launch;
    grid_size = launch.grid;
    block_size = {launch.threads, 1, 1};
    block_index = index;
    shared = shared_memory.provide(launch.shared_bytes);
    problem.clear();
    threads.resize(launch.threads);
    warps.resize(launch.threads / WARP_SIZE);
    ready.resize(warps.size());
    std::iota(ready.begin(), ready.end(), 0);
    for (u32 i = 0; i < launch.threads; ++i) {
        Warp &warp = warps[i / WARP_SIZE];
        Thread &thread = threads[i];
        thread.index = {i, 0, 0};
        thread.block = this;
        thread.operands = &warp.operands[i % WARP_SIZE];
        thread.state = State::ready;
        thread.stack = nullptr;
    }
    for (Warp &warp : warps) warp.at_collective = warp.at_barrier = warp.ended = 0;
    if (FINDS_RACES) {
        races.begin_block(launch.id, number, warps.size(), shared, launch.shared_bytes);
    }
    // A block that went wrong left its threads where they were.
    free_stacks.clear();
    for (auto &stack : stacks) free_stacks.push_back(stack.get());
}

// Runs a warp until each of its lanes waits or has ended, and serves a collective. Returns whether
// the warp can go on.
bool Block::step(u32 number, Schedule &schedule) {
    Warp &warp = warps[number];
    running_warp = number;
    schedule.order_lanes(lane_order);
    lanes_passed = 0;
    if (Thread *first = next_lane()) resume(scheduler, first);
    if (!problem.empty() || warp.at_collective == 0) return false;
    problem = serve(number);
    warp.at_collective = 0;
    for (u32 lane = 0; lane < WARP_SIZE; ++lane) {
        threads[number * WARP_SIZE + lane].state = State::ready;
    }
    return problem.empty();
}

// Does the collective that lanes of a warp came to. Returns what is wrong with it, if anything.
std::string Block::serve(u32 number) {
    Warp &warp = warps[number];
    if (warp.at_collective < WARP_SIZE) {
        return "a collective of a warp was reached by " + std::to_string(warp.at_collective) +
               " of 32 lanes of warp " + std::to_string(number);
    }
    if (warp.differ) {
        return "the lanes of warp " + std::to_string(number) + " came to different collectives";
    }
    if (FINDS_RACES) {
        std::string race = note_collective(number);
        if (!race.empty()) return race;
    }
    return do_collective(warp.wanted, warp.operands, shared, launch->shared_bytes);
}

// Tells the search for races what a collective does to memory.
std::string Block::note_collective(u32 number) {
    const Warp &warp = warps[number];
    switch (warp.wanted) {
        case Collective::sync_warp:
            races.warp_barrier(number);
            return {};
        case Collective::load_matrices:
        case Collective::load_matrices_transposed:
            for (u32 lane = 0; lane < WARP_SIZE; ++lane) {
                const Operands &operands = warp.operands[lane];
                std::string race = races.access(number * WARP_SIZE + lane, operands.row, 16, false,
                                                operands.caller);
                if (!race.empty()) return race;
            }
            return {};
        default:
            return {};
    }
}

void Block::note_access(const void *memory, size_t bytes, bool write, const void *instruction) {
    if (!current) return;
    Block &block = current_block();
    {
        u32 thread = current->index.x;
        std::string race = block.races.access(thread, memory, bytes, write, instruction);
        if (race.empty()) return;
        report(std::move(race));
    }
    leave();
}

void Block::report(std::string problem) { current_block().problem = std::move(problem); }

void Block::leave() {
    Thread &thread = current_thread();
    Block &block = current_block();
    current = nullptr;
    thread.context.leave_for(block.scheduler);
}

int Block::describe_running(char *text, size_t size) {
    const Block &block = current_block();
    const Index3 &index = block.block_index;
    int length = snprintf(text, size, "kernel `%s`: block (%u, %u, %u), thread %u",
                          block.launch->kernel->name.c_str(), index.x, index.y, index.z,
                          current->index.x);
    return std::min<int>(length, size - 1);
}

bool Block::all_ended() const {
    for (const Warp &warp : warps) {
        if (warp.ended < WARP_SIZE) return false;
    }
    return true;
}

// Lets all threads go on that wait at a barrier. Returns what is wrong if some do not wait there.
std::string Block::open_barrier() {
    size_t waiting = 0;
    for (const Warp &warp : warps) waiting += warp.at_barrier;
    if (waiting < threads.size()) {
        return "sync_block was reached by " + std::to_string(waiting) + " of " +
               std::to_string(threads.size()) + " threads; the others had ended";
    }
    if (FINDS_RACES) races.block_barrier();
    for (Warp &warp : warps) warp.at_barrier = 0;
    for (Thread &thread : threads) thread.state = State::ready;
    ready.resize(warps.size());
    std::iota(ready.begin(), ready.end(), 0);
    return {};
}

// The next lane of the running warp that can go on, or null at the end of the step.
Block::Thread *Block::next_lane() {
    while (lanes_passed < WARP_SIZE) {
        u32 lane = lane_order[lanes_passed++];
        Thread &thread = threads[running_warp * WARP_SIZE + lane];
        if (thread.state == State::ready) return &thread;
    }
    return nullptr;
}

// Goes from a context to a thread or, without one, to the scheduler.
void Block::resume(Context &from, Thread *next) {
    current = next;
    if (!next) return from.switch_to(scheduler);
    if (!next->stack) {
        next->stack = take_stack();
        next->context.begin(*next->stack, run_threads);
    }
    from.switch_to(next->context);
}

void Block::wait(Thread &thread, State state) {
    thread.state = state;
    resume(thread.context, next_lane());
}

Stack *Block::take_stack() {
    if (free_stacks.empty()) {
        stacks.push_back(std::make_unique<Stack>(stacks.size()));
        return stacks.back().get();
    }
    Stack *stack = free_stacks.back();
    free_stacks.pop_back();
    return stack;
}

// What a fiber does: it runs the current thread to its end. If the next lane has not begun, it takes
// over the fiber, so that a kernel without waiting needs but one.
void Block::run_threads() {
    Context::begun();
    for (;;) {
        Thread &thread = current_thread();
        Block &block = current_block();
        const Launch &launch = *block.launch;
        launch.kernel->invoke(launch.kernel->function, launch.arguments);
        thread.state = State::ended;
        ++block.warps[block.running_warp].ended;
        Stack *stack = std::exchange(thread.stack, nullptr);
        Thread *next = block.next_lane();
        if (next && !next->stack) {
            next->stack = stack;
            current = next;
            continue;
        }
        block.free_stacks.push_back(stack);
        current = next;
        thread.context.leave_for(next ? next->context : block.scheduler);
    }
}

}  // namespace emulator

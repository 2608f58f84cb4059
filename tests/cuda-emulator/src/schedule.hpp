// Orders in which warps and lanes run. On a GPU any order may happen; a kernel that lacks a barrier
// gives other results under at least one of them.
#pragma once

#include <utility>

#include "warp.hpp"

namespace emulator {

// A small generator of pseudo-random numbers (splitmix64).
class Random {
public:
    explicit Random(u64 seed) : state(seed) {}

    u32 below(u32 bound) {
        state += 0x9e3779b97f4a7c15ull;
        u64 z = state;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        u32 bits = (u32)((z ^ (z >> 31)) >> 32);
        return (u32)((u64)bits * bound >> 32);
    }

private:
    u64 state;
};

class Schedule {
public:
    // Number 0 is forward, 1 reversed; every other one seeds orders that are drawn anew for each step.
    Schedule(u32 number, u64 block) : number(number), random((u64)number << 40 ^ block) {}

    bool reversed() const { return number == 1; }
    bool drawn() const { return number > 1; }

    // The order of the lanes of a warp from one collective to the next.
    void order_lanes(unsigned char (&lanes)[WARP_SIZE]) {
        for (u32 i = 0; i < WARP_SIZE; ++i) lanes[i] = reversed() ? WARP_SIZE - 1 - i : i;
        if (!drawn()) return;
        for (u32 i = WARP_SIZE - 1; i > 0; --i) std::swap(lanes[i], lanes[random.below(i + 1)]);
    }

    // Which of `count` warps, the least number first, goes on until its next collective.
    u32 pick(u32 count) {
        if (drawn()) return random.below(count);
        return reversed() ? count - 1 : 0;
    }

private:
    u32 number;
    Random random;
};

}  // namespace emulator

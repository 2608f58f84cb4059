#include "warp.hpp"

#include <cstdint>

namespace emulator {
namespace {

// Each lane gets the value of the lane whose number differs in the bits of its mask.
void shuffle(Operands (&lanes)[WARP_SIZE]) {
    u32 values[WARP_SIZE];
    for (u32 lane = 0; lane < WARP_SIZE; ++lane) values[lane] = lanes[lane].words[0];
    for (u32 lane = 0; lane < WARP_SIZE; ++lane) {
        u32 mask = lanes[lane].words[1] % WARP_SIZE;
        lanes[lane].words[0] = values[lane ^ mask];
    }
}

// Why the rows that lanes name for ldmatrix are none, or nothing.
std::string check_rows(const Operands (&lanes)[WARP_SIZE], const unsigned char *shared,
                       u32 shared_bytes) {
    constexpr u32 ROW_BYTES = 16;
    for (u32 lane = 0; lane < WARP_SIZE; ++lane) {
        auto start = reinterpret_cast<uintptr_t>(shared);
        auto row = reinterpret_cast<uintptr_t>(lanes[lane].row);
        std::string what = "load_matrices: the row of lane " + std::to_string(lane);
        if (row < start || row + ROW_BYTES > start + shared_bytes) {
            return what + " is not in shared memory";
        }
        if (row % ROW_BYTES != 0) return what + " is not aligned to 16 bytes";
    }
    return {};
}

// ldmatrix .x4: lane 8 m + r names row r of matrix m. A lane gets of each matrix two neighbours of a
// row: of row lane / 4 columns 2 (lane % 4) and the next one.
void load_matrices(Operands (&lanes)[WARP_SIZE], bool transposed) {
    for (u32 matrix = 0; matrix < 4; ++matrix) {
        auto element = [&](u32 row, u32 column) -> u32 {
            if (transposed) std::swap(row, column);
            return lanes[8 * matrix + row].row[column];
        };
        for (u32 lane = 0; lane < WARP_SIZE; ++lane) {
            u32 row = lane / 4, column = lane % 4 * 2;
            lanes[lane].words[matrix] = element(row, column) | element(row, column + 1) << 16;
        }
    }
}

float low_bf16(u32 pair) { return std::bit_cast<float>(pair << 16); }
float high_bf16(u32 pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

// mma.m16n8k16. A lane is in group lane / 4, where it is the (lane % 4)th. It holds
// - of a (16 x 16) at columns 2 (lane % 4) and the next one: row group, row group + 8, and then the
//   same of the right half, columns + 8;
// - of b (16 x 8) of column group: rows 2 (lane % 4) and the next one, and then rows + 8;
// - of d (16 x 8) at columns 2 (lane % 4) and the next one: row group, and then row group + 8.
void multiply(Operands (&lanes)[WARP_SIZE]) {
    float a[16][16], b[16][8], d[16][8];
    for (u32 lane = 0; lane < WARP_SIZE; ++lane) {
        u32 group = lane / 4, pair = lane % 4 * 2;
        const Operands &operands = lanes[lane];
        for (u32 right = 0; right < 2; ++right) {
            for (u32 lower = 0; lower < 2; ++lower) {
                u32 word = operands.words[2 * right + lower];
                a[group + 8 * lower][pair + 8 * right] = low_bf16(word);
                a[group + 8 * lower][pair + 8 * right + 1] = high_bf16(word);
            }
        }
        for (u32 lower = 0; lower < 2; ++lower) {
            u32 word = operands.words[4 + lower];
            b[pair + 8 * lower][group] = low_bf16(word);
            b[pair + 8 * lower + 1][group] = high_bf16(word);
            d[group + 8 * lower][pair] = operands.sums[2 * lower];
            d[group + 8 * lower][pair + 1] = operands.sums[2 * lower + 1];
        }
    }
    for (u32 row = 0; row < 16; ++row) {
        for (u32 k = 0; k < 16; ++k) {
            for (u32 column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
        }
    }
    for (u32 lane = 0; lane < WARP_SIZE; ++lane) {
        u32 group = lane / 4, pair = lane % 4 * 2;
        for (u32 lower = 0; lower < 2; ++lower) {
            lanes[lane].sums[2 * lower] = d[group + 8 * lower][pair];
            lanes[lane].sums[2 * lower + 1] = d[group + 8 * lower][pair + 1];
        }
    }
}

}  // namespace

std::string do_collective(Collective which, Operands (&lanes)[WARP_SIZE],
                          const unsigned char *shared, u32 shared_bytes) {
    switch (which) {
        case Collective::sync_warp:
            return {};
        case Collective::shuffle:
            shuffle(lanes);
            return {};
        case Collective::load_matrices:
        case Collective::load_matrices_transposed: {
            std::string problem = check_rows(lanes, shared, shared_bytes);
            if (problem.empty()) {
                load_matrices(lanes, which == Collective::load_matrices_transposed);
            }
            return problem;
        }
        case Collective::multiply:
            multiply(lanes);
            return {};
    }
    return "an unknown collective";
}

}  // namespace emulator

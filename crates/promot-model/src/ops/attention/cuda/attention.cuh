// What the kernels of attention share: which queries see which keys, the bias, and dropout.
#pragma once
#include "tiles.cuh"

// As Problem in ops/attention/mod.rs.
struct Problem {
    u32 heads, kv_heads, d_kv, causal;
    float scale;
    // (num_buckets, heads), or null.
    const float *bias;
    // The row of the table for each distance of a key from a query, from -reach to reach.
    const u32 *buckets;
    u32 reach;
    // Of the dropout of probabilities; without it `zeroed` is 0.
    u64 dropout_key;
    u32 zeroed;
    float kept_scale;
};

// The parameters of a kernel that make a Problem, and the Problem.
#define PROBLEM_PARAMETERS                                                                     \
    u32 heads, u32 kv_heads, u32 d_kv, u32 causal, float scale, const float *bias,             \
        const u32 *buckets, u32 reach, u64 dropout_key, u32 zeroed, float kept_scale
#define PROBLEM                                                                                \
    Problem {                                                                                  \
        heads, kv_heads, d_kv, causal, scale, bias, buckets, reach, dropout_key, zeroed,       \
            kept_scale                                                                         \
    }

// Where a block works: a sequence, and the first of up to 64 of its queries or of its keys.
struct Place {
    u32 q_first, q_len, k_first, k_len, first;
};

DEVICE Place place_of_block(const u32 *places) {
    const u32 *place = places + 5ull * blockIdx.x;
    return Place{place[0], place[1], place[2], place[3], place[4]};
}

// One head's columns of queries, and of keys.
DEVICE HeadRows query_rows(const Problem &problem) {
    return HeadRows{(u64)problem.heads * problem.d_kv, problem.d_kv};
}
DEVICE HeadRows key_rows(const Problem &problem) {
    return HeadRows{(u64)problem.kv_heads * problem.d_kv, problem.d_kv};
}
DEVICE u64 query_at(const Problem &problem, u32 row, u32 head) {
    return ((u64)row * problem.heads + head) * problem.d_kv;
}
DEVICE u64 key_at(const Problem &problem, u32 row, u32 kv_head) {
    return ((u64)row * problem.kv_heads + kv_head) * problem.d_kv;
}

// What is added to a query's number for its position among the keys: the last query of a causal
// sequence stands at the last key.
DEVICE int position_shift(const Problem &problem, const Place &place) {
    return problem.causal ? (int)place.k_len - (int)place.q_len : 0;
}

// How many keys a query of the sequence sees.
DEVICE u32 visible_keys(const Problem &problem, const Place &place, u32 query) {
    if (!problem.causal) return place.k_len;
    int seen = (int)query + 1 + position_shift(problem, place);
    return (u32)min(max(seen, 0), (int)place.k_len);
}

// The mask of a query's probabilities: positions in it are those of the keys.
DEVICE Mask query_mask(const Problem &problem, const Place &place, u32 query, u32 head) {
    u64 row = (u64)(place.q_first + query) * problem.heads + head;
    return mask_at(problem.dropout_key, row, problem.zeroed, problem.kept_scale);
}

// The numbers of a tile that its pairs of a query and a key have in common by their distance: of 64
// queries and 64 keys there are 127 diagonals, from the last query with the first key on.
static constexpr u32 DIAGONALS = 128;

// The buckets of a tile's diagonals; `distance` is that of the first.
DEVICE u32 diagonal_bucket(const Problem &problem, int distance) {
    // Pairs beyond the end of the sequence may be farther apart than the table goes.
    int reach = (int)problem.reach;
    return problem.buckets[min(max(distance, -reach), reach) + reach];
}

// The biases of a tile's diagonals in `Tiles`' unit; not written without a bias.
template <class Tiles>
DEVICE void load_biases(float *biases, const Problem &problem, u32 head, int distance) {
    if (!problem.bias) return;
    u32 bucket = diagonal_bucket(problem, distance + (int)threadIdx.x);
    biases[threadIdx.x] = problem.bias[(u64)bucket * problem.heads + head] * Tiles::UNIT;
}

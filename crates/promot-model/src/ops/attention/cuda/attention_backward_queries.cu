// The gradient of queries, and the shares of the bias table's. A block has 64 queries of one head and
// goes through all keys that they see.
#include "backward.cuh"

// What a thread knows about its two queries.
struct ThreadQueries {
    u32 visible[2];
    float log_sum_exp[2], delta[2];
    Mask masks[2];
};

template <class Tiles>
DEVICE ThreadQueries thread_queries(const Saved &saved, const Problem &problem, const Place &place,
                                    u32 head) {
    ThreadQueries queries;
    for (u32 half = 0; half < 2; ++half) {
        u32 query = place.first + fragment_row() + 8 * half;
        bool exists = query < place.q_len;
        u64 at = (u64)(place.q_first + query) * problem.heads + head;
        queries.visible[half] = exists ? visible_keys(problem, place, query) : 0;
        queries.log_sum_exp[half] = exists ? saved.log_sum_exp[at] * Tiles::UNIT : 0.0f;
        queries.delta[half] = exists ? saved.delta[at] : 0.0f;
        queries.masks[half] = query_mask(problem, place, query, head);
    }
    return queries;
}

// Products to probabilities and `gradients` of these to those of scores, for the keys from `chunk` on
// of the tile that starts at key `first`.
template <class Tiles>
DEVICE void score_gradients(float (&products)[Tiles::CHUNK / 8][4],
                            float (&gradients)[Tiles::CHUNK / 8][4], const Problem &problem,
                            u32 first, u32 chunk, const ThreadQueries &queries,
                            const float *biases) {
    const float scale = problem.scale * Tiles::UNIT;
#pragma unroll
    for (u32 i = 0; i < Tiles::CHUNK / 8; ++i) {
#pragma unroll
        for (u32 e = 0; e < 4; ++e) {
            const u32 row = fragment_row() + 8 * (e / 2);
            const u32 column = chunk + 8 * i + fragment_column() + e % 2, key = first + column;
            Pair pair;
            pair.visible = key < queries.visible[e / 2];
            // The first diagonal belongs to the last query.
            pair.bias = problem.bias ? biases[column + (ROWS - 1) - row] : 0.0f;
            pair.log_sum_exp = queries.log_sum_exp[e / 2];
            pair.delta = queries.delta[e / 2];
            pair.dropout_factor =
                problem.zeroed > 0 ? mask_factor(queries.masks[e / 2], key) : 1.0f;
            score_gradient<Tiles>(products[i][e], gradients[i][e], scale, pair);
        }
    }
}

// The gradient of the bias table's column of one head, made by one block.
struct BiasGradient {
    // A number for each bucket.
    float *share;
    // Of the present tile: score gradients by query, and buckets and sums by diagonal.
    float *score_gradients;
    u32 *buckets;
    float *sums;
};

DEVICE void load_buckets(BiasGradient bias, const Problem &problem, int distance) {
    bias.buckets[threadIdx.x] = diagonal_bucket(problem, distance + (int)threadIdx.x);
}

// Adds the score gradients of a tile to the share, in an order that does not depend on the schedule:
// a thread for each diagonal, then one for each bucket.
template <class Tiles> DEVICE void add_tile(BiasGradient bias) {
    constexpr int COLUMNS = Tiles::COLUMNS, LAST = ROWS - 1, COUNT = COLUMNS + LAST;
    const int diagonal = (int)threadIdx.x;
    sync_block();
    float sum = 0.0f;
    // Of the pairs (row, row + diagonal - LAST) those whose column is in the tile.
    const int end = min(LAST, COUNT - 1 - diagonal);
    for (int row = max(LAST - diagonal, 0); row <= end; ++row) {
        sum += bias.score_gradients[row * (int)Tiles::WEIGHTS_STRIDE + row + diagonal - LAST];
    }
    bias.sums[diagonal] = sum;
    sync_block();
    // The distances of a bucket are neighbours: the thread of the first adds all of them.
    const u32 bucket = bias.buckets[diagonal];
    if (diagonal < COUNT && (diagonal == 0 || bias.buckets[diagonal - 1] != bucket)) {
        float total = 0.0f;
        for (int i = diagonal; i < COUNT && bias.buckets[i] == bucket; ++i) total += bias.sums[i];
        bias.share[bucket] += total;
    }
}

// `shares` is (places, heads, num_buckets), or null if nobody wants the gradient of the table.
template <class Tiles>
DEVICE void attention_backward_queries(float *dq, float *shares, u32 num_buckets,
                                       const Saved &saved, const u32 *places,
                                       const Problem &problem) {
    constexpr u32 STRIDE = Tiles::STRIDE, COLUMNS = Tiles::COLUMNS, CHUNK = Tiles::CHUNK;
    SHARED(shared);
    typedef typename Tiles::Element Element;
    Element *queries = (Element *)shared;
    Element *output_gradients = queries + ROWS * STRIDE;
    Element *keys = output_gradients + ROWS * STRIDE;
    Element *values = keys + COLUMNS * STRIDE;
    float *biases = (float *)(values + COLUMNS * STRIDE);
    float *scratch = biases + DIAGONALS;
    BiasGradient bias;
    bias.score_gradients = scratch;
    bias.buckets = (u32 *)(scratch + ROWS * Tiles::WEIGHTS_STRIDE);
    bias.sums = (float *)(bias.buckets + DIAGONALS);
    bias.share = bias.sums + DIAGONALS;

    const Place place = place_of_block(places);
    const u32 head = blockIdx.y, kv_head = head / (problem.heads / problem.kv_heads);
    const u32 count = min(ROWS, place.q_len - place.first);
    const HeadRows q_shape = query_rows(problem), k_shape = key_rows(problem);
    const u64 q_at = query_at(problem, place.q_first + place.first, head);
    load_tile<Tiles, ROWS>(queries, saved.q + q_at, count, q_shape);
    load_tile<Tiles, ROWS>(output_gradients, saved.dy + q_at, count, q_shape);
    const ThreadQueries numbers = thread_queries<Tiles>(saved, problem, place, head);
    if (shares) {
        for (u32 i = threadIdx.x; i < num_buckets; i += THREADS) bias.share[i] = 0.0f;
    }

    const u32 seen = visible_keys(problem, place, place.first + count - 1);
    float sums[Tiles::WIDTH / 8][4] = {};
    for (u32 first = 0; first < seen; first += COLUMNS) {
        const u32 key_count = min(COLUMNS, place.k_len - first);
        const u64 k_at = key_at(problem, place.k_first + first, kv_head);
        sync_block();
        load_tile<Tiles, COLUMNS>(keys, saved.k + k_at, key_count, k_shape);
        load_tile<Tiles, COLUMNS>(values, saved.v + k_at, key_count, k_shape);
        int position = (int)(place.first + ROWS - 1) + position_shift(problem, place);
        load_biases<Tiles>(biases, problem, head, (int)first - position);
        if (shares) load_buckets(bias, problem, (int)first - position);
        sync_block();

#pragma unroll 1
        for (u32 chunk = 0; chunk < COLUMNS; chunk += CHUNK) {
            const Element *chunk_keys = keys + chunk * STRIDE;
            float products[CHUNK / 8][4], gradients[CHUNK / 8][4];
            Tiles::template inner_products<CHUNK>(products, queries, chunk_keys);
            Tiles::template inner_products<CHUNK>(gradients, output_gradients,
                                                  values + chunk * STRIDE);
            score_gradients<Tiles>(products, gradients, problem, first, chunk, numbers, biases);
            if (shares) {
                store_fragment<CHUNK, Tiles::WEIGHTS_STRIDE>(bias.score_gradients + chunk,
                                                             gradients);
            }
            Tiles::template add_weighted_rows<CHUNK>(sums, gradients, chunk_keys, scratch);
        }
        if (shares) add_tile<Tiles>(bias);
    }
    const float scale[2] = {problem.scale, problem.scale};
    write_rows<Tiles>(dq + q_at, count, q_shape, sums, scale);
    if (shares) {
        sync_block();
        float *share = shares + ((u64)blockIdx.x * problem.heads + head) * num_buckets;
        for (u32 i = threadIdx.x; i < num_buckets; i += THREADS) share[i] = bias.share[i];
    }
}

#define ATTENTION_BACKWARD_QUERIES(precision, Tiles, width)                                    \
    KERNEL(128)                                                                                \
    attention_backward_queries_##precision##_##width(float *dq, float *shares,                 \
                                                     u32 num_buckets, SAVED_PARAMETERS,        \
                                                     const u32 *places, PROBLEM_PARAMETERS) {  \
        attention_backward_queries<Tiles<width>>(dq, shares, num_buckets, SAVED, places,       \
                                                 PROBLEM);                                     \
    }                                                                                          \
    EXPORT(attention_backward_queries_##precision##_##width)

ATTENTION_BACKWARD_QUERIES(bf16, Bf16Tiles, 32)
ATTENTION_BACKWARD_QUERIES(bf16, Bf16Tiles, 64)
ATTENTION_BACKWARD_QUERIES(bf16, Bf16Tiles, 128)
ATTENTION_BACKWARD_QUERIES(f32, F32Tiles, 32)
ATTENTION_BACKWARD_QUERIES(f32, F32Tiles, 64)
ATTENTION_BACKWARD_QUERIES(f32, F32Tiles, 128)

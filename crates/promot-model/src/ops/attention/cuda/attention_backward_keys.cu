// The gradients of keys and values. A block has 64 keys of one head of keys, goes through all queries
// that see them, of all heads of the group, and needs nothing of other blocks.
//
// Scores have keys as rows here, so that probabilities and score gradients lie as left factors of the
// products that they go into.
#include "backward.cuh"

// What a block knows about the queries of a tile.
struct QueryNumbers {
    float *log_sum_exp, *delta;
    u32 *mask_key_low, *mask_key_high;
};

template <class Tiles>
DEVICE void load_query_numbers(QueryNumbers numbers, const Saved &saved, const Problem &problem,
                               const Place &place, u32 head, u32 first) {
    u32 i = threadIdx.x, query = first + i;
    if (i >= Tiles::COLUMNS) return;
    bool exists = query < place.q_len;
    u64 at = (u64)(place.q_first + query) * problem.heads + head;
    numbers.log_sum_exp[i] = exists ? saved.log_sum_exp[at] * Tiles::UNIT : 0.0f;
    numbers.delta[i] = exists ? saved.delta[at] : 0.0f;
    Mask mask = query_mask(problem, place, query, head);
    numbers.mask_key_low[i] = mask.key_low;
    numbers.mask_key_high[i] = mask.key_high;
}

// Products to probabilities and `gradients` of these to those of scores, for the queries from
// `chunk` on of the tile that starts at query `first`.
template <class Tiles>
DEVICE void score_gradients(float (&products)[Tiles::CHUNK / 8][4],
                            float (&gradients)[Tiles::CHUNK / 8][4], const Problem &problem,
                            const Place &place, u32 first, u32 chunk, QueryNumbers numbers,
                            const float *biases) {
    const float scale = problem.scale * Tiles::UNIT;
    const int shift = position_shift(problem, place);
#pragma unroll
    for (u32 i = 0; i < Tiles::CHUNK / 8; ++i) {
#pragma unroll
        for (u32 e = 0; e < 4; ++e) {
            const u32 row = fragment_row() + 8 * (e / 2);
            const u32 column = chunk + 8 * i + fragment_column() + e % 2;
            const u32 key = place.first + row, query = first + column;
            Pair pair;
            pair.visible = key < place.k_len && query < place.q_len &&
                           (!problem.causal || (int)key <= (int)query + shift);
            // The first diagonal belongs to the last query.
            pair.bias = problem.bias ? biases[row + (Tiles::COLUMNS - 1) - column] : 0.0f;
            pair.log_sum_exp = numbers.log_sum_exp[column];
            pair.delta = numbers.delta[column];
            pair.dropout_factor = 1.0f;
            if (problem.zeroed > 0) {
                Mask mask = {numbers.mask_key_low[column], numbers.mask_key_high[column],
                             problem.zeroed, problem.kept_scale};
                pair.dropout_factor = mask_factor(mask, key);
            }
            score_gradient<Tiles>(products[i][e], gradients[i][e], scale, pair);
        }
    }
}

template <class Tiles>
DEVICE void attention_backward_keys(float *dk, float *dv, const Saved &saved, const u32 *places,
                                    const Problem &problem) {
    constexpr u32 STRIDE = Tiles::STRIDE, COLUMNS = Tiles::COLUMNS, CHUNK = Tiles::CHUNK;
    SHARED(shared);
    typedef typename Tiles::Element Element;
    Element *keys = (Element *)shared;
    Element *values = keys + ROWS * STRIDE;
    Element *queries = values + ROWS * STRIDE;
    Element *output_gradients = queries + COLUMNS * STRIDE;
    float *biases = (float *)(output_gradients + COLUMNS * STRIDE);
    QueryNumbers numbers;
    numbers.log_sum_exp = biases + DIAGONALS;
    numbers.delta = numbers.log_sum_exp + ROWS;
    numbers.mask_key_low = (u32 *)(numbers.delta + ROWS);
    numbers.mask_key_high = numbers.mask_key_low + ROWS;
    float *scratch = (float *)(numbers.mask_key_high + ROWS);

    const Place place = place_of_block(places);
    const u32 kv_head = blockIdx.y, group = problem.heads / problem.kv_heads;
    const u32 count = min(ROWS, place.k_len - place.first);
    const HeadRows q_shape = query_rows(problem), k_shape = key_rows(problem);
    const u64 k_at = key_at(problem, place.k_first + place.first, kv_head);
    load_tile<Tiles, ROWS>(keys, saved.k + k_at, count, k_shape);
    load_tile<Tiles, ROWS>(values, saved.v + k_at, count, k_shape);

    const int shift = position_shift(problem, place);
    const u32 first_query = problem.causal ? (u32)max((int)place.first - shift, 0) : 0;
    float key_sums[Tiles::WIDTH / 8][4] = {}, value_sums[Tiles::WIDTH / 8][4] = {};
    for (u32 head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        for (u32 first = first_query; first < place.q_len; first += COLUMNS) {
            const u32 query_count = min(COLUMNS, place.q_len - first);
            const u64 q_at = query_at(problem, place.q_first + first, head);
            sync_block();
            load_tile<Tiles, COLUMNS>(queries, saved.q + q_at, query_count, q_shape);
            load_tile<Tiles, COLUMNS>(output_gradients, saved.dy + q_at, query_count, q_shape);
            load_query_numbers<Tiles>(numbers, saved, problem, place, head, first);
            int position = (int)(first + COLUMNS - 1) + shift;
            load_biases<Tiles>(biases, problem, head, (int)place.first - position);
            sync_block();

#pragma unroll 1
            for (u32 chunk = 0; chunk < COLUMNS; chunk += CHUNK) {
                const Element *chunk_queries = queries + chunk * STRIDE;
                const Element *chunk_gradients = output_gradients + chunk * STRIDE;
                float products[CHUNK / 8][4], gradients[CHUNK / 8][4];
                Tiles::template inner_products<CHUNK>(products, keys, chunk_queries);
                Tiles::template inner_products<CHUNK>(gradients, values, chunk_gradients);
                score_gradients<Tiles>(products, gradients, problem, place, first, chunk, numbers,
                                       biases);
                Tiles::template add_weighted_rows<CHUNK>(value_sums, products, chunk_gradients,
                                                         scratch);
                Tiles::template add_weighted_rows<CHUNK>(key_sums, gradients, chunk_queries,
                                                         scratch);
            }
        }
    }
    const float scale[2] = {problem.scale, problem.scale}, one[2] = {1.0f, 1.0f};
    write_rows<Tiles>(dk + k_at, count, k_shape, key_sums, scale);
    write_rows<Tiles>(dv + k_at, count, k_shape, value_sums, one);
}

#define ATTENTION_BACKWARD_KEYS(precision, Tiles, width)                                       \
    KERNEL(128)                                                                                \
    attention_backward_keys_##precision##_##width(float *dk, float *dv, SAVED_PARAMETERS,      \
                                                  const u32 *places, PROBLEM_PARAMETERS) {     \
        attention_backward_keys<Tiles<width>>(dk, dv, SAVED, places, PROBLEM);                 \
    }                                                                                          \
    EXPORT(attention_backward_keys_##precision##_##width)

ATTENTION_BACKWARD_KEYS(bf16, Bf16Tiles, 32)
ATTENTION_BACKWARD_KEYS(bf16, Bf16Tiles, 64)
ATTENTION_BACKWARD_KEYS(bf16, Bf16Tiles, 128)
ATTENTION_BACKWARD_KEYS(f32, F32Tiles, 32)
ATTENTION_BACKWARD_KEYS(f32, F32Tiles, 64)
ATTENTION_BACKWARD_KEYS(f32, F32Tiles, 128)

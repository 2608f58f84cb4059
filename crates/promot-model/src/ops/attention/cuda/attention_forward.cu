// Attention: output and log-sum-exp of 64 queries of one head a block, with the softmax of the keys
// seen so far kept up to date (Dao, FlashAttention-2, 2023).
#include "attention.cuh"

// The softmax of one thread's two rows: the largest score so far, and this thread's part of the sum
// of exponentials.
struct Softmax {
    float top[2], sum[2];
};

// Scores from inner products, in the unit of the exponentials.
template <class Tiles>
DEVICE void make_scores(float (&scores)[Tiles::COLUMNS / 8][4], const Problem &problem,
                        const float *biases) {
    float scale = problem.scale * Tiles::UNIT;
    // The first diagonal belongs to the last query.
    const float *of_row = biases + (ROWS - 1) - fragment_row() + fragment_column();
#pragma unroll
    for (u32 i = 0; i < Tiles::COLUMNS / 8; ++i) {
#pragma unroll
        for (u32 e = 0; e < 4; ++e) {
            float bias = problem.bias ? of_row[(int)(8 * i + e % 2) - (int)(8 * (e / 2))] : 0.0f;
            scores[i][e] = scores[i][e] * scale + bias;
        }
    }
}

// Minus infinity in the place of the scores of keys that a row does not see; `first` is the first key.
template <u32 N>
DEVICE void hide(float (&scores)[N / 8][4], u32 first, const u32 (&visible)[2]) {
#pragma unroll
    for (u32 i = 0; i < N / 8; ++i) {
#pragma unroll
        for (u32 e = 0; e < 4; ++e) {
            u32 key = first + 8 * i + fragment_column() + e % 2;
            if (key >= visible[e / 2]) scores[i][e] = -INFINITE;
        }
    }
}

// Scores to exponentials relative to the largest score so far; what was summed before is made
// relative to it, too.
template <class Tiles>
DEVICE void exponentials(float (&scores)[Tiles::COLUMNS / 8][4], Softmax &softmax,
                         float (&out)[Tiles::WIDTH / 8][4]) {
#pragma unroll
    for (u32 half = 0; half < 2; ++half) {
        float top = softmax.top[half];
#pragma unroll
        for (u32 i = 0; i < Tiles::COLUMNS / 8; ++i) {
            top = fmaxf(top, fmaxf(scores[i][2 * half], scores[i][2 * half + 1]));
        }
        top = row_max(top);
        // A row that has seen no key yet: its exponentials are 0, and not those of a difference of
        // infinities.
        float base = top == -INFINITE ? 0.0f : top;
        float before = Tiles::exponential(softmax.top[half] - base);
        softmax.top[half] = top;
        softmax.sum[half] *= before;
#pragma unroll
        for (u32 j = 0; j < Tiles::WIDTH / 8; ++j) {
            out[j][2 * half] *= before;
            out[j][2 * half + 1] *= before;
        }
#pragma unroll
        for (u32 i = 0; i < Tiles::COLUMNS / 8; ++i) {
#pragma unroll
            for (u32 e = 2 * half; e < 2 * half + 2; ++e) {
                scores[i][e] = Tiles::exponential(scores[i][e] - base);
                softmax.sum[half] += scores[i][e];
            }
        }
    }
}

// Exponentials times their dropout factors; `first` is the first key.
template <u32 N>
DEVICE void drop(float (&weights)[N / 8][4], u32 first, const Mask (&masks)[2]) {
#pragma unroll
    for (u32 i = 0; i < N / 8; ++i) {
#pragma unroll
        for (u32 e = 0; e < 4; ++e) {
            u32 key = first + 8 * i + fragment_column() + e % 2;
            weights[i][e] *= mask_factor(masks[e / 2], key);
        }
    }
}

template <class Tiles>
DEVICE void attention_forward(float *y, float *log_sum_exp, const float *q, const float *k,
                              const float *v, const u32 *places, const Problem &problem) {
    constexpr u32 WIDTH = Tiles::WIDTH, COLUMNS = Tiles::COLUMNS;
    SHARED(shared);
    typedef typename Tiles::Element Element;
    Element *queries = (Element *)shared;
    Element *keys = queries + ROWS * Tiles::STRIDE;
    Element *values = keys + COLUMNS * Tiles::STRIDE;
    float *biases = (float *)(values + COLUMNS * Tiles::STRIDE);
    float *scratch = biases + DIAGONALS;

    const Place place = place_of_block(places);
    const u32 head = blockIdx.y, kv_head = head / (problem.heads / problem.kv_heads);
    const u32 count = min(ROWS, place.q_len - place.first);
    const HeadRows q_shape = query_rows(problem), k_shape = key_rows(problem);
    const u64 q_at = query_at(problem, place.q_first + place.first, head);
    load_tile<Tiles, ROWS>(queries, q + q_at, count, q_shape);

    u32 visible[2];
    Mask masks[2];
    for (u32 half = 0; half < 2; ++half) {
        u32 query = place.first + fragment_row() + 8 * half;
        visible[half] = visible_keys(problem, place, query);
        masks[half] = query_mask(problem, place, query, head);
    }
    // Keys that every query of the tile sees, and that at least one does.
    const u32 seen_by_all = visible_keys(problem, place, place.first);
    const u32 seen = visible_keys(problem, place, place.first + count - 1);

    float out[WIDTH / 8][4] = {};
    Softmax softmax = {{-INFINITE, -INFINITE}, {0.0f, 0.0f}};
    for (u32 first = 0; first < seen; first += COLUMNS) {
        const u32 key_count = min(COLUMNS, place.k_len - first);
        const u64 k_at = key_at(problem, place.k_first + first, kv_head);
        sync_block();
        load_tile<Tiles, COLUMNS>(keys, k + k_at, key_count, k_shape);
        load_tile<Tiles, COLUMNS>(values, v + k_at, key_count, k_shape);
        int position = (int)(place.first + ROWS - 1) + position_shift(problem, place);
        load_biases<Tiles>(biases, problem, head, (int)first - position);
        sync_block();

        float scores[COLUMNS / 8][4];
        Tiles::template inner_products<COLUMNS>(scores, queries, keys);
        make_scores<Tiles>(scores, problem, biases);
        if (first + COLUMNS > seen_by_all) hide<COLUMNS>(scores, first, visible);
        exponentials<Tiles>(scores, softmax, out);
        if (problem.zeroed > 0) drop<COLUMNS>(scores, first, masks);
        Tiles::template add_weighted_rows<COLUMNS>(out, scores, values, scratch);
    }

    float factors[2];
    for (u32 half = 0; half < 2; ++half) {
        float sum = row_sum(softmax.sum[half]);
        // The sum is 0 only where no key was seen.
        factors[half] = sum == 0.0f ? 0.0f : 1.0f / sum;
        u32 row = fragment_row() + 8 * half;
        if (lane_id() % 4 == 0 && row < count) {
            u64 at = (u64)(place.q_first + place.first + row) * problem.heads + head;
            log_sum_exp[at] =
                sum == 0.0f ? -INFINITE : softmax.top[half] / Tiles::UNIT + logf(sum);
        }
    }
    write_rows<Tiles>(y + q_at, count, q_shape, out, factors);
}

#define ATTENTION_FORWARD(precision, Tiles, width)                                              \
    KERNEL(128)                                                                                 \
    attention_forward_##precision##_##width(float *y, float *log_sum_exp, const float *q,       \
                                            const float *k, const float *v, const u32 *places,  \
                                            PROBLEM_PARAMETERS) {                               \
        attention_forward<Tiles<width>>(y, log_sum_exp, q, k, v, places, PROBLEM);              \
    }                                                                                           \
    EXPORT(attention_forward_##precision##_##width)

ATTENTION_FORWARD(bf16, Bf16Tiles, 32)
ATTENTION_FORWARD(bf16, Bf16Tiles, 64)
ATTENTION_FORWARD(bf16, Bf16Tiles, 128)
ATTENTION_FORWARD(f32, F32Tiles, 32)
ATTENTION_FORWARD(f32, F32Tiles, 64)
ATTENTION_FORWARD(f32, F32Tiles, 128)

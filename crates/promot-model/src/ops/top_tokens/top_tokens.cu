// The most probable next tokens.
#include "device.cuh"

// No token.
static constexpr u32 NONE = 0xffffffffu;

DEVICE float logit_of(float x) { return x == x ? x : -INFINITE; }

// Whether the first logit comes before the second: it is larger, or as large and of an earlier token.
DEVICE bool before(float logit, u32 token, float other, u32 other_token) {
    return logit > other || (logit == other && token < other_token);
}

// A block for each row of logits: its `count` first tokens in that order and the logarithms of their
// probabilities, pairs of 32 bits. Every round finds the first of those that come after the one before.
KERNEL(256) top_tokens(u32 *found, const float *logits, u32 vocab_size, u32 count) {
    SHARED(shared);
    float *values = (float *)shared;
    u32 *tokens = (u32 *)(values + 256);
    const float *row = logits + (u64)blockIdx.x * vocab_size;
    u32 *pairs = found + 2ull * blockIdx.x * count;

    float most = -INFINITE;
    for (u32 i = threadIdx.x; i < vocab_size; i += 256) most = fmaxf(most, logit_of(row[i]));
    most = block_max(most, values);
    float sum = 0.0f;
    for (u32 i = threadIdx.x; i < vocab_size; i += 256) sum += expf(logit_of(row[i]) - most);
    sum = block_sum(sum, values);
    // Where nothing is probable at all, logits are not made into numbers that are none.
    float log_sum_exp = most == -INFINITE ? 0.0f : most + logf(sum);

    float last = INFINITE;
    u32 last_token = NONE;
    for (u32 round = 0; round < count; ++round) {
        float best = -INFINITE;
        u32 token = NONE;
        for (u32 i = threadIdx.x; i < vocab_size; i += 256) {
            float logit = logit_of(row[i]);
            bool left = round == 0 || before(last, last_token, logit, i);
            // A thread's tokens come in order: of equals it keeps the first.
            if (left && (token == NONE || logit > best)) {
                best = logit;
                token = i;
            }
        }
        values[threadIdx.x] = best;
        tokens[threadIdx.x] = token;
        sync_block();
        for (u32 half = 128; half > 0; half /= 2) {
            u32 other = threadIdx.x + half;
            // NONE is the last of all tokens, so that it loses against an infinite logit, too.
            if (threadIdx.x < half &&
                before(values[other], tokens[other], values[threadIdx.x], tokens[threadIdx.x])) {
                values[threadIdx.x] = values[other];
                tokens[threadIdx.x] = tokens[other];
            }
            sync_block();
        }
        last = values[0];
        last_token = tokens[0];
        if (threadIdx.x == 0) {
            pairs[2 * round] = last_token;
            pairs[2 * round + 1] = float_bits(last - log_sum_exp);
        }
        sync_block();
    }
}
EXPORT(top_tokens)

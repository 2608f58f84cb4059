// The small kernels of attention: what goes before and after its passes.
#include "device.cuh"

// The sum of each query's and head's probabilities times their gradients, which equals dy · y, also
// with dropout: y is made of the probabilities that were left. A warp for each of `rows` of `d_kv`.
KERNEL(256) attention_delta(float *delta, const float *dy, const float *y, u32 rows, u32 d_kv) {
    u32 row = blockIdx.x * 8 + warp_id();
    u64 first = (u64)row * d_kv;
    float sum = 0.0f;
    if (row < rows) {
        for (u32 i = lane_id(); i < d_kv; i += 32) sum += dy[first + i] * y[first + i];
    }
    sum = warp_sum(sum);
    if (row < rows && lane_id() == 0) delta[row] = sum;
}
EXPORT(attention_delta)

// The gradient of the bias table, (num_buckets, heads), from shares (places, heads, num_buckets). A
// block has 32 columns of the shares; a warp adds every eighth row, and the eight sums are added in
// order.
KERNEL(256)
attention_bias_gradient(float *table, const float *shares, u32 places, u32 heads, u32 num_buckets) {
    SHARED(shared);
    float *sums = (float *)shared;
    u32 width = heads * num_buckets, column = blockIdx.x * 32 + lane_id();
    float sum = 0.0f;
    if (column < width) {
        for (u32 place = warp_id(); place < places; place += 8) {
            sum += shares[(u64)place * width + column];
        }
    }
    sums[threadIdx.x] = sum;
    sync_block();
    if (warp_id() > 0 || column >= width) return;
    float total = 0.0f;
    for (u32 warp = 0; warp < 8; ++warp) total += sums[32 * warp + lane_id()];
    u32 head = column / num_buckets, bucket = column % num_buckets;
    table[bucket * heads + head] = total;
}
EXPORT(attention_bias_gradient)

// Attention to some keys and to others: outputs (rows, d_kv), a row a query and head, and the
// log-sum-exps beside them, put together.
KERNEL(256)
merge_attention(float *y, float *log_sum_exp, const float *some_y, const float *some_log_sum_exp,
                const float *other_y, const float *other_log_sum_exp, u32 d_kv, u64 len) {
    for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < len; i += gridDim.x * 256ull) {
        u64 row = i / d_kv;
        float some = some_log_sum_exp[row], other = other_log_sum_exp[row];
        float top = fmaxf(some, other);
        // Without any key, zeros that weigh nothing.
        float merged = 0.0f, total = 0.0f;
        if (top != -INFINITE) {
            some = expf(some - top);
            other = expf(other - top);
            total = some + other;
            merged = (some * some_y[i] + other * other_y[i]) / total;
        }
        y[i] = merged;
        if (i % d_kv == 0) log_sum_exp[row] = top + logf(total);
    }
}
EXPORT(merge_attention)

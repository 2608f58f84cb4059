// The hardware's instructions by themselves, for comparison with what their manual says.
#include "device.cuh"

// out (16, 8) = a (16, 16) b^T, where b is (8, 16); one warp. a and b are bf16, row by row.
KERNEL(32) conformance_mma(float *out, const u16 *a, const u16 *b) {
    SHARED(bytes);
    u16 *rows_a = (u16 *)bytes, *rows_b = rows_a + 16 * 16;
    for (u32 i = lane_id(); i < 16 * 16; i += 32) rows_a[i] = a[i];
    for (u32 i = lane_id(); i < 8 * 16; i += 32) rows_b[i] = b[i];
    sync_warp();
    u32 fragments_a[4], fragments_b[4];
    load_matrices(fragments_a, rows_a + (lane_id() & 15) * 16 + (lane_id() >> 4) * 8);
    // Lanes 16 and up name the same rows again: b has two matrices only.
    load_matrices(fragments_b, rows_b + (lane_id() & 7) * 16 + ((lane_id() >> 3) & 1) * 8);
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    mma_bf16(sums, fragments_a, fragments_b[0], fragments_b[1]);
    u32 row = lane_id() >> 2, column = (lane_id() & 3) * 2;
    out[row * 8 + column] = sums[0];
    out[row * 8 + column + 1] = sums[1];
    out[(row + 8) * 8 + column] = sums[2];
    out[(row + 8) * 8 + column + 1] = sums[3];
}
EXPORT(conformance_mma)

// out (16, 8) = a (16, 16) b, where b is (16, 8): its matrices are transposed while they are read.
KERNEL(32) conformance_transposed(float *out, const u16 *a, const u16 *b) {
    SHARED(bytes);
    u16 *rows_a = (u16 *)bytes, *rows_b = rows_a + 16 * 16;
    for (u32 i = lane_id(); i < 16 * 16; i += 32) rows_a[i] = a[i];
    for (u32 i = lane_id(); i < 16 * 8; i += 32) rows_b[i] = b[i];
    sync_warp();
    u32 fragments_a[4], fragments_b[4];
    load_matrices(fragments_a, rows_a + (lane_id() & 15) * 16 + (lane_id() >> 4) * 8);
    load_matrices_transposed(fragments_b, rows_b + (lane_id() & 15) * 8);
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    mma_bf16(sums, fragments_a, fragments_b[0], fragments_b[1]);
    u32 row = lane_id() >> 2, column = (lane_id() & 3) * 2;
    out[row * 8 + column] = sums[0];
    out[row * 8 + column + 1] = sums[1];
    out[(row + 8) * 8 + column] = sums[2];
    out[(row + 8) * 8 + column + 1] = sums[3];
}
EXPORT(conformance_transposed)

// For each x: itself rounded to bf16, 2^x, e^x.
KERNEL(256) conformance_numbers(float *out, const float *x, u32 len) {
    u32 i = blockIdx.x * 256 + threadIdx.x;
    if (i >= len) return;
    out[3 * i] = from_bf16(to_bf16(x[i]));
    out[3 * i + 1] = exp2_fast(x[i]);
    out[3 * i + 2] = expf(x[i]);
}
EXPORT(conformance_numbers)

// The sum and the largest of a block's 256 numbers.
KERNEL(256) conformance_sums(float *out, const float *x) {
    SHARED(scratch);
    float sum = block_sum(x[threadIdx.x], (float *)scratch);
    float most = block_max(x[threadIdx.x], (float *)scratch);
    if (threadIdx.x == 0) {
        out[0] = sum;
        out[1] = most;
    }
}
EXPORT(conformance_sums)

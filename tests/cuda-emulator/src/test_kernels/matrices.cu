// The tensor cores and what feeds them.
#include "device.cuh"

// c (16 x 8) += a (16 x 16) b (16 x 8), fragments read from memory as the PTX manual says.
KERNEL(32) test_mma(float *c, const u16 *a, const u16 *b) {
    u32 group = lane_id() / 4, pair = lane_id() % 4 * 2;
    u32 a_fragment[4], b_fragment[2];
    float d[4];
    for (u32 i = 0; i < 4; ++i) {
        const u16 *at = a + (group + i % 2 * 8) * 16 + pair + i / 2 * 8;
        a_fragment[i] = at[0] | (u32)at[1] << 16;
        d[i] = c[(group + i / 2 * 8) * 8 + pair + i % 2];
    }
    for (u32 i = 0; i < 2; ++i) {
        const u16 *at = b + (pair + i * 8) * 8 + group;
        b_fragment[i] = at[0] | (u32)at[8] << 16;
    }
    mma_bf16(d, a_fragment, b_fragment[0], b_fragment[1]);
    for (u32 i = 0; i < 4; ++i) c[(group + i / 2 * 8) * 8 + pair + i % 2] = d[i];
}
EXPORT(test_mma)

// What each lane gets of 32 rows of 8 numbers, plain and transposed.
KERNEL(32) test_load_matrices(u32 *plain, u32 *transposed, const u16 *rows) {
    SHARED(shared);
    u16 *tile = (u16 *)shared;
    for (u32 i = lane_id(); i < 256; i += 32) tile[i] = rows[i];
    sync_block();
    u32 r[4];
    load_matrices(r, tile + lane_id() * 8);
    for (u32 i = 0; i < 4; ++i) plain[lane_id() * 4 + i] = r[i];
    load_matrices_transposed(r, tile + lane_id() * 8);
    for (u32 i = 0; i < 4; ++i) transposed[lane_id() * 4 + i] = r[i];
}
EXPORT(test_load_matrices)

// The product of test_mma with fragments that ldmatrix brings from shared memory: of a plain, of b
// transposed.
KERNEL(32) test_mma_from_shared(float *c, const u16 *a, const u16 *b) {
    SHARED(shared);
    u16 *a_tile = (u16 *)shared, *b_tile = a_tile + 256;
    for (u32 i = lane_id(); i < 256; i += 32) a_tile[i] = a[i];
    for (u32 i = lane_id(); i < 128; i += 32) b_tile[i] = b[i];
    sync_warp();
    u32 a_fragment[4], b_fragment[4];
    load_matrices(a_fragment, a_tile + lane_id() % 16 * 16 + lane_id() / 16 * 8);
    load_matrices_transposed(b_fragment, b_tile + lane_id() % 16 * 8);
    u32 group = lane_id() / 4, pair = lane_id() % 4 * 2;
    float d[4];
    for (u32 i = 0; i < 4; ++i) d[i] = c[(group + i / 2 * 8) * 8 + pair + i % 2];
    mma_bf16(d, a_fragment, b_fragment[0], b_fragment[1]);
    for (u32 i = 0; i < 4; ++i) c[(group + i / 2 * 8) * 8 + pair + i % 2] = d[i];
}
EXPORT(test_mma_from_shared)

// Rows begin `offset` numbers off.
KERNEL(32) test_load_matrices_at(u32 *out, u32 offset) {
    SHARED(shared);
    u16 *tile = (u16 *)shared;
    u32 r[4];
    load_matrices(r, tile + lane_id() * 8 + offset);
    out[lane_id()] = r[0];
}
EXPORT(test_load_matrices_at)

KERNEL(256) test_to_bf16(u16 *out, const float *in) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    u32 pair = pack_bf16(in[i], 1.0f);
    out[i] = pair >> 16 == 0x3f80 && to_bf16(in[i]) == (u16)pair ? (u16)pair : 0xdead;
}
EXPORT(test_to_bf16)

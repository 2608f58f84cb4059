// Sums over warps and blocks.
#include "device.cuh"

KERNEL(32) test_shuffle(float *out, const float *in, u32 mask) {
    out[threadIdx.x] = shuffle_xor(in[threadIdx.x], mask);
}
EXPORT(test_shuffle)

// Of each block's values: their sum and the largest one, as every thread sees them.
KERNEL(1024) test_block_sum(float *sums, float *largest, const float *in) {
    SHARED(shared);
    float *scratch = (float *)shared;
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    sums[i] = block_sum(in[i], scratch);
    largest[i] = block_max(in[i], scratch);
}
EXPORT(test_block_sum)

// Ten barriers, and each thread hands a number to a thread of the next warp at each.
KERNEL(256) test_ten_barriers(u32 *out) {
    SHARED(shared);
    u32 *slots = (u32 *)shared;
    u32 value = threadIdx.x;
    for (u32 i = 0; i < 5; ++i) {
        slots[threadIdx.x] = value;
        sync_block();
        value = slots[(threadIdx.x + 33) % blockDim.x] + 1;
        sync_block();
    }
    out[blockIdx.x * blockDim.x + threadIdx.x] = value;
}
EXPORT(test_ten_barriers)

// Where each thread is.
KERNEL(64) test_indices(u32 *out) {
    u64 block = ((u64)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    u32 *mine = out + 6 * (block * blockDim.x + threadIdx.x);
    mine[0] = blockIdx.x;
    mine[1] = blockIdx.y;
    mine[2] = blockIdx.z;
    mine[3] = threadIdx.x;
    mine[4] = warp_id();
    mine[5] = lane_id();
}
EXPORT(test_indices)

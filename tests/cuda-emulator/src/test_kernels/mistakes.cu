// Kernels that are wrong, each in one way.
#include "device.cuh"

// Reverses the block's numbers without waiting until they are all there.
KERNEL(64) test_missing_barrier(float *out) {
    SHARED(shared);
    float *slots = (float *)shared;
    slots[threadIdx.x] = (float)threadIdx.x;
    out[threadIdx.x] = slots[blockDim.x - 1 - threadIdx.x];
}
EXPORT(test_missing_barrier)

// Writes over what others may still read: the second barrier is missing.
KERNEL(64) test_missing_barrier_after_reading(float *out) {
    SHARED(shared);
    float *slots = (float *)shared;
    for (u32 round = 0; round < 2; ++round) {
        slots[threadIdx.x] = (float)(threadIdx.x + 100 * round);
        sync_block();
        out[64 * round + threadIdx.x] = slots[(threadIdx.x + 32) % blockDim.x];
    }
}
EXPORT(test_missing_barrier_after_reading)

// Neighbours of one warp exchange numbers without waiting.
KERNEL(32) test_missing_warp_barrier(float *out) {
    SHARED(shared);
    float *slots = (float *)shared;
    slots[lane_id()] = (float)lane_id();
    out[lane_id()] = slots[lane_id() ^ 1];
}
EXPORT(test_missing_warp_barrier)

KERNEL(64) test_barrier_for_some(u32 *out) {
    if (threadIdx.x < 48) sync_block();
    out[threadIdx.x] = 1;
}
EXPORT(test_barrier_for_some)

KERNEL(64) test_barrier_for_a_warp(u32 *out) {
    if (warp_id() == 0) sync_block();
    out[threadIdx.x] = 1;
}
EXPORT(test_barrier_for_a_warp)

KERNEL(32) test_shuffle_for_some(float *out) {
    float x = (float)lane_id();
    if (lane_id() < 16) x += shuffle_xor(x, 1);
    out[lane_id()] = x;
}
EXPORT(test_shuffle_for_some)

KERNEL(32) test_different_collectives(float *out) {
    float x = (float)lane_id();
    if (lane_id() < 16) {
        x += shuffle_xor(x, 1);
    } else {
        sync_warp();
    }
    out[lane_id()] = x;
}
EXPORT(test_different_collectives)

KERNEL(32) test_shuffle_or_barrier(float *out) {
    float x = (float)lane_id();
    if (lane_id() < 16) {
        x += shuffle_xor(x, 1);
    } else {
        sync_block();
    }
    out[lane_id()] = x;
}
EXPORT(test_shuffle_or_barrier)

// What is in shared memory before anything was written.
KERNEL(32) test_read_unwritten(float *numbers, float *narrow) {
    SHARED(shared);
    numbers[lane_id()] = ((const float *)shared)[lane_id()];
    narrow[lane_id()] = from_bf16(((const u16 *)shared)[lane_id()]);
}
EXPORT(test_read_unwritten)

KERNEL(32) test_write_shared_at(u32 byte) {
    SHARED(shared);
    if (lane_id() == 0) ((volatile unsigned char *)shared)[byte] = 1;
}
EXPORT(test_write_shared_at)

KERNEL(32) test_write_at(unsigned char *memory, u64 byte) {
    if (lane_id() == 0) memory[byte] = 1;
}
EXPORT(test_write_at)

KERNEL(32) test_read_at(float *out, const float *memory, u64 at) {
    if (lane_id() == 0) out[0] = memory[at];
}
EXPORT(test_read_at)

// What neither C++ nor CUDA defines, if the arguments make it so.
KERNEL(32) test_undefined(u32 *out, u32 which, u32 number) {
    u32 local[4] = {};
    switch (which) {
        case 0:
            if (lane_id() == 0) ((float4 *)(out + number))->x = 1.0f;
            break;
        case 1:
            for (u32 i = 0; i < number; ++i) local[i] = i;
            break;
        case 2:
            local[0] = 1u << number;
            break;
        case 3:
            local[0] = 1u / number;
            break;
        case 4:
            local[0] = (u32)((int)number + 1);
            break;
    }
    sync_warp();
    out[lane_id()] = local[lane_id() % 4];
}
EXPORT(test_undefined)

// What every kernel starts from: number types, the words for kernels and shared memory, and the few
// instructions of the hardware that have no name in C++. NVRTC compiles it for a GPU; with
// CUDA_EMULATOR a C++ compiler compiles the same kernels for the emulator of the tests, which brings
// these words with it.
//
// Rules that make both possible: shared memory is dynamic only (SHARED), warp operations are done by
// all 32 lanes, and a block is a whole number of warps.
#pragma once

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifdef CUDA_EMULATOR
#include "cuda_emulator.hpp"
#else

#define DEVICE static __device__ __forceinline__
// A kernel for blocks of `threads` threads; EXPORT(name) follows its body.
#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)
#define EXPORT(name)
// The block's dynamic shared memory, aligned to 16 bytes.
#define SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#define INFINITE __int_as_float(0x7f800000)

DEVICE u32 lane_id() { return threadIdx.x & 31; }
DEVICE u32 warp_id() { return threadIdx.x >> 5; }
DEVICE void sync_block() { __syncthreads(); }
DEVICE void sync_warp() { __syncwarp(); }
DEVICE float shuffle_xor(float x, u32 mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
DEVICE u32 float_bits(float x) { return __float_as_uint(x); }
DEVICE float float_from_bits(u32 x) { return __uint_as_float(x); }

// 2^x, to about 2 units in the last place.
DEVICE float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Two numbers rounded to bf16, the first in the low half.
DEVICE u32 pack_bf16(float low, float high) {
    u32 packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

// d += a b on the tensor cores: a is 16x16 and b 16x8 of bf16, d 16x8 of f32, in fragments as
// mma.m16n8k16 of the PTX manual lays them out.
DEVICE void mma_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

DEVICE u32 shared_address(const void *pointer) {
    u32 address;
    asm("{ .reg .u64 wide; cvta.to.shared.u64 wide, %1; cvt.u32.u64 %0, wide; }"
        : "=r"(address)
        : "l"(pointer));
    return address;
}

// Four 8x8 matrices of 16-bit numbers: lane l names row l % 8 of matrix l / 8, 16-byte aligned.
DEVICE void load_matrices(u32 (&r)[4], const u16 *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// The same, each matrix transposed.
DEVICE void load_matrices_transposed(u32 (&r)[4], const u16 *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
#endif

DEVICE u16 to_bf16(float x) { return (u16)(pack_bf16(x, 0.0f) & 0xffffu); }
DEVICE float from_bf16(u16 x) { return float_from_bits((u32)x << 16); }

// A value for whoever reads it: f32, or bf16 if only products in bf16 do.
DEVICE void store(float *values, u64 i, float value) { values[i] = value; }
DEVICE void store(u16 *values, u64 i, float value) { values[i] = to_bf16(value); }

DEVICE float warp_sum(float x) {
    for (u32 mask = 16; mask > 0; mask /= 2) x += shuffle_xor(x, mask);
    return x;
}

DEVICE float warp_max(float x) {
    for (u32 mask = 16; mask > 0; mask /= 2) x = fmaxf(x, shuffle_xor(x, mask));
    return x;
}

// The sum over all threads of the block, in a fixed order. `scratch` holds a number a warp; every
// thread of the block calls this, and may use `scratch` for something else afterwards.
DEVICE float block_sum(float x, float *scratch) {
    x = warp_sum(x);
    if (lane_id() == 0) scratch[warp_id()] = x;
    sync_block();
    float total = 0.0f;
    for (u32 warp = 0; warp < blockDim.x / 32; ++warp) total += scratch[warp];
    sync_block();
    return total;
}

// The sum over all threads of the block in f64, in a fixed order. `scratch` holds a number a thread, of
// which there is a power of two; otherwise as block_sum.
DEVICE double block_sum_f64(double x, double *scratch) {
    scratch[threadIdx.x] = x;
    sync_block();
    for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) scratch[threadIdx.x] += scratch[threadIdx.x + half];
        sync_block();
    }
    double total = scratch[0];
    sync_block();
    return total;
}

// The largest value of all threads of the block; as block_sum.
DEVICE float block_max(float x, float *scratch) {
    x = warp_max(x);
    if (lane_id() == 0) scratch[warp_id()] = x;
    sync_block();
    float most = scratch[0];
    for (u32 warp = 1; warp < blockDim.x / 32; ++warp) most = fmaxf(most, scratch[warp]);
    sync_block();
    return most;
}

// Dropout. Which values are zeroed is a function of a key and a position alone, the same one as on the
// CPU: ops/dropout and ops/math.rs.
struct Mask {
    u32 key_low, key_high, zeroed;
    float scale;
};

// A pseudo-random number: SplitMix64 of a key and a counter.
DEVICE u64 counter_hash(u64 key, u64 counter) {
    u64 z = key ^ (counter * 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

// The mask of a place: DropoutKey::at and DropoutKey::mask.
DEVICE Mask mask_at(u64 key, u64 place, u32 zeroed, float scale) {
    u64 hashed = counter_hash(counter_hash(key, place + 1), 0);
    return Mask{(u32)hashed, (u32)(hashed >> 32), zeroed, scale};
}

// What the value at a position of the mask is multiplied with.
DEVICE float mask_factor(Mask mask, u32 position) {
    u32 z = (position * 0x9e3779b9u) ^ mask.key_low;
    z = (z ^ (z >> 16)) * 0x7feb352du;
    z = (z ^ (z >> 15) ^ mask.key_high) * 0x846ca68bu;
    z ^= z >> 16;
    return (z >> 8) < mask.zeroed ? 0.0f : mask.scale;
}

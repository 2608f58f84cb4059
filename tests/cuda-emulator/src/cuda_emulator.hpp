// What a kernel sees of the emulator. With CUDA_EMULATOR, device.cuh takes its words from here: the
// same names with the same meaning as on a GPU, in C++.
//
// A CUDA thread is a fiber. What several threads do together (a barrier, a shuffle, a product of
// tensor cores) is done once, when all of them have arrived; see block.hpp.
#pragma once

#include <bit>
#include <cmath>
#include <utility>

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

namespace emulator {

struct Index3 {
    u32 x, y, z;
};

// What all threads of a block share.
struct BlockView {
    Index3 grid_size, block_size, block_index;
    unsigned char *shared;
};

// What one lane brings to a collective of its warp, and what it takes home from it.
struct Operands {
    // The lane's 32-bit registers: a shuffled value and its mask; the factors of a product; the
    // matrices that were loaded.
    u32 words[6];
    // The sums that a product is added to.
    float sums[4];
    // The row of a matrix in shared memory that this lane names, and where in the program.
    const u16 *row;
    const void *caller;
};

struct ThreadView {
    Index3 index;
    BlockView *block;
    Operands *operands;
};

// The thread that runs now on this thread of the host.
extern constinit thread_local ThreadView *current __attribute__((tls_model("initial-exec")));

enum class Collective { sync_warp, shuffle, load_matrices, load_matrices_transposed, multiply };

// Waits until all lanes of the warp have come to the same collective, which then is done.
void collective(Collective which);
// Waits until all threads of the block have come to a barrier.
void barrier();

// A kernel without its types.
using AnyKernel = void (*)();
// Calls a kernel with the arguments that an array points to, one pointer a parameter.
using Invoke = void (*)(AnyKernel kernel, const void *const *arguments);

// KERNEL(threads) leaves its number here, and EXPORT(name) after the kernel's body takes it.
struct ThreadLimit {
    explicit ThreadLimit(u32 threads);
};

void register_kernel(const char *name, AnyKernel kernel, Invoke invoke, u32 parameters);

struct Registration {
    // Of several functions with this name the kernel is the one without a result.
    template <typename... Parameters>
    Registration(const char *name, void (*kernel)(Parameters...)) {
        register_kernel(name, reinterpret_cast<AnyKernel>(kernel), invoke<Parameters...>,
                        sizeof...(Parameters));
    }

private:
    template <typename... Parameters>
    static void invoke(AnyKernel kernel, const void *const *arguments) {
        unpack(reinterpret_cast<void (*)(Parameters...)>(kernel), arguments,
               std::index_sequence_for<Parameters...>());
    }

    template <typename... Parameters, size_t... positions>
    static void unpack(void (*kernel)(Parameters...), [[maybe_unused]] const void *const *arguments,
                       std::index_sequence<positions...>) {
        kernel(*static_cast<const Parameters *>(arguments[positions])...);
    }
};

// The nearest bf16, of two equally near ones the even one; every NaN becomes the same one.
inline u32 nearest_bf16(float x) {
    u32 bits = std::bit_cast<u32>(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    u32 odd = bits >> 16 & 1;
    return (bits + 0x7fff + odd) >> 16;
}

inline float flush_subnormal(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? 0.0f : x; }

}  // namespace emulator

// The words for kernels.

#define EMULATOR_JOIN_NOW(a, b) a##b
#define EMULATOR_JOIN(a, b) EMULATOR_JOIN_NOW(a, b)

#define DEVICE static inline __attribute__((always_inline))
#define KERNEL(threads)                                                                   \
    static const ::emulator::ThreadLimit EMULATOR_JOIN(thread_limit_, __LINE__)(threads); \
    static void
#define EXPORT(name) static const ::emulator::Registration registration_##name(#name, name);
#define SHARED(name) unsigned char *const name = ::emulator::current->block->shared
#define INFINITE __builtin_inff()

// CUDA's own names.

#define threadIdx (::emulator::current->index)
#define blockIdx (::emulator::current->block->block_index)
#define blockDim (::emulator::current->block->block_size)
#define gridDim (::emulator::current->block->grid_size)

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    u32 x, y;
};
struct alignas(16) uint4 {
    u32 x, y, z, w;
};

DEVICE float2 make_float2(float x, float y) { return {x, y}; }
DEVICE float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
DEVICE uint2 make_uint2(u32 x, u32 y) { return {x, y}; }
DEVICE uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }

DEVICE int min(int a, int b) { return a < b ? a : b; }
DEVICE int max(int a, int b) { return a > b ? a : b; }
DEVICE u32 min(u32 a, u32 b) { return a < b ? a : b; }
DEVICE u32 max(u32 a, u32 b) { return a > b ? a : b; }
DEVICE u64 min(u64 a, u64 b) { return a < b ? a : b; }
DEVICE u64 max(u64 a, u64 b) { return a > b ? a : b; }
DEVICE float rsqrtf(float x) { return 1.0f / sqrtf(x); }

// The words of device.cuh for instructions of the hardware.

DEVICE u32 lane_id() { return threadIdx.x & 31; }
DEVICE u32 warp_id() { return threadIdx.x >> 5; }
DEVICE void sync_block() { ::emulator::barrier(); }
DEVICE void sync_warp() { ::emulator::collective(::emulator::Collective::sync_warp); }
DEVICE u32 float_bits(float x) { return std::bit_cast<u32>(x); }
DEVICE float float_from_bits(u32 x) { return std::bit_cast<float>(x); }

DEVICE float shuffle_xor(float x, u32 mask) {
    ::emulator::Operands &operands = *::emulator::current->operands;
    operands.words[0] = float_bits(x);
    operands.words[1] = mask;
    ::emulator::collective(::emulator::Collective::shuffle);
    return float_from_bits(operands.words[0]);
}

DEVICE float exp2_fast(float x) {
    return ::emulator::flush_subnormal(exp2f(::emulator::flush_subnormal(x)));
}

DEVICE u32 pack_bf16(float low, float high) {
    return ::emulator::nearest_bf16(low) | ::emulator::nearest_bf16(high) << 16;
}

DEVICE void mma_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    ::emulator::Operands &operands = *::emulator::current->operands;
    for (u32 i = 0; i < 4; ++i) {
        operands.words[i] = a[i];
        operands.sums[i] = d[i];
    }
    operands.words[4] = b0;
    operands.words[5] = b1;
    ::emulator::collective(::emulator::Collective::multiply);
    for (u32 i = 0; i < 4; ++i) d[i] = operands.sums[i];
}

namespace emulator {

// Comes to a collective that loads matrices, and notes where it was called.
void collective_load(Collective which, const u16 *row);

DEVICE void load(u32 (&r)[4], const u16 *row, Collective which) {
    collective_load(which, row);
    for (u32 i = 0; i < 4; ++i) r[i] = current->operands->words[i];
}

}  // namespace emulator

DEVICE void load_matrices(u32 (&r)[4], const u16 *row) {
    ::emulator::load(r, row, ::emulator::Collective::load_matrices);
}

DEVICE void load_matrices_transposed(u32 (&r)[4], const u16 *row) {
    ::emulator::load(r, row, ::emulator::Collective::load_matrices_transposed);
}

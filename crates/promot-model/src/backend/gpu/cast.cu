// Casts between number types.
#include "device.cuh"

// Two values a thread at a time; an odd last one is followed by a zero.
KERNEL(256) to_bf16(u32 *narrow, const float *values, u64 len) {
    u64 pairs = (len + 1) / 2;
    for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < pairs; i += gridDim.x * 256ull) {
        float second = 2 * i + 1 < len ? values[2 * i + 1] : 0.0f;
        narrow[i] = pack_bf16(values[2 * i], second);
    }
}
EXPORT(to_bf16)

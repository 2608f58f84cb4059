// Cached keys or values of decoding.
#include "device.cuh"

// Row r of y is the `cached` values of row sources[r] of the cache, then the `width` values of row r of
// `added`.
KERNEL(256)
extend_cache(float *y, const float *cache, const float *added, const u32 *sources, u64 cached, u32 width,
             u64 len) {
    u64 row_len = cached + width;
    for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < len; i += gridDim.x * 256ull) {
        // Divisions of 64-bit numbers take far longer.
        u64 row = i >> 32 ? i / row_len : (u32)i / (u32)row_len, place = i - row * row_len;
        y[i] = place < cached ? cache[sources[row] * cached + place]
                              : added[row * width + (place - cached)];
    }
}
EXPORT(extend_cache)

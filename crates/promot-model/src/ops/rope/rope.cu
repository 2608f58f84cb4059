// Rotary position embedding.
#include "device.cuh"

// Pair i of a head is its columns i and i + d_head / 2; a row of angles has the cosines of its pairs and
// then their sines. direction is 1, or -1 to turn back.
KERNEL(256)
rope(float *y, const float *x, const float *angles, u32 width, u32 d_head, float direction, u64 pairs) {
    u32 half = d_head / 2;
    for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < pairs; i += gridDim.x * 256ull) {
        u64 row = i / (width / 2);
        u32 pair = (u32)(i % half);
        u64 first = i / half * d_head + pair;
        float cosine = angles[row * d_head + pair];
        float sine = direction * angles[row * d_head + half + pair];
        float a = x[first], b = x[first + half];
        y[first] = a * cosine - b * sine;
        y[first + half] = b * cosine + a * sine;
    }
}
EXPORT(rope)

// Rows of an embedding table, and sums of gradients by row.
#include "device.cuh"

// y[places[i]] = table[ids[i]].
KERNEL(256)
gather_rows(float *y, const float *table, const u32 *ids, const u32 *places, u32 width, u64 len) {
    for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < len; i += gridDim.x * 256ull) {
        u64 token = i / width, column = i % width;
        y[(u64)places[token] * width + column] = table[(u64)ids[token] * width + column];
    }
}
EXPORT(gather_rows)

// A block for each id: dtable[id] += the rows of dy that places[starts[block]..starts[block + 1]] name.
KERNEL(128)
scatter_rows(float *dtable, const float *dy, const u32 *ids, const u32 *starts, const u32 *places,
             u32 width) {
    u64 row = (u64)ids[blockIdx.x] * width;
    u32 start = starts[blockIdx.x], end = starts[blockIdx.x + 1];
    for (u32 column = threadIdx.x; column < width; column += 128) {
        float sum = dtable[row + column];
        for (u32 i = start; i < end; ++i) sum += dy[(u64)places[i] * width + column];
        dtable[row + column] = sum;
    }
}
EXPORT(scatter_rows)

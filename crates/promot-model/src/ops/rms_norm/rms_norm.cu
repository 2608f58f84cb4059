// Root-mean-square normalisation.
#include "device.cuh"

// 1 / sqrt(mean(x^2) + eps) of a row, known to all threads of the block.
DEVICE float inverse_rms(const float *x, u32 width, float eps, float *scratch) {
    float squares = 0.0f;
    for (u32 i = threadIdx.x; i < width; i += 256) squares += x[i] * x[i];
    return 1.0f / sqrtf(block_sum(squares, scratch) / width + eps);
}

// A block for each row.
template <class Value>
DEVICE void rms_norm_forward(Value *y, const float *x, const float *w, u32 width, float eps) {
    SHARED(scratch);
    u64 row = (u64)blockIdx.x * width;
    float scale = inverse_rms(x + row, width, eps, (float *)scratch);
    for (u32 i = threadIdx.x; i < width; i += 256) store(y, row + i, x[row + i] * scale * w[i]);
}

KERNEL(256) rms_norm_f32(float *y, const float *x, const float *w, u32 width, float eps) {
    rms_norm_forward(y, x, w, width, eps);
}
EXPORT(rms_norm_f32)

KERNEL(256) rms_norm_bf16(u16 *y, const float *x, const float *w, u32 width, float eps) {
    rms_norm_forward(y, x, w, width, eps);
}
EXPORT(rms_norm_bf16)

// dx += the gradient of the input; a block for each row.
KERNEL(256)
rms_norm_dx(float *dx, const float *dy, const float *x, const float *w, u32 width, float eps) {
    SHARED(scratch);
    u64 row = (u64)blockIdx.x * width;
    float scale = inverse_rms(x + row, width, eps, (float *)scratch);
    float along = 0.0f;
    for (u32 i = threadIdx.x; i < width; i += 256) along += dy[row + i] * w[i] * x[row + i];
    along = block_sum(along, (float *)scratch) * scale * scale * scale / width;
    for (u32 i = threadIdx.x; i < width; i += 256) {
        dx[row + i] += dy[row + i] * w[i] * scale - x[row + i] * along;
    }
}
EXPORT(rms_norm_dx)

// The factor of every row.
KERNEL(256) rms_norm_inverse(float *inverse, const float *x, u32 width, float eps) {
    SHARED(scratch);
    float scale = inverse_rms(x + (u64)blockIdx.x * width, width, eps, (float *)scratch);
    if (threadIdx.x == 0) inverse[blockIdx.x] = scale;
}
EXPORT(rms_norm_inverse)

// Sums over `share_rows` rows: a thread for each column, blocks in y for the shares.
KERNEL(256)
rms_norm_dw_shares(float *shares, const float *dy, const float *x, const float *inverse, u32 rows,
                   u32 width, u32 share_rows) {
    u32 column = blockIdx.x * 256 + threadIdx.x;
    if (column >= width) return;
    u32 first = blockIdx.y * share_rows, end = min(first + share_rows, rows);
    float sum = 0.0f;
    for (u32 row = first; row < end; ++row) {
        u64 i = (u64)row * width + column;
        sum += dy[i] * x[i] * inverse[row];
    }
    shares[(u64)blockIdx.y * width + column] = sum;
}
EXPORT(rms_norm_dw_shares)

// Adds the shares up, in order.
KERNEL(256) rms_norm_dw(float *dw, const float *shares, u32 blocks, u32 width) {
    for (u32 column = blockIdx.x * 256 + threadIdx.x; column < width; column += gridDim.x * 256) {
        float sum = 0.0f;
        for (u32 block = 0; block < blocks; ++block) sum += shares[(u64)block * width + column];
        dw[column] += sum;
    }
}
EXPORT(rms_norm_dw)

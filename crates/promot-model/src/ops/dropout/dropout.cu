// Dropout with masks that are computed where they are needed.
#include "device.cuh"

// Values in blocks of `block`, each with a mask of its own.
DEVICE float block_factor(u64 i, u64 key, u32 zeroed, float scale, u32 block) {
    u64 first = i - i % block;
    return mask_factor(mask_at(key, first, zeroed, scale), (u32)(i - first));
}

// Rows of `columns` values, each with a mask of its own.
DEVICE float column_factor(u64 i, u64 key, u32 zeroed, float scale, u32 columns) {
    u64 row = i / columns;
    return mask_factor(mask_at(key, row, zeroed, scale), (u32)(i - row * columns));
}

KERNEL(256) dropout(float *y, const float *x, u64 key, u32 zeroed, float scale, u32 block, u64 len) {
    for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < len; i += gridDim.x * 256ull) {
        y[i] = x[i] * block_factor(i, key, zeroed, scale, block);
    }
}
EXPORT(dropout)

KERNEL(256)
dropout_dx(float *dx, const float *dy, u64 key, u32 zeroed, float scale, u32 block, u64 len) {
    for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < len; i += gridDim.x * 256ull) {
        dx[i] += dy[i] * block_factor(i, key, zeroed, scale, block);
    }
}
EXPORT(dropout_dx)

KERNEL(256)
drop_rows(float *y, const float *x, u64 key, u32 zeroed, float scale, u32 columns, u64 len) {
    for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < len; i += gridDim.x * 256ull) {
        y[i] = x[i] * column_factor(i, key, zeroed, scale, columns);
    }
}
EXPORT(drop_rows)

// y = x + dropout(y).
KERNEL(256)
add_dropped_rows(float *y, const float *x, u64 key, u32 zeroed, float scale, u32 columns, u64 len) {
    for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < len; i += gridDim.x * 256ull) {
        y[i] = x[i] + y[i] * column_factor(i, key, zeroed, scale, columns);
    }
}
EXPORT(add_dropped_rows)

// Whole rows: positions of the mask are rows.
KERNEL(256)
row_dropout(float *y, const float *x, u32 key_low, u32 key_high, u32 zeroed, float scale, u32 columns,
            u64 len) {
    Mask mask = {key_low, key_high, zeroed, scale};
    for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < len; i += gridDim.x * 256ull) {
        y[i] = x[i] * mask_factor(mask, (u32)(i / columns));
    }
}
EXPORT(row_dropout)

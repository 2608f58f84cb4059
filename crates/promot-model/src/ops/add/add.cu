// Sums of two tensors.
#include "device.cuh"

KERNEL(256) add(float *y, const float *a, const float *b, u64 len) {
    for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < len; i += gridDim.x * 256ull) {
        y[i] = a[i] + b[i];
    }
}
EXPORT(add)

KERNEL(256) add_assign(float *total, const float *x, u64 len) {
    for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < len; i += gridDim.x * 256ull) {
        total[i] += x[i];
    }
}
EXPORT(add_assign)

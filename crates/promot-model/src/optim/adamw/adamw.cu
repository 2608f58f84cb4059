// Adam with decoupled weight decay.
#include "device.cuh"

struct AdamWParameter {
    float *gradient;  // its memory becomes that of the new values
    const float *values;
    float *first, *second;  // moments
    u64 len;
};

// Updates the moments of all parameters and writes their new values. A block for each `block_values`
// values of the parameter that blockIdx.y says; blocks that it has no values for end at once.
KERNEL(256)
adamw_values(const AdamWParameter *parameters, u32 block_values, float scale, float learning_rate,
             float beta1, float beta2, float epsilon, float weight_decay, float first_correction,
             float second_correction) {
    AdamWParameter p = parameters[blockIdx.y];
    u64 start = (u64)blockIdx.x * block_values, end = min(start + block_values, p.len);
    for (u64 i = start + threadIdx.x; i < end; i += 256) {
        float g = scale * p.gradient[i], value = p.values[i];
        float first = beta1 * p.first[i] + (1.0f - beta1) * g;
        float second = beta2 * p.second[i] + (1.0f - beta2) * g * g;
        float root = sqrtf(second / second_correction) + epsilon;
        float update = first / first_correction / root;
        p.first[i] = first;
        p.second[i] = second;
        p.gradient[i] = value - learning_rate * (update + weight_decay * value);
    }
}
EXPORT(adamw_values)

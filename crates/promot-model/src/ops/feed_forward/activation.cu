// What lies between the two projections of a feed-forward layer.
#include "device.cuh"

enum Activation : u32 { RELU = 0, GATED_GELU = 1, GATED_SILU = 2 };

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// How much of x GELU's tanh approximation lets through, (1 + tanh(u)) / 2 = sigmoid(2 u), and SiLU.
DEVICE float share(u32 activation, float x) {
    const float slope = 1.5957692f, cubic = 0.044715f;  // 2 sqrt(2 / pi)
    return activation == GATED_GELU ? sigmoid(slope * (x + cubic * x * x * x)) : sigmoid(x);
}

// The derivative where `part` is let through.
DEVICE float derivative(u32 activation, float x, float part) {
    const float slope = 1.5957692f, cubic = 0.044715f;
    float inner = activation == GATED_GELU ? slope * (1.0f + 3.0f * cubic * x * x) : 1.0f;
    return part + x * part * (1.0f - part) * inner;
}

DEVICE float row_factor(u64 i, u64 key, u32 zeroed, float scale, u32 columns) {
    if (zeroed == 0) return scale;
    // Divisions of 64-bit numbers take far longer.
    u64 row = i >> 32 ? i / columns : (u32)i / columns;
    return mask_factor(mask_at(key, row, zeroed, scale), (u32)(i - row * columns));
}

// h = dropout(act(gate) * up), or dropout(relu(up)).
template <class Value>
DEVICE void activation_forward(Value *h, const float *gate, const float *up, u32 activation, u64 key,
                               u32 zeroed, float scale, u32 columns, u64 len) {
    for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < len; i += gridDim.x * 256ull) {
        float factor = row_factor(i, key, zeroed, scale, columns);
        float value = activation == RELU ? fmaxf(up[i], 0.0f)
                                         : gate[i] * share(activation, gate[i]) * up[i];
        store(h, i, factor * value);
    }
}

// h again, and the gradients of gate and up from that of h.
template <class Value>
DEVICE void activation_backward(Value *h, Value *dgate, Value *dup, const float *dh, const float *gate,
                                const float *up, u32 activation, u64 key, u32 zeroed, float scale,
                                u32 columns, u64 len) {
    for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < len; i += gridDim.x * 256ull) {
        float factor = row_factor(i, key, zeroed, scale, columns);
        float gradient = dh[i] * factor;
        if (activation == RELU) {
            store(h, i, factor * fmaxf(up[i], 0.0f));
            store(dup, i, up[i] > 0.0f ? gradient : 0.0f);
        } else {
            float part = share(activation, gate[i]);
            float gated = gate[i] * part;
            store(h, i, factor * gated * up[i]);
            store(dup, i, gradient * gated);
            store(dgate, i, gradient * up[i] * derivative(activation, gate[i], part));
        }
    }
}

#define ACTIVATION_FORWARD(precision, Value)                                                       \
    KERNEL(256)                                                                                    \
    activation_forward_##precision(Value *h, const float *gate, const float *up, u32 activation,   \
                                   u64 key, u32 zeroed, float scale, u32 columns, u64 len) {       \
        activation_forward(h, gate, up, activation, key, zeroed, scale, columns, len);             \
    }                                                                                              \
    EXPORT(activation_forward_##precision)

ACTIVATION_FORWARD(f32, float)
ACTIVATION_FORWARD(bf16, u16)

#define ACTIVATION_BACKWARD(precision, Value)                                                      \
    KERNEL(256)                                                                                    \
    activation_backward_##precision(Value *h, Value *dgate, Value *dup, const float *dh,           \
                                    const float *gate, const float *up, u32 activation, u64 key,   \
                                    u32 zeroed, float scale, u32 columns, u64 len) {               \
        activation_backward(h, dgate, dup, dh, gate, up, activation, key, zeroed, scale, columns,  \
                            len);                                                                  \
    }                                                                                              \
    EXPORT(activation_backward_##precision)

ACTIVATION_BACKWARD(f32, float)
ACTIVATION_BACKWARD(bf16, u16)

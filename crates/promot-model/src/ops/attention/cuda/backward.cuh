// What both kernels of the backward pass share.
#pragma once
#include "attention.cuh"

// What the backward pass reads; the last two are (Tq, H).
struct Saved {
    const float *q, *k, *v, *dy, *log_sum_exp, *delta;
};

#define SAVED_PARAMETERS                                                                       \
    const float *q, const float *k, const float *v, const float *dy, const float *log_sum_exp, \
        const float *delta
#define SAVED                                                                                  \
    Saved { q, k, v, dy, log_sum_exp, delta }

// A pair of a query and a key.
struct Pair {
    bool visible;
    float bias;
    // Of the query: the log-sum-exp of its scores, in Tiles' unit, and the sum of its probabilities
    // times their gradients.
    float log_sum_exp, delta;
    float dropout_factor;
};

// An inner product to the probability as it was used, with dropout, and the gradient of that to the
// one of the score.
template <class Tiles>
DEVICE void score_gradient(float &product, float &gradient, float scale, const Pair &pair) {
    float exponent = product * scale + pair.bias - pair.log_sum_exp;
    // Chosen and not multiplied: a query that sees no key has a log-sum-exp of minus infinity.
    float probability = pair.visible ? Tiles::exponential(exponent) : 0.0f;
    product = probability * pair.dropout_factor;
    gradient = probability * (gradient * pair.dropout_factor - pair.delta);
}

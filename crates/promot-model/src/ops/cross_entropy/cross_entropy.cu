// Label-smoothed cross-entropy, from logits of a chunk of the vocabulary at a time.
#include "device.cuh"

// What is known of a row after some chunks.
struct CrossEntropyRow {
    double logit_sum;  // for label smoothing
    float max;
    float exp_sum;  // of exp(logit - max)
    float target_logit;
    u32 unused;
};

// Adds the logits of `classes` classes from `first` on. A block for each row.
KERNEL(256)
cross_entropy_add(CrossEntropyRow *rows, const float *logits, const u32 *targets, u32 first,
                  u32 classes) {
    SHARED(shared);
    float *scratch = (float *)shared;
    logits += (u64)blockIdx.x * classes;
    CrossEntropyRow row{0.0, -INFINITE, 0.0f, 0.0f, 0};
    if (first > 0) row = rows[blockIdx.x];
    float most = row.max;
    for (u32 i = threadIdx.x; i < classes; i += 256) most = fmaxf(most, logits[i]);
    most = block_max(most, scratch);
    float exp_sum = 0.0f, sum = 0.0f;
    for (u32 i = threadIdx.x; i < classes; i += 256) {
        exp_sum += expf(logits[i] - most);
        sum += logits[i];
    }
    exp_sum = block_sum(exp_sum, scratch);
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) {
        row.exp_sum = row.exp_sum * expf(row.max - most) + exp_sum;
        row.max = most;
        row.logit_sum += sum;
        u32 target = targets[blockIdx.x];
        if (target >= first && target - first < classes) row.target_logit = logits[target - first];
        rows[blockIdx.x] = row;
    }
}
EXPORT(cross_entropy_add)

// Each row's log-sum-exp and loss.
KERNEL(256)
cross_entropy_losses(float *log_sum_exp, double *losses, const CrossEntropyRow *rows, u32 tokens,
                     u32 vocab_size, float target_weight, float other_weight, float constant) {
    for (u32 i = blockIdx.x * 256 + threadIdx.x; i < tokens; i += gridDim.x * 256) {
        CrossEntropyRow row = rows[i];
        double lse = row.max + log((double)row.exp_sum);
        double target = row.target_logit, others = row.logit_sum - target;
        // The sum over classes of weight * (lse - logit).
        double other_mass = (double)other_weight * (vocab_size - 1.0);
        losses[i] = target_weight * (lse - target) + other_mass * lse - other_weight * others - constant;
        log_sum_exp[i] = (float)lse;
    }
}
EXPORT(cross_entropy_losses)

// The mean over rows. One block.
KERNEL(256) cross_entropy_mean(float *loss, const double *losses, u32 tokens) {
    SHARED(shared);
    double total = 0.0;
    for (u32 i = threadIdx.x; i < tokens; i += 256) total += losses[i];
    total = block_sum_f64(total, (double *)shared);
    if (threadIdx.x == 0) *loss = (float)(total / tokens);
}
EXPORT(cross_entropy_mean)

// Logits of a chunk become their gradients, times `seed[0] * scale`. Blocks in x for the rows, in y for
// `block_classes` classes each.
KERNEL(256)
cross_entropy_gradient(float *logits, const u32 *targets, const float *log_sum_exp,
                       const float *seed, u32 first, u32 classes, u32 block_classes, float scale,
                       float target_weight, float other_weight) {
    scale *= seed[0];
    logits += (u64)blockIdx.x * classes;
    u32 target = targets[blockIdx.x];
    float lse = log_sum_exp[blockIdx.x];
    u32 start = blockIdx.y * block_classes, end = min(start + block_classes, classes);
    for (u32 i = start + threadIdx.x; i < end; i += 256) {
        float weight = first + i == target ? target_weight : other_weight;
        logits[i] = scale * (expf(logits[i] - lse) - weight);
    }
}
EXPORT(cross_entropy_gradient)

// Adafactor with the semantics of T5X, for all parameters in each launch. Where a parameter has
// several blocks blockIdx.y says which one it is, else blockIdx.x; blocks that it has no work for end
// at once.
#include "device.cuh"

struct AdafactorParameter {
    float *gradient;  // its memory becomes that of the new values
    const float *values;
    float *moments;         // of rows if factored, else of values
    float *column_moments;  // if factored
    const double *squares;  // the gradient's, added up for each row and then each column; if factored
    float *factors;         // what a row's and then a column's values are multiplied by; if factored
    double *shares;         // sums of squared updates and of squared values: two a block
    float *rate;
    u32 rows, columns;
    u32 block;  // rows of a block if factored, else values
    u32 blocks;
};

DEVICE u64 num_values(AdafactorParameter p) { return (u64)p.rows * p.columns; }

// Sums over the block, to the parameter's shares; `scratch` holds a number a thread.
DEVICE void store_shares(AdafactorParameter p, double updates, double values, double *scratch) {
    updates = block_sum_f64(updates, scratch);
    values = block_sum_f64(values, scratch);
    if (threadIdx.x == 0) {
        p.shares[2 * blockIdx.x] = updates;
        p.shares[2 * blockIdx.x + 1] = values;
    }
}

// Moves averages towards the means of scaled squares, whose sums over `terms` values these are.
// Returns the sum of the thread's averages.
DEVICE double decay_towards_means(float *averages, const double *sums, u32 len, u32 terms,
                                  float scale, float beta) {
    double factor = (double)scale * (double)scale / terms, total = 0.0;
    for (u32 i = threadIdx.x; i < len; i += 256) {
        float mean = (float)(sums[i] * factor + 1e-30);
        float average = beta * averages[i] + (1.0f - beta) * mean;
        averages[i] = average;
        total += average;
    }
    return total;
}

// The row and column means of squared gradients, and the factors that follow. Rows of zeros, such as
// those of tokens that were not in the batch, get 0. One block.
KERNEL(256)
adafactor_factors(const AdafactorParameter *parameters, float scale, float beta) {
    SHARED(shared);
    AdafactorParameter p = parameters[blockIdx.x];
    const double *column_squares = p.squares + p.rows;
    double total = decay_towards_means(p.moments, p.squares, p.rows, p.columns, scale, beta);
    decay_towards_means(p.column_moments, column_squares, p.columns, p.rows, scale, beta);
    double mean = block_sum_f64(total, (double *)shared) / p.rows;
    // A thread reads the averages that it wrote itself.
    for (u32 i = threadIdx.x; i < p.rows; i += 256) {
        double factor = scale / sqrt((double)p.moments[i] / mean);
        p.factors[i] = p.squares[i] == 0.0 ? 0.0f : (float)factor;
    }
    for (u32 i = threadIdx.x; i < p.columns; i += 256) {
        p.factors[p.rows + i] = (float)(1.0 / sqrt((double)p.column_moments[i]));
    }
}
EXPORT(adafactor_factors)

// Shares of squared updates and, if they are wanted, of squared values. A warp for each row.
KERNEL(256)
adafactor_factored_squares(const AdafactorParameter *parameters, u32 with_values) {
    SHARED(shared);
    AdafactorParameter p = parameters[blockIdx.y];
    if (blockIdx.x >= p.blocks) return;
    const float *column_factors = p.factors + p.rows;
    u32 first = blockIdx.x * p.block, end = min(first + p.block, p.rows);
    double updates = 0.0, values = 0.0;
    for (u32 row = first + warp_id(); row < end; row += 8) {
        u64 start = (u64)row * p.columns;
        float row_factor = p.factors[row];
        float row_updates = 0.0f, row_values = 0.0f;
        for (u32 i = lane_id(); i < p.columns && row_factor != 0.0f; i += 32) {
            float update = p.gradient[start + i] * row_factor * column_factors[i];
            row_updates += update * update;
        }
        for (u32 i = lane_id(); i < p.columns && with_values; i += 32) {
            float value = p.values[start + i];
            row_values += value * value;
        }
        updates += row_updates;
        values += row_values;
    }
    store_shares(p, updates, values, (double *)shared);
}
EXPORT(adafactor_factored_squares)

// The rate of what is left when updates are divided by the roots of their second moments: relative to
// the parameter, and less if the updates are long. One block.
KERNEL(256)
adafactor_rates(const AdafactorParameter *parameters, float learning_rate, float clipping_threshold,
                u32 multiply_by_parameter_scale) {
    SHARED(shared);
    AdafactorParameter p = parameters[blockIdx.x];
    double updates = 0.0, values = 0.0;
    for (u32 i = threadIdx.x; i < p.blocks; i += 256) {
        updates += p.shares[2 * i];
        values += p.shares[2 * i + 1];
    }
    updates = block_sum_f64(updates, (double *)shared);
    values = block_sum_f64(values, (double *)shared);
    if (threadIdx.x == 0) {
        double len = (double)num_values(p);
        double clip = fmax(sqrt(updates / len) / clipping_threshold, 1.0);
        double scale = multiply_by_parameter_scale ? fmax(sqrt(values / len), 1e-3) : 1.0;
        *p.rate = (float)(learning_rate * scale / clip);
    }
}
EXPORT(adafactor_rates)

// Rows with a factor of 0 keep their values. A warp for each row.
KERNEL(256) adafactor_factored_values(const AdafactorParameter *parameters) {
    AdafactorParameter p = parameters[blockIdx.y];
    if (blockIdx.x >= p.blocks) return;
    const float *column_factors = p.factors + p.rows;
    float rate = *p.rate;
    u32 first = blockIdx.x * p.block, end = min(first + p.block, p.rows);
    for (u32 row = first + warp_id(); row < end; row += 8) {
        u64 start = (u64)row * p.columns;
        float row_factor = p.factors[row];
        for (u32 i = lane_id(); i < p.columns; i += 32) {
            float value = p.values[start + i];
            if (row_factor != 0.0f) {
                value -= rate * (p.gradient[start + i] * row_factor * column_factors[i]);
            }
            p.gradient[start + i] = value;
        }
    }
}
EXPORT(adafactor_factored_values)

// Moves a second moment for each value towards (scale * g)^2; shares as of
// adafactor_factored_squares.
KERNEL(256)
adafactor_moments(const AdafactorParameter *parameters, float scale, float beta, u32 with_values) {
    SHARED(shared);
    AdafactorParameter p = parameters[blockIdx.y];
    if (blockIdx.x >= p.blocks) return;
    u64 first = (u64)blockIdx.x * p.block, end = min(first + p.block, num_values(p));
    float updates = 0.0f, values = 0.0f;
    for (u64 i = first + threadIdx.x; i < end; i += 256) {
        float g = scale * p.gradient[i];
        float moment = beta * p.moments[i] + (1.0f - beta) * (g * g + 1e-30f);
        float update = g / sqrtf(moment), value = with_values ? p.values[i] : 0.0f;
        p.moments[i] = moment;
        updates += update * update;
        values += value * value;
    }
    store_shares(p, updates, values, (double *)shared);
}
EXPORT(adafactor_moments)

KERNEL(256)
adafactor_unfactored_values(const AdafactorParameter *parameters, float scale) {
    AdafactorParameter p = parameters[blockIdx.y];
    if (blockIdx.x >= p.blocks) return;
    float rate = *p.rate;
    u64 first = (u64)blockIdx.x * p.block, end = min(first + p.block, num_values(p));
    for (u64 i = first + threadIdx.x; i < end; i += 256) {
        p.gradient[i] = p.values[i] - rate * (scale * p.gradient[i] / sqrtf(p.moments[i]));
    }
}
EXPORT(adafactor_unfactored_values)

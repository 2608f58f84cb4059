// Sums of squares of all gradients. A launch handles all of them: blockIdx.y says which, and blocks
// that a gradient has no work for end at once.
#include "device.cuh"

// A gradient whose rows and columns are added up, in tiles of `tile_rows` rows and 256 columns.
struct SquareMatrix {
    const float *values;
    double *row_shares;     // (rows, tiles across)
    double *column_shares;  // (tiles down, columns)
    double *sums;           // of rows, then of columns
    u32 rows, columns, tile_rows, tiles_down;
};

DEVICE u32 tiles_across(SquareMatrix m) { return (m.columns + 255) / 256; }

// A gradient of which only the total is wanted.
struct SquareVector {
    const float *values;
    double *shares;  // one a block
    u64 len;
};

// What a total is the sum of.
struct SquareTerms {
    const double *terms;
    u64 len;
};

DEVICE double square(float x) { return (double)x * (double)x; }

// The sum over the lanes of the warp, in a fixed order, for lane 0. `scratch` holds a number a lane.
DEVICE double warp_sum_f64(double x, double *scratch) {
    u32 lane = lane_id();
    scratch[lane] = x;
    sync_warp();
    for (u32 half = 16; half > 0; half /= 2) {
        if (lane < half) scratch[lane] += scratch[lane + half];
        sync_warp();
    }
    return scratch[lane];
}

// A block for each tile; its 8 warps take turns with the rows, and a lane has every 32nd column.
KERNEL(256) square_tiles(const SquareMatrix *matrices) {
    SHARED(shared);
    SquareMatrix m = matrices[blockIdx.y];
    u32 across = tiles_across(m);
    u32 down = blockIdx.x / across, tile = blockIdx.x % across;
    if (down >= m.tiles_down) return;
    u32 first = down * m.tile_rows, end = min(first + m.tile_rows, m.rows);
    double *of_warp = (double *)shared + 256 * warp_id();
    double columns[8] = {};
    for (u32 row = first + warp_id(); row < end; row += 8) {
        const float *values = m.values + (u64)row * m.columns;
        double sum = 0.0;
        for (u32 i = 0; i < 8; ++i) {
            u32 column = 256 * tile + 32 * i + lane_id();
            double x = column < m.columns ? square(values[column]) : 0.0;
            sum += x;
            columns[i] += x;
        }
        sum = warp_sum_f64(sum, of_warp);
        if (lane_id() == 0) m.row_shares[(u64)row * across + tile] = sum;
    }
    for (u32 i = 0; i < 8; ++i) of_warp[32 * i + lane_id()] = columns[i];
    sync_block();
    double sum = 0.0;
    for (u32 warp = 0; warp < 8; ++warp) sum += ((double *)shared)[256 * warp + threadIdx.x];
    u32 column = 256 * tile + threadIdx.x;
    if (column < m.columns) m.column_shares[(u64)down * m.columns + column] = sum;
}
EXPORT(square_tiles)

// A thread for each row and then each column: adds up what tiles had of it, in order.
KERNEL(256) square_lines(const SquareMatrix *matrices) {
    SquareMatrix m = matrices[blockIdx.y];
    u32 line = blockIdx.x * 256 + threadIdx.x;
    if (line >= m.rows + m.columns) return;
    bool is_row = line < m.rows;
    u32 across = tiles_across(m);
    const double *shares =
        is_row ? m.row_shares + (u64)line * across : m.column_shares + (line - m.rows);
    u64 step = is_row ? 1 : m.columns;
    u32 count = is_row ? across : m.tiles_down;
    double sum = 0.0;
    for (u32 i = 0; i < count; ++i) sum += shares[i * step];
    m.sums[line] = sum;
}
EXPORT(square_lines)

// A block for each `block_values` values.
KERNEL(256) square_shares(const SquareVector *vectors, u32 block_values) {
    SHARED(shared);
    SquareVector v = vectors[blockIdx.y];
    u64 first = (u64)blockIdx.x * block_values, end = min(first + block_values, v.len);
    if (first >= v.len) return;
    double sum = 0.0;
    for (u64 i = first + threadIdx.x; i < end; i += 256) sum += square(v.values[i]);
    sum = block_sum_f64(sum, (double *)shared);
    if (threadIdx.x == 0) v.shares[blockIdx.x] = sum;
}
EXPORT(square_shares)

// A block for each total.
KERNEL(256) square_totals(const SquareTerms *terms, double *totals) {
    SHARED(shared);
    SquareTerms t = terms[blockIdx.x];
    double sum = 0.0;
    for (u64 i = threadIdx.x; i < t.len; i += 256) sum += t.terms[i];
    sum = block_sum_f64(sum, (double *)shared);
    if (threadIdx.x == 0) totals[blockIdx.x] = sum;
}
EXPORT(square_totals)

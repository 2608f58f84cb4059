// Tiles of matrices in shared memory, and the two products that attention makes of them: once on the
// tensor cores, once in plain f32. Everything else in attention is written once for both.
//
// A block has 4 warps and owns 64 rows of a result; a warp owns 16 of them and needs no other warp's.
// Within a warp the numbers of a result lie as mma.m16n8k16 leaves them: fragment[i][e] is in row
// fragment_row() + 8 * (e / 2) and column 8 * i + fragment_column() + e % 2 of the block's rows.
#pragma once
#include "device.cuh"

static constexpr u32 THREADS = 128;
static constexpr u32 ROWS = 64;

DEVICE u32 fragment_row() { return 16 * warp_id() + lane_id() / 4; }
DEVICE u32 fragment_column() { return 2 * (lane_id() % 4); }

// The sum over the four threads that share the rows of a fragment.
DEVICE float row_sum(float x) {
    x += shuffle_xor(x, 1);
    return x + shuffle_xor(x, 2);
}

DEVICE float row_max(float x) {
    x = fmaxf(x, shuffle_xor(x, 1));
    return fmaxf(x, shuffle_xor(x, 2));
}

// Writes a warp's rows of a result of N columns to shared memory, `STRIDE` numbers a row.
template <u32 N, u32 STRIDE>
DEVICE void store_fragment(float *to, const float (&fragment)[N / 8][4]) {
#pragma unroll
    for (u32 i = 0; i < N / 8; ++i) {
        float *at = to + fragment_row() * STRIDE + 8 * i + fragment_column();
        *(float2 *)at = make_float2(fragment[i][0], fragment[i][1]);
        *(float2 *)(at + 8 * STRIDE) = make_float2(fragment[i][2], fragment[i][3]);
    }
}

// Tiles of bf16, multiplied on the tensor cores.
template <u32 W> struct Bf16Tiles {
    typedef u16 Element;
    // Columns of a tile: those of a head, filled up with zeros.
    static constexpr u32 WIDTH = W;
    // Eight rows below one another lie in different banks.
    static constexpr u32 STRIDE = W + 8;
    // Rows of the tiles that a block goes through, and how many of them the backward pass takes at
    // a time.
    static constexpr u32 COLUMNS = 64, CHUNK = 32;
    // Rows of weights as the bias gradient reads them.
    static constexpr u32 WEIGHTS_STRIDE = COLUMNS + 8;
    // Exponents are in base 2: scores are multiplied with log2(e).
    static constexpr float UNIT = 1.44269504f;

    DEVICE float exponential(float x) { return exp2_fast(x); }

    DEVICE void store(Element *at, float4 x) {
        *(uint2 *)at = make_uint2(pack_bf16(x.x, x.y), pack_bf16(x.z, x.w));
    }

    // products = rows othersᵀ: of the block's 64 `rows` the 16 of this warp, and N `others`.
    template <u32 N>
    DEVICE void inner_products(float (&products)[N / 8][4], const Element *rows,
                               const Element *others) {
        u32 lane = lane_id();
        const Element *a = rows + (16 * warp_id() + lane % 16) * STRIDE + lane / 16 * 8;
        const Element *b = others + (lane % 8 + lane / 16 * 8) * STRIDE + lane / 8 % 2 * 8;
#pragma unroll
        for (u32 i = 0; i < N / 8; ++i) {
#pragma unroll
            for (u32 e = 0; e < 4; ++e) products[i][e] = 0.0f;
        }
#pragma unroll
        for (u32 k = 0; k < WIDTH; k += 16) {
            u32 left[4], right[4];
            load_matrices(left, a + k);
#pragma unroll
            for (u32 n = 0; n < N; n += 16) {
                load_matrices(right, b + n * STRIDE + k);
                mma_bf16(products[n / 8], left, right[0], right[1]);
                mma_bf16(products[n / 8 + 1], left, right[2], right[3]);
            }
        }
    }

    // sums += weights rows: this warp's weights of N `rows`.
    template <u32 N>
    DEVICE void add_weighted_rows(float (&sums)[WIDTH / 8][4], const float (&weights)[N / 8][4],
                                  const Element *rows, float *) {
        u32 lane = lane_id();
        const Element *b = rows + lane % 16 * STRIDE + lane / 16 * 8;
#pragma unroll
        for (u32 k = 0; k < N; k += 16) {
            // A result of a product lies as a left factor of the next one wants it.
            const float(&first)[4] = weights[k / 8], (&second)[4] = weights[k / 8 + 1];
            u32 left[4] = {pack_bf16(first[0], first[1]), pack_bf16(first[2], first[3]),
                           pack_bf16(second[0], second[1]), pack_bf16(second[2], second[3])};
            u32 right[4];
#pragma unroll
            for (u32 n = 0; n < WIDTH; n += 16) {
                load_matrices_transposed(right, b + k * STRIDE + n);
                mma_bf16(sums[n / 8], left, right[0], right[1]);
                mma_bf16(sums[n / 8 + 1], left, right[2], right[3]);
            }
        }
    }
};

// Tiles of f32, multiplied one number at a time.
template <u32 W> struct F32Tiles {
    typedef float Element;
    static constexpr u32 WIDTH = W;
    static constexpr u32 STRIDE = W + 4;
    // As many rows as shared memory has place for beside four tiles and the weights.
    static constexpr u32 COLUMNS = W > 64 ? 16 : 32, CHUNK = COLUMNS;
    static constexpr u32 WEIGHTS_STRIDE = COLUMNS + 8;
    static constexpr float UNIT = 1.0f;

    DEVICE float exponential(float x) { return expf(x); }

    DEVICE void store(Element *at, float4 x) { *(float4 *)at = x; }

    template <u32 N>
    DEVICE void inner_products(float (&products)[N / 8][4], const Element *rows,
                               const Element *others) {
        const Element *a = rows + fragment_row() * STRIDE;
        const Element *b = others + fragment_column() * STRIDE;
#pragma unroll
        for (u32 i = 0; i < N / 8; ++i) {
#pragma unroll
            for (u32 e = 0; e < 4; ++e) products[i][e] = 0.0f;
        }
#pragma unroll 1
        for (u32 k = 0; k < WIDTH; k += 4) {
            float4 upper = *(const float4 *)(a + k), lower = *(const float4 *)(a + 8 * STRIDE + k);
#pragma unroll
            for (u32 i = 0; i < N / 8; ++i) {
#pragma unroll
                for (u32 e = 0; e < 2; ++e) {
                    float4 other = *(const float4 *)(b + (8 * i + e) * STRIDE + k);
                    add_product(products[i][e], upper, other);
                    add_product(products[i][2 + e], lower, other);
                }
            }
        }
    }

    // `scratch` holds the weights of the block's rows: here a thread needs those of all columns.
    template <u32 N>
    DEVICE void add_weighted_rows(float (&sums)[WIDTH / 8][4], const float (&weights)[N / 8][4],
                                  const Element *rows, float *scratch) {
        store_fragment<N, WEIGHTS_STRIDE>(scratch, weights);
        sync_warp();
        const float *weight = scratch + fragment_row() * WEIGHTS_STRIDE;
        const Element *b = rows + fragment_column();
#pragma unroll 1
        for (u32 k = 0; k < N; ++k) {
            float upper = weight[k], lower = weight[8 * WEIGHTS_STRIDE + k];
#pragma unroll
            for (u32 j = 0; j < WIDTH / 8; ++j) {
                float2 row = *(const float2 *)(b + k * STRIDE + 8 * j);
                sums[j][0] += upper * row.x;
                sums[j][1] += upper * row.y;
                sums[j][2] += lower * row.x;
                sums[j][3] += lower * row.y;
            }
        }
        sync_warp();
    }

private:
    DEVICE void add_product(float &sum, float4 a, float4 b) {
        sum += a.x * b.x;
        sum += a.y * b.y;
        sum += a.z * b.z;
        sum += a.w * b.w;
    }
};

// Some rows of one head: `columns` numbers each, `stride` from one row to the next.
struct HeadRows {
    u64 stride;
    u32 columns;
};

// Four numbers of a row from `column` on; zeros beyond its end.
DEVICE float4 load_four(const float *row, u32 column, HeadRows shape) {
    const float *at = row + column;
    if (shape.columns % 4 == 0) {
        return column < shape.columns ? *(const float4 *)at : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
    u32 left = column < shape.columns ? shape.columns - column : 0;
    return make_float4(left > 0 ? at[0] : 0.0f, left > 1 ? at[1] : 0.0f, left > 2 ? at[2] : 0.0f,
                       left > 3 ? at[3] : 0.0f);
}

// Copies `count` rows into a tile of N rows and fills the rest with zeros; all threads of the block do.
//
// Through registers and not by cp.async, which copies bytes as they are: f32 becomes bf16 on the way.
// While one block waits for its loads, others on the multiprocessor compute.
template <class Tiles, u32 N>
DEVICE void load_tile(typename Tiles::Element *tile, const float *rows, u32 count, HeadRows shape) {
    // So many loads are on their way at once.
    constexpr u32 FOURS = N * Tiles::WIDTH / 4 / THREADS, BATCH = FOURS < 4 ? FOURS : 4;
#pragma unroll 1
    for (u32 first = 0; first < FOURS; first += BATCH) {
        float4 fours[BATCH];
#pragma unroll
        for (u32 i = 0; i < BATCH; ++i) {
            u32 at = (first + i) * THREADS + threadIdx.x;
            u32 row = at / (Tiles::WIDTH / 4), column = at % (Tiles::WIDTH / 4) * 4;
            fours[i] = row < count ? load_four(rows + row * shape.stride, column, shape)
                                   : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        }
#pragma unroll
        for (u32 i = 0; i < BATCH; ++i) {
            u32 at = (first + i) * THREADS + threadIdx.x;
            u32 row = at / (Tiles::WIDTH / 4), column = at % (Tiles::WIDTH / 4) * 4;
            Tiles::store(tile + row * Tiles::STRIDE + column, fours[i]);
        }
    }
}

// Writes the first `count` of the block's 64 rows, each times the factor of this thread's upper or
// lower row.
template <class Tiles>
DEVICE void write_rows(float *rows, u32 count, HeadRows shape,
                       const float (&fragment)[Tiles::WIDTH / 8][4], const float (&factors)[2]) {
#pragma unroll
    for (u32 half = 0; half < 2; ++half) {
        u32 row = fragment_row() + 8 * half;
        if (row >= count) continue;
#pragma unroll
        for (u32 i = 0; i < Tiles::WIDTH / 8; ++i) {
            u32 column = 8 * i + fragment_column();
            float *at = rows + row * shape.stride + column;
            float first = fragment[i][2 * half] * factors[half];
            float second = fragment[i][2 * half + 1] * factors[half];
            if (shape.columns % 2 == 0) {
                if (column < shape.columns) *(float2 *)at = make_float2(first, second);
            } else {
                if (column < shape.columns) at[0] = first;
                if (column + 1 < shape.columns) at[1] = second;
            }
        }
    }
}

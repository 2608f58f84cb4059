//! Products against an f64 loop, over sizes off every block, and on one thread or two.

use super::*;
use half::bf16;
use rand::{Rng as _, SeedableRng as _};

fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut stream = promot_core::Stream::seed_from_u64(seed);
    (0..len).map(|_| stream.random_range(-1.0..1.0)).collect()
}

fn at(matrix: &Matrix<'_>, row: usize, column: usize) -> f64 {
    f64::from(matrix.values[row * matrix.row_stride + column * matrix.column_stride])
}

fn reference(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f64> {
    let mut out = Vec::new();
    for row in 0..a.rows {
        for column in 0..b.columns {
            out.push(
                (0..a.columns)
                    .map(|k| at(&a, row, k) * at(&b, k, column))
                    .sum(),
            );
        }
    }
    out
}

#[test]
fn equals_an_f64_loop_in_every_orientation() {
    for (m, k, n) in [
        (1, 1, 1),
        (3, 5, 7),
        (130, 33, 17),
        (257, 64, 96),
        (4, 300, 2),
        (2, 0, 3),
        // Cut by rows, by columns and by terms, with rests.
        (800, 5, 9),
        (100, 4, 1500),
        (9, 3, 2200),
        (7, 1500, 10),
        (120, 2100, 3),
    ] {
        let (x, y) = (values(m * k, 1), values(k * n, 2));
        let orientations = [
            (Matrix::new(&x, m, k), Matrix::new(&y, k, n)),
            (Matrix::new(&x, k, m).t(), Matrix::new(&y, k, n)),
            (Matrix::new(&x, m, k), Matrix::new(&y, n, k).t()),
            (Matrix::new(&x, k, m).t(), Matrix::new(&y, n, k).t()),
        ];
        for (a, b) in orientations {
            let before = values(m * n, 3);
            for accumulate in [false, true] {
                let mut out = before.clone();
                matmul(&mut out, a, b, accumulate, Precision::F32);
                for (i, expected) in reference(a, b).into_iter().enumerate() {
                    let expected = expected
                        + if accumulate {
                            f64::from(before[i])
                        } else {
                            0.0
                        };
                    let error = (f64::from(out[i]) - expected).abs();
                    assert!(
                        error < 1e-5 * (1.0 + k as f64),
                        "{m}x{k}x{n} at {i}: {error}"
                    );
                }
            }
        }
    }
}

/// Kernels of their own multiply few rows; nothing is written behind the last row or between rows.
#[test]
fn few_rows_are_the_first_of_many_to_the_bit() {
    let (most, k, gap) = (40, 100, 3);
    let x = values(most * k, 1);
    for (n, precision) in [
        (64, Precision::F32),
        (64, Precision::Bf16),
        (37, Precision::F32),
        (37, Precision::Bf16),
    ] {
        let (y, stride) = (values(k * n, 2), n + gap);
        let before = values(most * stride, 3);
        let product = |rows: usize, accumulate| {
            let (a, b) = (Matrix::new(&x[..rows * k], rows, k), Matrix::new(&y, k, n));
            let mut out = before.clone();
            matmul_serial(&mut out, stride, a, b, accumulate, precision);
            out
        };
        let all = [false, true].map(|accumulate| product(most, accumulate));
        for rows in 1..=33 {
            let (out, sum) = (product(rows, false), product(rows, true));
            for (i, before) in before.iter().enumerate() {
                let name = format!("{precision:?}, {n} columns, {rows} rows, value {i}");
                if i < rows * stride && i % stride < n {
                    assert_eq!(out[i], all[0][i], "{name}");
                    // The portable kernels begin some sums with what is there and add it to others.
                    if packs_bf16(precision) {
                        assert_eq!(sum[i], all[1][i], "{name}");
                    }
                    let error = (sum[i] - (before + out[i])).abs();
                    assert!(error < 1e-4, "{name}: {error}");
                } else {
                    assert_eq!([out[i], sum[i]], [*before; 2], "{name}");
                }
            }
        }
    }
}

/// Any orientation, rows further apart than they are long, on one thread and on all.
#[test]
fn equals_an_f64_loop_for_random_shapes() {
    let mut stream = promot_core::Stream::seed_from_u64(13);
    for case in 0..150 {
        let [m, k, n] = crate::ops::testing::random_sizes(case, 300);
        let mut gaps = || stream.random_range(0..20);
        let (x_gap, y_gap, out_gap) = (gaps(), gaps(), gaps());
        let (across_x, across_y): (bool, bool) = (stream.random(), stream.random());
        let accumulate: bool = stream.random();
        let numbers = |rows: usize, columns: usize, gap: usize| {
            let (rows, columns) = (rows + gap, columns + gap);
            values(rows * columns, case)
        };
        let (x, y) = if across_x {
            (numbers(k, m, x_gap), numbers(k, n, y_gap))
        } else {
            (numbers(m, k, x_gap), numbers(k.max(n), n.max(k), y_gap))
        };
        let a = if across_x {
            Matrix::strided(&x, k, m, m + x_gap).t()
        } else {
            Matrix::strided(&x, m, k, k + x_gap)
        };
        let b = if across_y && !across_x {
            Matrix::strided(&y, n, k, k + y_gap).t()
        } else {
            Matrix::strided(&y, k, n, n + y_gap)
        };
        let stride = n + out_gap;
        let before = values(m * stride, case + 1);
        let mut serial = before.clone();
        matmul_serial(&mut serial, stride, a, b, accumulate, Precision::F32);
        let mut parallel: Vec<f32> = before
            .chunks(stride)
            .flat_map(|row| &row[..n])
            .copied()
            .collect();
        matmul(&mut parallel, a, b, accumulate, Precision::F32);
        for (i, expected) in reference(a, b).into_iter().enumerate() {
            let at = i / n * stride + i % n;
            let expected = expected
                + if accumulate {
                    f64::from(before[at])
                } else {
                    0.0
                };
            for found in [serial[at], parallel[i]] {
                let error = (f64::from(found) - expected).abs();
                assert!(
                    error < 1e-5 * (1.0 + k as f64),
                    "{m}x{k}x{n} at {i}: {error}"
                );
            }
        }
        // What lies between the rows of the output is somebody else's.
        for (row, before) in serial.chunks(stride).zip(before.chunks(stride)) {
            assert_eq!(row[n..], before[n..], "{m}x{k}x{n}");
        }
    }
}

#[test]
fn products_of_no_rows_are_empty() {
    let b = values(8 * 5, 3);
    for precision in [Precision::F32, Precision::Bf16] {
        let mut packed = Packed::default();
        let b = packed.par_pack_b(Matrix::new(&b, 8, 5), precision);
        let none: [f32; 0] = [];
        assert!(product(Matrix::new(&none, 0, 8), b, precision).is_empty());
    }
}

#[test]
fn one_thread_or_two_give_the_same_bits() {
    for (m, k, n) in [(517, 129, 65), (30, 40, 1300), (100, 2000, 50)] {
        one_thread_or_two(m, k, n);
    }
}

/// `bf16` rounds the factors and nothing else: the sums are those of the rounded numbers.
#[test]
fn bf16_products_are_those_of_rounded_factors() {
    for (m, k, n) in [(1, 1, 1), (33, 31, 65), (70, 600, 40), (5, 64, 700)] {
        let (x, y) = (values(m * k, 6), values(k * n, 7));
        let round = |values: &[f32]| -> Vec<bf16> {
            values
                .iter()
                .map(|&x| <bf16 as Element>::from_f32(x))
                .collect()
        };
        let (x16, y16) = (round(&x), round(&y));
        let exact =
            |values: &[bf16]| -> Vec<f32> { values.iter().map(|x| Element::to_f32(*x)).collect() };
        let (xr, yr) = (exact(&x16), exact(&y16));
        let expected = reference(Matrix::new(&xr, m, k), Matrix::new(&yr, n, k).t());
        let mut products = [(); 3].map(|()| vec![0.0; m * n]);
        let bf16 = Precision::Bf16;
        let (a, b) = (Matrix::new(&x, m, k), Matrix::new(&y, n, k).t());
        matmul(&mut products[0], a, b, false, bf16);
        let (a, b) = (Matrix::new(&x16, m, k), Matrix::new(&y16, n, k).t());
        matmul(&mut products[1], a, b, false, bf16);
        matmul_serial(&mut products[2], n, a, b, false, bf16);
        for product in products {
            for (i, (&ours, expected)) in product.iter().zip(&expected).enumerate() {
                let error = (f64::from(ours) - expected).abs();
                assert!(
                    error < 1e-6 * (1.0 + k as f64),
                    "{m}x{k}x{n} at {i}: {error}"
                );
            }
        }
    }
}

#[test]
fn several_products_of_one_factor_are_those_by_themselves() {
    // Few rows, rows of several tasks, and more terms than are summed at once.
    for (m, k) in [(3, 40), (70, 33), (300, 40), (700, 1100), (0, 5), (200, 0)] {
        let x = values(m * k, 12);
        let a = Matrix::new(&x, m, k);
        for precision in [Precision::F32, Precision::Bf16] {
            let mut packed: [Packed; 4] = Default::default();
            let widths = [64, 5, 0, 130];
            let right: Vec<Vec<f32>> = widths.iter().map(|n| values(k * n, 13)).collect();
            let all = packed.iter_mut().zip(&right).zip(widths);
            let all: Vec<_> = all
                .map(|((packed, y), n)| packed.pack_b(Matrix::new(y, n, k).t(), precision))
                .collect();
            for chosen in [&[0, 1, 3][..], &[2, 0], &[3], &[]] {
                let factors: Vec<_> = chosen.iter().map(|&i| all[i]).collect();
                let together = products(a, &factors, precision);
                let alone: Vec<_> = factors.iter().map(|b| product(a, *b, precision)).collect();
                assert_eq!(together, alone, "{m}x{k}, {precision:?}");
            }
        }
    }
}

/// Products that are added up in registers, with parts of right factors.
#[test]
fn a_sum_of_products_is_that_of_adding_one_after_another() {
    for (m, n, terms) in [
        (96, 64, [64, 33, 100]),
        (256, 32, [256, 0, 5]),
        (32, 96, [0, 0, 0]),
        (70, 90, [64, 33, 100]),
        (9, 64, [1, 32, 0]),
    ] {
        for precision in [Precision::F32, Precision::Bf16] {
            let x = [0, 1, 2].map(|i| values(m * terms[i], i as u64));
            let y = [0, 1, 2].map(|i| values((terms[i] + 64) * (n + 32), 3 + i as u64));
            let mut packed: [[Packed; 2]; 3] = Default::default();
            let mut i = 0;
            let pairs = packed.each_mut().map(|[left, right]| {
                let (a, b) = (
                    Matrix::new(&x[i], m, terms[i]),
                    Matrix::new(&y[i], terms[i] + 64, n + 32),
                );
                let part = Part {
                    first_column: 32,
                    columns: n,
                    first_term: 64,
                };
                i += 1;
                (left.pack_a(a, precision), right.pack_b(b, precision), part)
            });
            let (stride, before) = (n + 3, values(m * (n + 3), 6));
            for accumulate in [false, true] {
                let (mut one_by_one, mut at_once) = (before.clone(), before.clone());
                for (i, (a, b, part)) in pairs.into_iter().enumerate() {
                    matmul_part(&mut one_by_one, stride, a, b, part, accumulate || i > 0);
                }
                matmul_sum(&mut at_once, stride, pairs, accumulate);
                let name = format!("{m}x{terms:?}x{n}, {precision:?}");
                assert_eq!(at_once, one_by_one, "{name}");
            }
        }
    }
}

/// Both factors of `leftᵀ right` in blocks of any number of rows, put there by parts.
#[test]
fn gathered_factors_give_the_products_of_their_rows() {
    fn check<E: Kept>(precision: Precision, tolerance: f64) {
        let mut stream = promot_core::Stream::seed_from_u64(14);
        let (mut m, mut n) = (0, 0);
        let mut factors = None;
        for case in 0..40 {
            // Every other time what was gathered before is in the memory.
            if case % 2 == 0 {
                [m, n] = crate::ops::testing::random_sizes(case, 300);
                factors = None;
            }
            let blocks: Vec<usize> = (0..stream.random_range(0..6))
                .map(|_| [0, 1, 31, 32, 70, 300, 700][stream.random_range(0..7)])
                .collect();
            let rows = blocks.iter().sum();
            let [x, y] = [(m, 2 * case), (n, 2 * case + 1)].map(|(n, seed)| values(rows * n, seed));
            let (left, right) = factors.get_or_insert_with(|| {
                [(Side::Left, m), (Side::Right, n)]
                    .map(|(side, n)| Gathered::<E>::new(side, n, precision))
                    .into()
            });
            for (gathered, columns, all) in [(&mut *left, m, &x), (&mut *right, n, &y)] {
                let mut first = 0;
                for (&rows, mut block) in blocks.iter().zip(gathered.blocks(&blocks)) {
                    let all = &all[first * columns..][..rows * columns];
                    put_by_parts(&mut block, all, columns, 64);
                    first += rows;
                }
            }
            let (a, b) = (Matrix::new(&x, rows, m).t(), Matrix::new(&y, rows, n));
            let expected = reference(a, b);
            let mut packed = Packed::default();
            let mut sum = None;
            for times in 1..=2 {
                // SAFETY: everything was put there.
                unsafe { add_gathered(&mut sum, left, right.right(&mut packed)) };
                for (i, expected) in expected.iter().enumerate() {
                    let error =
                        (f64::from(sum.as_ref().unwrap()[i]) / f64::from(times) - expected).abs();
                    let name = format!("{precision:?}, {m}x{blocks:?}x{n} at {i}, {times} times");
                    assert!(
                        error <= tolerance * (1.0 + rows as f64).sqrt(),
                        "{name}: {error}"
                    );
                }
            }
        }
    }
    check::<f32>(Precision::F32, 3e-5);
    check::<bf16>(Precision::Bf16, 5e-3);
}

/// Squares of at most `most` rows and columns.
fn put_by_parts<E: Kept>(
    block: &mut GatheredBlock<'_, E>,
    all: &[f32],
    columns: usize,
    most: usize,
) {
    let rows = all.len() / columns;
    for row in (0..rows).step_by(most) {
        for column in (0..columns).step_by(most) {
            let count = most.min(columns - column);
            let part: Vec<f32> = (row..(row + most).min(rows))
                .flat_map(|row| &all[row * columns + column..][..count])
                .copied()
                .collect();
            block.put(&part, count, [row, column]);
        }
    }
}

#[test]
fn a_packed_factor_is_used_again_and_its_memory_too() {
    let (x, y) = (values(50 * 40, 8), values(40 * 30, 9));
    let (a, b) = (Matrix::new(&x, 50, 40), Matrix::new(&y, 40, 30));
    for precision in [Precision::F32, Precision::Bf16] {
        let mut expected = vec![0.0; 50 * 30];
        matmul(&mut expected, a, b, false, precision);
        let (mut left, mut right) = (Packed::default(), Packed::default());
        // What was there before, larger and full of other numbers, must not show.
        left.pack_a(Matrix::new(&values(80 * 90, 10), 80, 90), precision);
        right.pack_b(Matrix::new(&values(80 * 90, 11), 80, 90), precision);
        let (left, right) = (left.pack_a(a, precision), right.pack_b(b, precision));
        for _ in 0..2 {
            let mut product = vec![f32::NAN; 50 * 30];
            matmul_packed(&mut product, 30, left, right, false);
            assert_eq!(product, expected, "{precision:?}");
        }
    }
}

#[test]
fn numbers_round_to_bf16_as_the_half_crate_rounds() {
    let specials = [
        0.0,
        -0.0,
        1e-40,
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
        1.003_906_3,
    ];
    for x in specials.into_iter().chain(values(1000, 12)) {
        let (ours, theirs) = (<bf16 as Element>::from_f32(x), bf16::from_f32(x));
        assert!(ours == theirs || ours.is_nan() && theirs.is_nan(), "{x}");
    }
}

fn one_thread_or_two(m: usize, k: usize, n: usize) {
    let (x, y) = (values(m * k, 4), values(k * n, 5));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let mut out = vec![0.0; m * n];
        pool.install(|| {
            matmul(
                &mut out,
                Matrix::new(&x, m, k),
                Matrix::new(&y, k, n),
                false,
                Precision::F32,
            )
        });
        out
    };
    assert_eq!(on(1), on(2));
}

/// The first product of a sum is written where others are added.
#[test]
fn a_sum_begins_with_its_first_product() {
    for precision in [Precision::F32, Precision::Bf16] {
        for (m, k, n) in [(70, 40, 90), (300, 9, 33), (1, 1, 1), (0, 3, 4)] {
            let (x, y) = (values(k * m, 1), values(k * n, 2));
            let (a, b) = (Matrix::new(&x, k, m).t(), Matrix::new(&y, k, n));
            let mut once = vec![0.0; m * n];
            matmul(&mut once, a, b, false, precision);
            let mut twice = once.clone();
            matmul(&mut twice, a, b, true, precision);

            let mut sum = None;
            add_product(&mut sum, a, b, precision);
            assert_eq!(sum.as_deref(), Some(once.as_slice()), "{m}x{k}x{n}");
            let mut packed = Packed::default();
            add_product(
                &mut sum,
                a,
                Right::from(packed.par_pack_b(b, precision)),
                precision,
            );
            assert_eq!(sum.as_deref(), Some(twice.as_slice()), "{m}x{k}x{n}");
        }
    }
}

//! Products against an f64 loop, over sizes off every block, and on one thread or two.

use super::*;
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
                matmul(&mut out, a, b, accumulate);
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

#[test]
fn one_thread_or_two_give_the_same_bits() {
    for (m, k, n) in [(517, 129, 65), (30, 40, 1300), (100, 2000, 50)] {
        one_thread_or_two(m, k, n);
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
            )
        });
        out
    };
    assert_eq!(on(1), on(2));
}

#[test]
fn large_products_become_several_tasks() {
    let tasks = |(m, k, n): (usize, usize, usize)| {
        let split = Split::new(m, k, n);
        m.div_ceil(split.rows) * n.div_ceil(split.columns) * k.div_ceil(split.terms)
    };
    // A layer, its weight's gradient, a decoding step's logits, a large head's gradient.
    for sizes in [
        (2560, 128, 256),
        (128, 2560, 128),
        (16, 512, 250_000),
        (250_000, 400, 512),
    ] {
        assert!(tasks(sizes) >= 4, "{sizes:?} in {} tasks", tasks(sizes));
    }
    assert_eq!(tasks((20, 30, 40)), 1);
}

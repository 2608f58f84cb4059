//! How fast this machine multiplies large matrices: what a step's speed is a share of.

use std::time::Instant;

use promot_model::gemm::{Matrix, Packed, Precision, matmul};

use crate::random;

/// Products that are measured; the fastest counts.
const ROUNDS: usize = 12;

/// The rate of `(m, k)` times `(k, n)` in floating-point operations a second. The right factor is
/// packed before, as weights are.
pub fn ceiling(precision: Precision, (m, k, n): (usize, usize, usize)) -> f64 {
    let (a, b) = (random::values("a", m * k), random::values("b", k * n));
    let a = Matrix::new(&a, m, k);
    let mut packed = Packed::default();
    let b = packed.par_pack_b(Matrix::new(&b, k, n), precision);
    let mut out = vec![0.0; m * n];
    let mut fastest = f64::INFINITY;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        matmul::<f32, f32>(&mut out, a, b, false, precision);
        std::hint::black_box(&mut out);
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    2.0 * (m * k * n) as f64 / fastest
}

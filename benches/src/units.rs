//! What a processor multiplies when nothing has to be fetched: the bound that no blocking or fusing
//! can lift.

use std::time::{Duration, Instant};

use promot_model::backend::Host;
use promot_model::gemm::{Matrix, Packed, matmul_packed};

use crate::random;

/// Rows, terms and columns whose packed factors and whose product stay in a core's second-level cache.
const RESIDENT: (usize, usize, usize) = (256, 512, 256);
/// How long it is measured.
const TIME: Duration = Duration::from_secs(1);

/// The rates of products of packed factors on all threads at once, in GFLOP/s.
pub fn rates(host: &Host) -> Vec<f64> {
    let (m, k, n) = RESIDENT;
    let (a, b) = (random::values("a", m * k), random::values("b", k * n));
    let (a, b) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
    rayon::broadcast(|_| rate(host, a, b))
}

/// The rate on the calling thread in GFLOP/s.
fn rate(host: &Host, a: Matrix<'_>, b: Matrix<'_>) -> f64 {
    let ((m, k), (_, n)) = (a.shape(), b.shape());
    let (mut left, mut right) = (Packed::default(), Packed::default());
    let a = left.pack_a(a, host.precision());
    let b = right.pack_b(b, host.precision());
    let mut out = vec![0.0; m * n];
    let (started, mut products) = (Instant::now(), 0_u32);
    while started.elapsed() < TIME {
        matmul_packed(&mut out, n, a, b, false);
        std::hint::black_box(&mut out);
        products += 1;
    }
    let operations = 2.0 * (m * k * n) as f64 * f64::from(products);
    operations / started.elapsed().as_secs_f64() / 1e9
}

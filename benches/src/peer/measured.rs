//! What a comparison has to know of a device, beyond computing on it.

use std::time::Instant;

use promot_model::backend::{Device as _, Gpu, Host};
use promot_model::gemm::{Matrix, Packed, matmul};
use promot_model::graph::Graph;
use promot_model::ops::linear::linear;
use promot_model::train::TrainingBackend;

use crate::random;

/// Rows of the left factor of a product, terms of each sum, and columns of the right factor.
pub type ProductSizes = (usize, usize, usize);

/// A device whose memory and whose rate of large matrix products are known.
pub trait Measured: TrainingBackend {
    /// Sizes of a product that keep all of the device busy.
    const LARGE: ProductSizes;

    /// The most memory that the work ever held on the device, where that is known.
    fn peak_bytes(&self) -> Option<u64>;

    /// Seconds of the fastest of several products in the device's precision. The right factor is ready as
    /// weights are: packed, or rounded to bf16.
    ///
    /// # Errors
    /// If the device fails.
    fn fastest_product(&self, sizes: ProductSizes) -> anyhow::Result<f64>;

    /// The rate of such products in floating-point operations a second.
    ///
    /// # Errors
    /// If the device fails.
    fn ceiling(&self, (m, k, n): ProductSizes) -> anyhow::Result<f64> {
        Ok(2.0 * (m * k * n) as f64 / self.fastest_product((m, k, n))?)
    }
}

/// Seconds of the fastest of several runs.
fn fastest(mut run: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    const ROUNDS: usize = 12;
    let mut fastest = f64::INFINITY;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        run()?;
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    Ok(fastest)
}

impl Measured for Host {
    const LARGE: ProductSizes = (8192, 1024, 1024);

    /// The most memory of this process that was ever resident (`VmHWM`), where the system tells.
    fn peak_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    }

    fn fastest_product(&self, (m, k, n): ProductSizes) -> anyhow::Result<f64> {
        let precision = self.precision();
        let (a, b) = (random::values("a", m * k), random::values("b", k * n));
        let a = Matrix::new(&a, m, k);
        let mut packed = Packed::default();
        let b = packed.par_pack_b(Matrix::new(&b, k, n), precision);
        let mut out = vec![0.0; m * n];
        fastest(|| {
            matmul::<f32, f32>(&mut out, a, b, false, precision);
            std::hint::black_box(&mut out);
            Ok(())
        })
    }
}

impl Measured for Gpu {
    const LARGE: ProductSizes = (8192, 8192, 8192);

    fn peak_bytes(&self) -> Option<u64> {
        u64::try_from(self.peak_memory()).ok()
    }

    fn fastest_product(&self, (m, k, n): ProductSizes) -> anyhow::Result<f64> {
        let a = random::leaf(self, "a", (m, k));
        let b = random::leaf(self, "b", (n, k));
        fastest(|| {
            linear(&mut Graph::inference(self), &a, &b);
            Ok(self.check()?)
        })
    }
}

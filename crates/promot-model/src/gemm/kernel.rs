//! Which matrix-product kernels this process runs: chosen once, from the processor and one
//! environment variable.

use std::sync::OnceLock;

use super::Precision;

/// Set to `portable`, it keeps the matrix units of the processor out of use.
pub const KERNEL_VARIABLE: &str = "PROMOT_GEMM";

/// A family of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Advanced Matrix Extensions: bf16 factors, f32 sums. `f32` is three products of halves.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx,
    /// The `gemm` crate in f32 arithmetic. `bf16` rounds the factors first.
    Portable,
}

impl Kernel {
    /// The kernels of this process.
    pub(crate) fn get() -> Self {
        static KERNEL: OnceLock<Kernel> = OnceLock::new();
        *KERNEL.get_or_init(|| {
            if std::env::var_os(KERNEL_VARIABLE).is_some_and(|name| name == "portable") {
                return Self::Portable;
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            if super::amx::is_available() {
                return Self::Amx;
            }
            Self::Portable
        })
    }
}

/// Whether products run on matrix units: a factor packed beforehand is then worth its memory.
pub(crate) fn has_matrix_units() -> bool {
    Kernel::get() != Kernel::Portable
}

/// The name of the kernels that compute products in `precision` here, for reports.
pub fn kernel_name(precision: Precision) -> &'static str {
    match (Kernel::get(), precision) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        (Kernel::Amx, Precision::F32) => "amx-bf16x3",
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        (Kernel::Amx, Precision::Bf16) => "amx-bf16",
        (Kernel::Portable, Precision::F32) => "gemm-f32",
        (Kernel::Portable, Precision::Bf16) => "gemm-bf16-rounded",
    }
}

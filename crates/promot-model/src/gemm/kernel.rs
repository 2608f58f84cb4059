//! Which matrix-product kernels this process runs: chosen once, from the processor and one
//! environment variable.

use std::sync::OnceLock;

use super::Precision;

/// Set to the name of kernels, it keeps better ones that the processor has out of use:
/// see [`check_kernels`].
pub const KERNEL_VARIABLE: &str = "PROMOT_GEMM";

/// A family of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// Advanced Matrix Extensions: bf16 factors, f32 sums. `f32` is three products of halves.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx,
    /// Dot products of pairs of bf16, f32 sums. `f32` as [`Self::Portable`].
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Avx512Bf16,
    /// The `gemm` crate in f32 arithmetic. `bf16` rounds the factors first.
    Portable,
}

impl Kernel {
    /// From the best to the one that is always there.
    const ALL: &[Self] = &[
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Self::Amx,
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Self::Avx512Bf16,
        Self::Portable,
    ];

    /// The kernels of this process.
    pub(super) fn get() -> Self {
        static KERNEL: OnceLock<Kernel> = OnceLock::new();
        *KERNEL.get_or_init(|| {
            let wanted = std::env::var_os(KERNEL_VARIABLE);
            let mut kernels = Self::ALL.iter().copied();
            kernels
                .find(|kernel| {
                    let is_wanted = wanted.as_ref().is_none_or(|name| name == kernel.variable());
                    is_wanted && kernel.is_available()
                })
                .unwrap_or(Self::Portable)
        })
    }

    /// Its value of the variable.
    fn variable(self) -> &'static str {
        match self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => "amx",
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Avx512Bf16 => "avx512-bf16",
            Self::Portable => "portable",
        }
    }

    fn is_available(self) -> bool {
        match self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => super::amx::is_available(),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Avx512Bf16 => super::panels::are_possible(),
            Self::Portable => true,
        }
    }

    /// Whether it reads factors packed in panels of bf16.
    pub(super) fn packs(self, precision: Precision) -> bool {
        match (self, precision) {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            (Self::Amx, _) | (Self::Avx512Bf16, Precision::Bf16) => true,
            _ => false,
        }
    }
}

/// Whether factors of products in `precision` are packed in the numbers that bf16 instructions multiply:
/// one that is packed beforehand is then worth its memory, and no bit of a row of a product depends on
/// other rows.
pub(crate) fn packs_bf16(precision: Precision) -> bool {
    Kernel::get().packs(precision)
}

/// The name of the kernels that compute products in `precision` here, for reports.
pub fn kernel_name(precision: Precision) -> &'static str {
    match (Kernel::get(), precision) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        (Kernel::Amx, Precision::F32) => "amx-bf16x3",
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        (Kernel::Amx, Precision::Bf16) => "amx-bf16",
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        (Kernel::Avx512Bf16, Precision::Bf16) => "avx512-bf16",
        (Kernel::Portable, Precision::Bf16) => "gemm-bf16-rounded",
        (_, Precision::F32) => "gemm-f32",
    }
}

/// Whether the kernels that [`KERNEL_VARIABLE`] asks for are there; where they are not, the portable ones
/// run.
///
/// # Errors
/// If they are not: what was asked for and what can be.
pub fn check_kernels() -> Result<(), UnknownKernels> {
    match std::env::var_os(KERNEL_VARIABLE) {
        Some(name) => check(&name.to_string_lossy()),
        None => Ok(()),
    }
}

fn check(name: &str) -> Result<(), UnknownKernels> {
    if available().contains(&name) {
        return Ok(());
    }
    Err(UnknownKernels {
        name: name.to_owned(),
    })
}

/// Kernels that this processor does not have, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{KERNEL_VARIABLE}={name}: no such kernels here; give one of {}, or unset it for the best",
    available().join(", ")
)]
pub struct UnknownKernels {
    name: String,
}

fn available() -> Vec<&'static str> {
    let here = Kernel::ALL.iter().filter(|kernel| kernel.is_available());
    here.map(|kernel| kernel.variable()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_are_not_there_are_refused_by_name() {
        assert_eq!(check("portable"), Ok(()));
        assert_eq!(check(Kernel::get().variable()), Ok(()));
        let error = check("portabel").unwrap_err().to_string();
        assert!(
            error.starts_with("PROMOT_GEMM=portabel: ") && error.contains("portable"),
            "{error}"
        );
    }
}

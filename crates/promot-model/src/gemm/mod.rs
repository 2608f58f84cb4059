//! Matrix products on the CPU: the one owner of how they are computed and split over threads.
//!
//! A [`Factor`] is packed first, into the layout and the numbers that the kernels read, unless they
//! read it where it lies; it may be kept that way: weights are, until they change. Which kernels run
//! is chosen once a process:
//!
//! | processor | [`Precision::F32`] | [`Precision::Bf16`] |
//! |---|---|---|
//! | `amx`: with AMX | each number as the sum of two bf16, three products, `f32` sums | bf16 factors, `f32` sums |
//! | `avx512-bf16`: with AVX512-BF16 | `f32` factors, `f32` sums | bf16 factors, `f32` sums |
//! | `portable`: any other | `f32` factors, `f32` sums | factors rounded to bf16, `f32` sums |
//!
//! `PROMOT_GEMM` set to one of these names asks for those kernels where the processor has better ones. No result depends on the
//! number of threads.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod dot;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod fill;
mod gathered;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod grid;
mod kept;
mod kernel;
mod matrix;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod multiply;
mod packed;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod panels;
mod part;
mod portable;
mod precision;
mod product;
mod scratch;
mod side;
#[cfg(test)]
mod tests;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tile;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiled;
mod unfilled;
mod vectorized;

pub(crate) use gathered::{Gathered, GatheredBlock, add_gathered};
pub(crate) use kept::Kept;
pub(crate) use kernel::packs_bf16;
pub use kernel::{KERNEL_VARIABLE, UnknownKernels, check_kernels, kernel_name};
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(crate) use matrix::Element as Source;
pub use matrix::{Element, Matrix};
pub use packed::{Factor, Packed};
pub(crate) use part::Part;
pub use precision::Precision;
pub use product::{Right, add_product, matmul, matmul_packed, matmul_serial, product, products};
pub(crate) use product::{matmul_part, matmul_sum};
pub(crate) use side::Side;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use tile::Source;
pub(crate) use unfilled::{filled, unfilled};
pub(crate) use vectorized::vectorized;

//! Matrix products on the CPU: the one owner of how they are computed and split over threads.
//!
//! A [`Factor`] is packed first, into the layout and the numbers that the kernels read, unless they
//! read it where it lies; it may be kept that way: weights are, until they change. Which kernels run
//! is chosen once a process:
//!
//! | processor | [`Precision::F32`] | [`Precision::Bf16`] |
//! |---|---|---|
//! | with AMX | each number as the sum of two bf16, three products, `f32` sums | bf16 factors, `f32` sums |
//! | any other, or `PROMOT_GEMM=portable` | `f32` factors, `f32` sums | factors rounded to bf16, `f32` sums |
//!
//! No result depends on the number of threads. The tests run every case on both kernels.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod grid;
mod kernel;
mod matrix;
mod packed;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod panels;
mod part;
mod portable;
mod precision;
mod product;
mod scratch;
#[cfg(test)]
mod tests;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiled;

pub(crate) use kernel::has_matrix_units;
pub use kernel::{KERNEL_VARIABLE, kernel_name};
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(crate) use matrix::Element as Source;
pub use matrix::{Element, Matrix};
pub use packed::{Factor, Packed};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use panels::Source;
pub(crate) use part::Part;
pub use precision::Precision;
pub(crate) use product::matmul_part;
pub use product::{Right, add_product, matmul, matmul_packed, matmul_serial, product, products};

//! Fused differentiable ops, a folder each: contract and tape in `mod.rs`, CPU kernels in
//! `cpu.rs`, launches of GPU kernels in `cuda.rs`, and `tests.rs` with the same cases against an f64 loop, a dfdx composition and finite
//! differences.

pub mod add;
pub mod attention;
pub mod cross_attention;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
pub mod feed_forward;
pub mod kv_cache;
pub mod linear;
pub mod projection;
pub mod rms_norm;
pub mod rope;
pub mod scale;
pub mod select_rows;
pub mod self_attention;
pub mod top_tokens;

pub(crate) mod math;
pub(crate) mod parallel;
#[cfg(test)]
pub(crate) mod testing;

//! Fused differentiable ops, a folder each: contract and tape in `mod.rs`, CPU kernels in
//! `cpu.rs`, and `tests.rs` with the same cases against an f64 loop, a dfdx composition and finite
//! differences.

pub mod linear;

#[cfg(test)]
pub(crate) mod testing;

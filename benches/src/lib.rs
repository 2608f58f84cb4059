//! What the benchmarks and the comparison with PyTorch share: seeded inputs, training one timed
//! step at a time, and the Rust side of the comparison.

pub mod peer;
pub mod random;
pub mod scaling;
pub mod stepwise;

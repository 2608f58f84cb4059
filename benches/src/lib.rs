//! What the benchmarks and the comparison with PyTorch share: seeded inputs, training one timed
//! step at a time, and the Rust side of the comparison.

pub mod peer;
pub mod random;
pub mod scaling;
pub mod stepwise;
pub mod units;

/// As in the command line, for all programs here.
#[global_allocator]
static ALLOCATOR: promot_model::backend::LineAligned = promot_model::backend::LineAligned;

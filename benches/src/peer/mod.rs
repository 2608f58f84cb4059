//! The Rust side of the comparison with PyTorch: what `peer_worker` is made of.
//!
//! The other side is `benches/peer/torch_worker.py`, and `benches/peer/driver.py` drives both.

mod case;
mod decoding;
mod measured;
mod protocol;
mod training;
mod workload;

pub use case::{Case, Training};
pub use decoding::work as decode;
pub use measured::{Measured, ProductSizes};
pub use protocol::{Answer, Driver, Request};
pub use training::work as train;
pub use workload::{LearningRates, Workload};

//! The Rust side of the comparison with PyTorch: what `peer_worker` is made of.
//!
//! The other side is `benches/peer/torch_worker.py`, and `benches/peer/driver.py` drives both.

mod case;
mod ceiling;
mod decoding;
mod memory;
mod protocol;
mod training;
mod workload;

pub use case::{Case, Training};
pub use ceiling::ceiling;
pub use decoding::work as decode;
pub use memory::peak_bytes;
pub use protocol::{Answer, Driver, Request};
pub use training::work as train;
pub use workload::{LearningRates, Workload};

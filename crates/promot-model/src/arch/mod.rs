//! Architectures: one file each, read top to bottom.

pub mod t5;
mod t5_config;
mod t5_decode;
mod t5_init;
mod t5_pass;

pub use t5::T5;
pub use t5_config::{ConfigError, FeedForward, T5Config};
pub use t5_decode::{Encoded, T5Decoder};

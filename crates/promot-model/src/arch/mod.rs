//! Architectures: one file each, read top to bottom.

mod config;
pub mod llama;
mod llama_config;
mod llama_decode;
mod llama_pass;
mod llama_sequences;
mod loss;
mod model;
mod module;
pub mod t5;
mod t5_config;
mod t5_decode;
mod t5_init;
mod t5_pass;
mod weights;

pub use config::{ConfigError, ModelConfig};
pub use llama::Llama;
pub use llama_config::{EndTokens, LlamaConfig, RopeParameters};
pub use llama_decode::LlamaDecoder;
pub use loss::LossOptions;
pub use model::Model;
pub use module::{Module, Role};
pub use t5::T5;
pub use t5_config::{FeedForward, T5Config};
pub use t5_decode::{Encoded, T5Decoder};
pub(crate) use weights::Changed;

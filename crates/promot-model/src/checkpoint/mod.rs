//! Checkpoints in the layouts of Hugging Face transformers and PEFT.

mod adapter;
mod directory;
mod error;
mod peft;
mod peft_lora;
mod shards;
mod tensors;

pub use adapter::{Adapter, copy_adapter, load_adapter};
pub use directory::{SavePrecision, load_model, load_model_from_bytes, model_to_bytes, save_model};
pub use error::CheckpointError;
pub use peft::{copy_prompt, load_prompt, save_prompt};
pub use peft_lora::{copy_lora, load_lora, save_lora};
pub use shards::{ShardSize, ShardSizeError, save_model_in_shards};
pub use tensors::{NamedTensors, parse_tensors, serialize_f32};
pub(crate) use tensors::{read_note, serialize_f32_with_note};

//! Checkpoints in the layouts of Hugging Face transformers and PEFT.

mod directory;
mod error;
mod peft;
mod shards;
mod tensors;

pub use directory::{SavePrecision, load_model, load_model_from_bytes, model_to_bytes, save_model};
pub use error::CheckpointError;
pub use peft::{
    Adapter, copy_adapter, copy_lora, copy_prompt, load_adapter, load_lora, load_prompt, save_lora,
    save_prompt,
};
pub use shards::{ShardSize, ShardSizeError, save_model_in_shards};
pub use tensors::{NamedTensors, parse_tensors, serialize_f32};
pub(crate) use tensors::{read_note, serialize_f32_with_note};

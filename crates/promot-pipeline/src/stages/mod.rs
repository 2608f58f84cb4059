//! What each kind of stage does, a file each. A new kind is a file, a line here, a variant of
//! [`crate::plan::StageKind`] and its parameters.

pub(crate) mod curve;
pub(crate) mod data;
pub(crate) mod eval;
pub(crate) mod gradients;
pub(crate) mod joint_tune;
pub(crate) mod lora_tune;
pub(crate) mod mix;
pub(crate) mod model_tune;
pub(crate) mod pretrain;
pub(crate) mod prompt_tune;
pub(crate) mod random_prompt;

mod checkpoints;
pub(crate) mod drift;
mod foreign;
mod inputs;
mod labels;
mod measure;
mod options;
mod prompts;
mod results;
mod rows;
mod select;
mod training;

pub(crate) use labels::impossible_labels;
pub use results::PROMPT_DIRECTORY;
pub(crate) use rows::{evaluation_rows, shots_seed, training_rows};

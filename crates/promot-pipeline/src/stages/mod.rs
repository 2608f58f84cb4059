//! What each kind of stage does, a file each. A new kind is a file, a line here, a variant of
//! [`crate::plan::StageKind`] and its parameters.

pub(crate) mod data;
pub(crate) mod eval;
pub(crate) mod gradients;
pub(crate) mod lora_tune;
pub(crate) mod mix;
pub(crate) mod model_tune;
pub(crate) mod pretrain;
pub(crate) mod prompt_tune;

mod checkpoints;
pub(crate) mod drift;
mod foreign;
mod measure;
mod rows;
mod training;

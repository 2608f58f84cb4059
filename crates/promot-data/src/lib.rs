//! promot-data

pub mod fewshot;
pub mod metric;
pub mod mini;
mod postprocess;
pub mod record;
pub mod source;
pub mod split;
pub mod task;
pub mod tokenizer;
pub mod training;

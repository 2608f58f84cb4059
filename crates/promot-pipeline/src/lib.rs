//! promot-pipeline

pub mod builtin;
pub mod diagnostic;
pub mod plan;
pub mod report;
pub mod run;
pub mod spec;
mod stages;

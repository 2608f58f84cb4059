//! promot-model

pub mod arch;
pub mod backend;
pub mod checkpoint;
pub mod gemm;
pub mod generate;
pub mod graph;
pub mod ops;
pub mod optim;
pub mod param;
pub mod prompt;
pub mod train;

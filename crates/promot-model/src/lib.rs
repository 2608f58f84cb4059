//! promot-model

pub mod backend;
pub mod gemm;
pub mod graph;
pub mod ops;

//! T5 and Llama models with soft prompts: fused ops, training, decoding, and checkpoints that
//! Hugging Face tools read and write.
//!
//! Everything is generic over a [`backend::Backend`]; [`backend::Host`] computes on the CPU over
//! dfdx tensors and dfdx' tape, [`backend::Gpu`] on an NVIDIA GPU. Batches are ragged: there is no padding anywhere, and the result
//! for one sequence does not depend on the others.
//!
//! A small model from random weights, its training loss, and the gradient of a soft prompt before
//! a model that stays frozen, as in stage 1 of ProMoT:
//!
//! ```
//! use promot_core::{Ragged, Seed, TokenBatch};
//! use promot_model::arch::{LossOptions, Model, T5, T5Config};
//! use promot_model::backend::{Device, Host};
//! use promot_model::graph::{Graph, Var};
//! use promot_model::ops::cross_entropy::LabelSmoothing;
//! use promot_model::prompt::{PromptInit, SoftPrompt};
//!
//! let config = T5Config::from_json(
//!     br#"{"vocab_size": 50, "d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2,
//!         "num_heads": 4, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false}"#,
//! )?;
//! let device = Host::new();
//! let model = Model::from(T5::new(&device, config, false, Seed::new(0)));
//!
//! let prompt = SoftPrompt::init(&model, 5, PromptInit::Uniform, Seed::new(1));
//! let prompt = Var::leaf(prompt.to_tensor(&device));
//! let inputs = Ragged::from_rows([[7u32, 8, 9, 1].as_slice(), &[10, 1]]);
//! let targets = Ragged::from_rows([[11u32, 1].as_slice(), &[12, 1]]);
//! let batch = TokenBatch::new(inputs, targets).with_prompt(0);
//!
//! let mut graph = Graph::training(&device, Default::default());
//! let options = LossOptions {
//!     tune_model: false,
//!     smoothing: LabelSmoothing::t5x(0.1),
//!     dropout: None,
//!     lora_dropout: None,
//!     recompute: false,
//! };
//! let loss = model.loss(&mut graph, &batch, &[prompt.clone()], &options);
//! let mut gradients = graph.backward(&loss, 1.0);
//! let gradient = Host::take_gradient(&mut gradients, &prompt.slot().unwrap());
//! assert_eq!(gradient.len(), 5 * 16);
//! assert!(gradient.iter().any(|&value| value != 0.0));
//! # Ok::<(), promot_model::arch::ConfigError>(())
//! ```
//!
//! [`train::train`] does this for as many steps as asked for and goes on where an interrupted run
//! stopped; [`arch::Model::generate`] decodes; [`checkpoint`] reads and writes directories in
//! Hugging Face's and PEFT's layouts.

pub mod alignment;
pub mod arch;
pub mod backend;
pub mod checkpoint;
pub mod gemm;
pub mod generate;
pub mod graph;
pub mod lora;
pub mod ops;
pub mod optim;
pub mod param;
pub mod prompt;
pub mod recompute;
pub mod selftest;
mod slices;
pub mod train;

//! Soft prompts: trainable rows that stand before the embedded input (paper section 4, stage 1).

use promot_core::Seed;
use rand::Rng as _;

use crate::arch::Model;
use crate::backend::{Backend, Device};

/// The rows of a soft prompt, `(P, D)`.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftPrompt {
    values: Vec<f32>,
    d_model: usize,
}

/// What a soft prompt starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptInit {
    /// Rows of the embedding table, sampled without the first `skip` ids (special tokens), as
    /// Lester et al. 2021 do.
    Vocabulary {
        /// How many ids at the start of the vocabulary are left out.
        skip: usize,
    },
    /// Uniform in (-0.5, 0.5), as Lester et al. 2021 do in their random baseline.
    Uniform,
}

impl SoftPrompt {
    /// A prompt from its rows.
    ///
    /// # Panics
    /// If `values` is not a whole number of rows of `d_model`.
    pub fn new(values: Vec<f32>, d_model: usize) -> Self {
        assert!(
            d_model > 0 && values.len().is_multiple_of(d_model),
            "rows of {d_model} values"
        );
        Self { values, d_model }
    }

    /// A fresh prompt of `length` rows for `model`.
    pub fn init<B: Backend>(model: &Model<B>, length: usize, init: PromptInit, seed: Seed) -> Self {
        let mut stream = seed.stream("soft prompt", "initial values");
        let d_model = model.config().d_model();
        let values = match init {
            PromptInit::Uniform => (0..length * d_model)
                .map(|_| stream.random_range(-0.5..0.5))
                .collect(),
            PromptInit::Vocabulary { skip } => {
                let table = model.device().download(B::slice(model.embedding_table()));
                let vocab_size = model.config().vocab_size();
                let first = skip.min(vocab_size - 1);
                let mut row = || stream.random_range(first..vocab_size);
                (0..length)
                    .flat_map(|_| table[row() * d_model..][..d_model].to_vec())
                    .collect()
            }
        };
        Self::new(values, d_model)
    }

    /// Rows (P).
    pub fn length(&self) -> usize {
        self.values.len() / self.d_model
    }

    /// Columns (D): must be the model's `d_model`.
    pub fn d_model(&self) -> usize {
        self.d_model
    }

    /// The rows, one after another.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The prompt as a tensor on a device.
    pub fn to_tensor<D: Device>(&self, device: &D) -> D::Tensor {
        device.tensor(
            device.upload(self.values.clone()),
            (self.length(), self.d_model),
        )
    }

    /// The prompt that `tensor` holds.
    pub fn from_tensor<D: Device>(device: &D, tensor: &D::Tensor) -> Self {
        Self::new(device.download(D::slice(tensor)), D::shape(tensor).1)
    }
}

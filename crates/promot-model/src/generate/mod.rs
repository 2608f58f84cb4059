//! Greedy decoding and beam search over anything that decodes a token a row and step.

mod beam;
mod candidates;
mod greedy;
#[cfg(test)]
mod tests;

use crate::arch::T5;
use crate::backend::Backend;
use crate::graph::Var;
use promot_core::Ragged;

/// Decodes rows in step: each call feeds one token to every row.
pub trait Decoder {
    /// How many tokens there are to choose from (V).
    fn vocab_size(&self) -> usize;
    /// Feeds one token to every row; returns the logits of the next one, `(rows, V)` row by row.
    fn step(&mut self, tokens: &[u32]) -> Vec<f32>;
    /// Keeps `rows[i]` as row `i`: repeats and drops rows and re-orders those that answer one
    /// source, never past those of another.
    fn select(&mut self, rows: &[usize]);
}

/// How scores of hypotheses of different lengths are compared; higher is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LengthPenalty {
    /// Sum of log-probabilities divided by `length^alpha` (Hugging Face transformers; 1 by default).
    HuggingFace {
        /// The exponent.
        alpha: f32,
    },
    /// Sum of log-probabilities divided by `((5 + length) / 6)^alpha` (T5X; 0.6 by default).
    T5x {
        /// The exponent.
        alpha: f32,
    },
}

impl LengthPenalty {
    /// What a sum of log-probabilities over `length` tokens is divided by.
    pub fn divisor(self, length: usize) -> f32 {
        match self {
            Self::HuggingFace { alpha } => (length as f32).powf(alpha),
            Self::T5x { alpha } => ((5.0 + length as f32) / 6.0).powf(alpha),
        }
    }
}

/// How to decode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GenerateOptions {
    /// Tokens at most, the end-of-sequence token included.
    pub max_new_tokens: usize,
    /// Beam width; 1 is greedy decoding. The paper uses 4 (section A.2.4).
    pub beams: usize,
    /// How hypotheses of different lengths are compared.
    pub length_penalty: LengthPenalty,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_new_tokens: 32,
            beams: 4,
            length_penalty: LengthPenalty::HuggingFace { alpha: 1.0 },
        }
    }
}

/// Tokens that decoding starts from and ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// The first input.
    pub start: u32,
    /// The token that ends a sequence.
    pub eos: u32,
}

/// Decodes every row of `decoder`: token ids without the start and end tokens, in row order.
///
/// A row's answer does not depend on the other rows.
///
/// # Panics
/// If `options.beams` or `options.max_new_tokens` is 0.
pub fn decode(
    decoder: &mut impl Decoder,
    rows: usize,
    tokens: SpecialTokens,
    options: &GenerateOptions,
) -> Vec<Vec<u32>> {
    assert!(
        options.beams > 0 && options.max_new_tokens > 0,
        "a width and a length to decode"
    );
    match options.beams {
        1 => greedy::decode(decoder, rows, tokens, options.max_new_tokens),
        _ => beam::decode(decoder, rows, tokens, options),
    }
}

/// Answers a ragged batch of inputs, each after its soft prompt if `prompt_of` names one.
pub fn generate<B: Backend>(
    model: &T5<B>,
    inputs: &Ragged,
    prompts: &[Var<B>],
    prompt_of: &[Option<usize>],
    options: &GenerateOptions,
) -> Vec<Vec<u32>> {
    let encoded = model.encode(inputs, prompts, prompt_of);
    let tokens = SpecialTokens {
        start: model.config().decoder_start_token_id,
        eos: model.config().eos_token_id,
    };
    decode(
        &mut model.decoder_for(&encoded),
        inputs.len(),
        tokens,
        options,
    )
}

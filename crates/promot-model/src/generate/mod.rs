//! Greedy decoding and beam search over anything that decodes a token a row and step.

mod beam;
mod greedy;
mod next_tokens;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

pub use next_tokens::NextTokens;

use crate::backend::Backend;
pub use crate::ops::top_tokens::NextToken;

/// Decodes rows in step: each call feeds one token to every row.
pub trait Decoder {
    /// Where the logits are.
    type Device: Backend;
    /// Feeds one token to every row; returns what may come next.
    fn step(&mut self, tokens: &[u32]) -> NextTokens<Self::Device>;
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
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// Tokens at most, the one that ends the answer included.
    pub max_new_tokens: usize,
    /// Beam width; 1 is greedy decoding. The paper uses 4 (section A.2.4).
    pub beams: usize,
    /// How hypotheses of different lengths are compared.
    pub length_penalty: LengthPenalty,
    /// Tokens that end an answer, beside the model's own end-of-sequence token: a line break, for a
    /// model that would go on with a worked example of its own.
    pub ends: Arc<[u32]>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_new_tokens: 32,
            beams: 4,
            length_penalty: LengthPenalty::HuggingFace { alpha: 1.0 },
            ends: Arc::new([]),
        }
    }
}

/// Decodes every row of `decoder`, which is first fed `starts`: token ids without the one that
/// starts an answer and without any of `ends`, the tokens that end it, in row order.
///
/// A row's answer does not depend on the other rows.
///
/// # Panics
/// If `options.beams` or `options.max_new_tokens` is 0.
pub fn decode(
    decoder: &mut impl Decoder,
    starts: &[u32],
    ends: &[u32],
    options: &GenerateOptions,
) -> Vec<Vec<u32>> {
    assert!(
        options.beams > 0 && options.max_new_tokens > 0,
        "a width and a length to decode"
    );
    let ends: HashSet<u32> = ends.iter().chain(options.ends.iter()).copied().collect();
    match options.beams {
        1 => greedy::decode(decoder, starts, &ends, options.max_new_tokens),
        _ => beam::decode(decoder, starts, &ends, options),
    }
}

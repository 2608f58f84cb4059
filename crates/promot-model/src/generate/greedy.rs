//! The most probable token at every step.

use rayon::prelude::*;

use super::candidates::best_token;
use super::{Decoder, SpecialTokens};

pub(super) fn decode(
    decoder: &mut impl Decoder,
    rows: usize,
    tokens: SpecialTokens,
    max_new_tokens: usize,
) -> Vec<Vec<u32>> {
    let vocab_size = decoder.vocab_size();
    let mut answers = vec![Vec::new(); rows];
    // Rows that go on: which answer they write, and the token they wrote last.
    let mut active: Vec<(usize, u32)> = (0..rows).map(|row| (row, tokens.start)).collect();
    for _ in 0..max_new_tokens {
        if active.is_empty() {
            break;
        }
        let last: Vec<u32> = active.iter().map(|&(_, token)| token).collect();
        let logits = decoder.step(&last);
        let best: Vec<u32> = logits
            .par_chunks_exact(vocab_size)
            .map(best_token)
            .collect();
        let mut kept = Vec::new();
        let mut next = Vec::new();
        for (i, (&(answer, _), token)) in active.iter().zip(best).enumerate() {
            if token != tokens.eos {
                answers[answer].push(token);
                kept.push(i);
                next.push((answer, token));
            }
        }
        if kept.len() < active.len() {
            decoder.select(&kept);
        }
        active = next;
    }
    answers
}

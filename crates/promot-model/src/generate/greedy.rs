//! The most probable token at every step.

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
        let mut kept = Vec::new();
        let mut next = Vec::new();
        for (i, (&(answer, _), logits)) in active
            .iter()
            .zip(logits.chunks_exact(vocab_size))
            .enumerate()
        {
            let token = argmax(logits) as u32;
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

/// The first of the largest.
fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

//! The most probable token at every step.

use std::collections::HashSet;

use super::Decoder;

pub(super) fn decode(
    decoder: &mut impl Decoder,
    starts: &[u32],
    ends: &HashSet<u32>,
    max_new_tokens: usize,
) -> Vec<Vec<u32>> {
    let mut answers = vec![Vec::new(); starts.len()];
    // Rows that go on: which answer they write, and the token they wrote last.
    let mut active: Vec<(usize, u32)> = starts.iter().copied().enumerate().collect();
    for _ in 0..max_new_tokens {
        if active.is_empty() {
            break;
        }
        let last: Vec<u32> = active.iter().map(|&(_, token)| token).collect();
        let best = decoder.step(&last).best();
        let mut kept = Vec::new();
        let mut next = Vec::new();
        for (i, (&(answer, _), token)) in active.iter().zip(best).enumerate() {
            if !ends.contains(&token) {
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

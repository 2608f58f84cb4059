//! The most probable tokens, from logits. Vocabularies are long and few of their tokens matter: a
//! block of tokens is looked at one by one only if the largest of its logits is large enough.

use crate::ops::math;
use crate::ops::parallel::vectorized;

/// Tokens in one block.
const BLOCK: usize = 256;

/// A continuation of a beam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) beam: usize,
    pub(super) token: u32,
    pub(super) log_probability: f32,
}

/// The `count` most probable continuations of beams with these `log_probabilities`, best first; of
/// equals the first beam and token. `logits` is `(beams, V)`.
pub(super) fn best_candidates(
    log_probabilities: impl Iterator<Item = f32>,
    logits: &[f32],
    vocab_size: usize,
    count: usize,
) -> Vec<Candidate> {
    let mut best: Vec<Candidate> = Vec::with_capacity(count + 1);
    let rows = log_probabilities.zip(logits.chunks_exact(vocab_size));
    for (beam, (so_far, logits)) in rows.enumerate() {
        let shift = log_sum_exp(logits);
        let log_probability = |logit: f32| so_far + (logit - shift);
        for (block, logits) in logits.chunks(BLOCK).enumerate() {
            let is_worse = |p: f32, best: &[Candidate]| {
                best.len() == count && p <= best[count - 1].log_probability
            };
            if is_worse(log_probability(largest(logits)), &best) {
                continue;
            }
            for (token, &logit) in (block * BLOCK..).zip(logits) {
                let log_probability = log_probability(logit);
                if is_worse(log_probability, &best) {
                    continue;
                }
                let place = best.partition_point(|c| c.log_probability >= log_probability);
                let candidate = Candidate {
                    beam,
                    token: token as u32,
                    log_probability,
                };
                best.insert(place, candidate);
                best.truncate(count);
            }
        }
    }
    best
}

/// The token with the largest logit; of equals the first.
pub(super) fn best_token(logits: &[f32]) -> u32 {
    let (mut best, mut top) = (0, f32::NEG_INFINITY);
    for (block, logits) in logits.chunks(BLOCK).enumerate() {
        if largest(logits) > top {
            for (token, &logit) in (block * BLOCK..).zip(logits) {
                if logit > top {
                    (best, top) = (token, logit);
                }
            }
        }
    }
    best as u32
}

vectorized! {
    fn largest(logits: &[f32]) -> f32 {
        math::max(logits)
    }

    fn log_sum_exp(logits: &[f32]) -> f32 {
        let top = math::max(logits);
        top + math::exp_sum(logits, top).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::values;

    /// All continuations in f64, sorted.
    fn by_sorting(log_probabilities: &[f32], logits: &[f32], vocab_size: usize) -> Vec<(f64, u32)> {
        let mut all = Vec::new();
        for (so_far, logits) in log_probabilities.iter().zip(logits.chunks(vocab_size)) {
            let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
            let p = |&x: &f32| f64::from(*so_far) + f64::from(x) - sum.ln();
            all.extend(logits.iter().map(p).zip(0..));
        }
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all
    }

    #[test]
    fn candidates_are_the_best_of_all_sorted() {
        for (beams, vocab_size, count) in [(1, 3, 8), (4, 300, 8), (3, 256, 1), (4, 5000, 8)] {
            let logits: Vec<f32> = values(beams * vocab_size, 5)
                .iter()
                .map(|x| 9.0 * x)
                .collect();
            let log_probabilities = values(beams, 6);
            let expected = by_sorting(&log_probabilities, &logits, vocab_size);
            let so_far = log_probabilities.iter().copied();
            let found = best_candidates(so_far, &logits, vocab_size, count);
            assert_eq!(found.len(), count.min(beams * vocab_size));
            for (candidate, (p, token)) in found.iter().zip(&expected) {
                assert_eq!(candidate.token, *token, "{found:?}");
                assert!((f64::from(candidate.log_probability) - p).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn of_equals_the_first_is_taken() {
        let mut logits = vec![0.0; 1000];
        for token in [300, 310, 700] {
            logits[token] = 2.0;
        }
        assert_eq!(best_token(&logits), 300);
        let tokens = best_candidates([0.0, 0.0].into_iter(), &logits, 500, 3);
        let tokens: Vec<_> = tokens.iter().map(|c| (c.beam, c.token)).collect();
        // The second beam's logits have one large number only, so it is more probable.
        assert_eq!(tokens, [(1, 200), (0, 300), (0, 310)]);
        assert_eq!(best_token(&[1.0; 600]), 0);
    }

    #[test]
    fn logits_that_are_no_numbers_do_no_harm() {
        assert_eq!(best_token(&[f32::NAN, 1.0, f32::NAN]), 1);
        assert_eq!(best_token(&[f32::NAN; 3]), 0);
        let found = best_candidates([0.0].into_iter(), &[f32::NAN; 300], 300, 4);
        assert_eq!(found.len(), 4);
    }
}

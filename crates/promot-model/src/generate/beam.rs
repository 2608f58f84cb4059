//! Beam search with the semantics of Hugging Face transformers (`early_stopping: false`).
//!
//! At every step the `2 * beams` best continuations of a row's beams are looked at in order: one
//! that ends is a finished hypothesis if it is among the first `beams`, the others fill the beams.
//! A row is done when it has `beams` hypotheses and its best running beam can no longer beat the
//! worst of them.

use std::collections::HashSet;

use super::{Decoder, GenerateOptions, LengthPenalty, NextToken};

#[derive(Clone)]
struct Hypothesis {
    tokens: Vec<u32>,
    score: f32,
}

/// The best finished hypotheses of one row.
struct Finished {
    beams: usize,
    penalty: LengthPenalty,
    hypotheses: Vec<Hypothesis>,
}

impl Finished {
    /// Adds a hypothesis of `length` generated tokens (an end token counts) and drops the worst
    /// beyond `beams`.
    fn add(&mut self, tokens: Vec<u32>, log_probability: f32, length: usize) {
        let score = log_probability / self.penalty.divisor(length);
        let place = self.hypotheses.partition_point(|h| h.score >= score);
        if place < self.beams {
            self.hypotheses.insert(place, Hypothesis { tokens, score });
            self.hypotheses.truncate(self.beams);
        }
    }

    /// Whether a running beam of `length` tokens can no longer get among the best.
    fn is_done(&self, best_running: f32, length: usize) -> bool {
        match self.hypotheses.last() {
            Some(worst) if self.hypotheses.len() == self.beams => {
                worst.score >= best_running / self.penalty.divisor(length)
            }
            _ => false,
        }
    }
}

/// A row that is still searched.
struct Search {
    row: usize,
    beams: Vec<Beam>,
    finished: Finished,
}

#[derive(Clone)]
struct Beam {
    tokens: Vec<u32>,
    log_probability: f32,
}

impl Beam {
    /// The token to go on from.
    fn last(&self, start: u32) -> u32 {
        self.tokens.last().copied().unwrap_or(start)
    }
}

pub(super) fn decode(
    decoder: &mut impl Decoder,
    starts: &[u32],
    ends: &HashSet<u32>,
    options: &GenerateOptions,
) -> Vec<Vec<u32>> {
    let mut answers = vec![Vec::new(); starts.len()];
    let mut searches: Vec<Search> = (0..starts.len())
        .map(|row| Search {
            row,
            // One beam to begin with: copies of it would only repeat its continuations.
            beams: vec![Beam {
                tokens: Vec::new(),
                log_probability: 0.0,
            }],
            finished: Finished {
                beams: options.beams,
                penalty: options.length_penalty,
                hypotheses: Vec::new(),
            },
        })
        .collect();

    for length in 1..=options.max_new_tokens {
        if searches.is_empty() {
            break;
        }
        let inputs: Vec<u32> = searches
            .iter()
            .flat_map(|s| s.beams.iter().map(|beam| beam.last(starts[s.row])))
            .collect();
        let count = 2 * options.beams;
        let next_tokens = decoder.step(&inputs).top(count);

        let mut kept = Vec::new();
        let mut next = Vec::new();
        let mut first_row = 0;
        for mut search in searches {
            let rows = search.beams.len();
            let next_tokens = &next_tokens[first_row..][..rows];
            let candidates = best_candidates(&search.beams, next_tokens, count);
            let (beams, sources) = advance(&mut search, &candidates, ends, length);
            let best = beams
                .first()
                .map_or(f32::NEG_INFINITY, |beam| beam.log_probability);
            let out_of_tokens = length == options.max_new_tokens;
            if out_of_tokens || beams.is_empty() || search.finished.is_done(best, length) {
                if !search.finished.is_done(best, length) {
                    for beam in beams {
                        search
                            .finished
                            .add(beam.tokens, beam.log_probability, length);
                    }
                }
                let best = search.finished.hypotheses.into_iter().next();
                answers[search.row] = best.map(|h| h.tokens).unwrap_or_default();
            } else {
                kept.extend(sources.into_iter().map(|beam| first_row + beam));
                next.push(Search { beams, ..search });
            }
            first_row += rows;
        }
        decoder.select(&kept);
        searches = next;
    }
    answers
}

/// A continuation of a beam.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    beam: usize,
    token: u32,
    log_probability: f32,
}

/// The `count` best continuations of a row's beams, best first; of equals those of the first beam, in its
/// order.
fn best_candidates(beams: &[Beam], next_tokens: &[Vec<NextToken>], count: usize) -> Vec<Candidate> {
    let mut all = Vec::new();
    for (index, (beam, next)) in beams.iter().zip(next_tokens).enumerate() {
        all.extend(next.iter().map(|next| Candidate {
            beam: index,
            token: next.token,
            log_probability: beam.log_probability + next.log_probability,
        }));
    }
    // Stable: equals stay in order.
    all.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
    all.truncate(count);
    all
}

/// Sorts candidates into finished hypotheses and the next beams; returns these and the beams they
/// continue.
fn advance(
    search: &mut Search,
    candidates: &[Candidate],
    ends: &HashSet<u32>,
    length: usize,
) -> (Vec<Beam>, Vec<usize>) {
    let width = search.finished.beams;
    let (mut beams, mut sources) = (Vec::new(), Vec::new());
    for (rank, candidate) in candidates.iter().enumerate() {
        let mut tokens = search.beams[candidate.beam].tokens.clone();
        if ends.contains(&candidate.token) {
            if rank < width {
                search
                    .finished
                    .add(tokens, candidate.log_probability, length);
            }
        } else if beams.len() < width {
            tokens.push(candidate.token);
            beams.push(Beam {
                tokens,
                log_probability: candidate.log_probability,
            });
            sources.push(candidate.beam);
        }
    }
    (beams, sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beam(log_probability: f32) -> Beam {
        Beam {
            tokens: Vec::new(),
            log_probability,
        }
    }

    fn next(tokens: [(u32, f32); 3]) -> Vec<NextToken> {
        let next = |(token, log_probability)| NextToken {
            token,
            log_probability,
        };
        tokens.map(next).to_vec()
    }

    #[test]
    fn candidates_are_the_best_of_all_beams_and_may_be_more_than_a_beam_has() {
        let beams = [beam(-1.0), beam(-1.5)];
        let next_tokens = [
            next([(4, -0.5), (7, -1.0), (2, -4.0)]),
            next([(7, -0.25), (3, -0.5), (1, -9.0)]),
        ];
        let best = |count| -> Vec<(usize, u32, f32)> {
            let best = best_candidates(&beams, &next_tokens, count);
            let parts = |c: &Candidate| (c.beam, c.token, c.log_probability);
            best.iter().map(parts).collect()
        };
        // Of equals the first beam's.
        let expected = [
            (0, 4, -1.5),
            (1, 7, -1.75),
            (0, 7, -2.0),
            (1, 3, -2.0),
            (0, 2, -5.0),
        ];
        assert_eq!(best(5), expected);
        assert_eq!(best(2), expected[..2]);
        assert_eq!(best(100).len(), 6);
    }
}

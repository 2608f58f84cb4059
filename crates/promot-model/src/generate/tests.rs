//! Decoding of Markov chains, whose best answers can be found by trying all.

use super::*;
use crate::backend::{Device as _, Host};
use crate::graph::Var;

const START: u32 = 0;
const END: u32 = 1;
const VOCAB: usize = 5;

/// The next token depends on the last one and on the row's source.
struct Markov {
    sources: Vec<u64>,
    /// Sum of all `select`ed row counts: how much work decoding asked for.
    rows_stepped: usize,
}

impl Markov {
    fn new(sources: &[u64]) -> Self {
        Self {
            sources: sources.to_vec(),
            rows_stepped: 0,
        }
    }

    fn logits(source: u64, token: u32) -> Vec<f32> {
        (0..VOCAB as u64)
            .map(|next| {
                let mix = (source * 31 + u64::from(token) * 7 + next + 1)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15);
                (mix >> 40) as f32 / 16_777_216.0 * 4.0
            })
            .collect()
    }
}

impl Decoder for Markov {
    type Device = Host;

    fn step(&mut self, tokens: &[u32]) -> NextTokens<Host> {
        assert_eq!(tokens.len(), self.sources.len());
        self.rows_stepped += tokens.len();
        let rows = self.sources.iter().zip(tokens);
        let logits = rows.flat_map(|(&s, &t)| Self::logits(s, t)).collect();
        let host = Host::new();
        let logits = host.tensor(logits, (tokens.len(), VOCAB));
        NextTokens::new(&host, Var::constant(logits))
    }
    fn select(&mut self, rows: &[usize]) {
        self.sources = rows.iter().map(|&row| self.sources[row]).collect();
    }
}

fn options(beams: usize, max_new_tokens: usize) -> GenerateOptions {
    GenerateOptions {
        max_new_tokens,
        beams,
        ..GenerateOptions::default()
    }
}

/// The best answer of at most `max` tokens by trying all.
fn exhaustive(source: u64, max: usize, penalty: LengthPenalty) -> Vec<u32> {
    let mut best = (f32::NEG_INFINITY, Vec::new());
    let mut open = vec![(Vec::new(), 0.0f32)];
    for length in 1..=max {
        let mut longer = Vec::new();
        for (tokens, score) in open {
            let mut logits = Markov::logits(source, tokens.last().copied().unwrap_or(START));
            log_softmax(&mut logits);
            for (token, p) in logits.iter().enumerate() {
                let total = score + p;
                let mut next: Vec<u32> = tokens.clone();
                if token as u32 != END {
                    next.push(token as u32);
                }
                if token as u32 == END || length == max {
                    let value = total / penalty.divisor(length);
                    if value > best.0 {
                        best = (value, next.clone());
                    }
                }
                if token as u32 != END {
                    longer.push((next, total));
                }
            }
        }
        open = longer;
    }
    best.1
}

#[test]
fn a_beam_as_wide_as_the_tree_finds_the_best_answer() {
    let penalties = [
        LengthPenalty::HuggingFace { alpha: 1.0 },
        LengthPenalty::HuggingFace { alpha: 0.0 },
        LengthPenalty::T5x { alpha: 0.6 },
    ];
    for source in 0..40 {
        for penalty in penalties {
            let options = GenerateOptions {
                length_penalty: penalty,
                ..options(400, 4)
            };
            let answers = decode(&mut Markov::new(&[source]), &[START], &[END], &options);
            assert_eq!(
                answers[0],
                exhaustive(source, 4, penalty),
                "source {source}, {penalty:?}"
            );
        }
    }
}

#[test]
fn greedy_follows_the_most_probable_token_and_finished_rows_leave() {
    let sources: Vec<u64> = (0..30).collect();
    let mut decoder = Markov::new(&sources);
    let answers = decode(
        &mut decoder,
        &vec![START; sources.len()],
        &[END],
        &options(1, 6),
    );
    for (&source, answer) in sources.iter().zip(&answers) {
        let mut last = START;
        let mut expected = Vec::new();
        for _ in 0..6 {
            let logits = Markov::logits(source, last);
            last = (0..VOCAB)
                .rev()
                .max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
                .unwrap() as u32;
            if last == END {
                break;
            }
            expected.push(last);
        }
        assert_eq!(answer, &expected, "source {source}");
    }
    assert!(
        decoder.rows_stepped < 6 * sources.len(),
        "finished rows were stepped"
    );
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    let sources: Vec<u64> = (0..25).collect();
    for beams in [1, 2, 4] {
        let together = decode(
            &mut Markov::new(&sources),
            &[START; 25],
            &[END],
            &options(beams, 8),
        );
        for (&source, answer) in sources.iter().zip(&together) {
            let alone = decode(
                &mut Markov::new(&[source]),
                &[START],
                &[END],
                &options(beams, 8),
            );
            assert_eq!(&alone[0], answer, "source {source}, {beams} beams");
        }
    }
}

#[test]
fn one_token_at_most_is_one_token_at_most() {
    for beams in [1, 4] {
        let answers = decode(
            &mut Markov::new(&[1, 2, 3]),
            &[START; 3],
            &[END],
            &options(beams, 1),
        );
        assert!(
            answers.iter().all(|answer| answer.len() <= 1),
            "{answers:?}"
        );
    }
}

/// Logits to log-probabilities, in place.
fn log_softmax(logits: &mut [f32]) {
    let max = logits.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let sum: f32 = logits.iter().map(|&x| (x - max).exp()).sum();
    let shift = max + sum.ln();
    logits.iter_mut().for_each(|x| *x -= shift);
}

#[test]
fn any_of_several_tokens_ends_an_answer() {
    for beams in [1, 3] {
        let options = GenerateOptions {
            ends: Arc::new([3]),
            ..options(beams, 8)
        };
        let sources: Vec<u64> = (0..20).collect();
        let answers = decode(&mut Markov::new(&sources), &[START; 20], &[END], &options);
        assert!(
            answers
                .iter()
                .flatten()
                .all(|&token| token != 3 && token != END)
        );
        assert!(answers.iter().any(|answer| answer.len() < 7), "{answers:?}");
    }
}

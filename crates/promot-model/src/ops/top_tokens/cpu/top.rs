//! The best tokens of a row and their probabilities. Vocabularies are long and few of their tokens matter: a
//! block of tokens is looked at one by one only if one of its logits is large enough.

use super::OfRow;
use crate::gemm::vectorized;
use crate::ops::math::{self, LANES};
use crate::ops::top_tokens::NextToken;

/// Tokens in one block.
const BLOCK: usize = 16;
/// Blocks that are asked for large logits at once.
const BLOCKS: usize = 32;

/// The best tokens so far, and the sum of all exponentials.
pub(super) struct TopOfRow {
    count: usize,
    /// Best first; where log-probabilities belong are logits still.
    top: Vec<NextToken>,
    /// The largest logit that is a number.
    largest: f32,
    /// Of the exponentials of logits less the largest, side by side.
    sums: [f32; LANES],
}

impl TopOfRow {
    /// Of no logits, for at most `count` tokens.
    pub(super) fn new(count: usize) -> Self {
        Self {
            count,
            top: Vec::new(),
            largest: f32::NEG_INFINITY,
            sums: [0.0; LANES],
        }
    }

    /// The tokens with their log-probabilities; with logits where there is no probability at all.
    pub(super) fn finish(self) -> Vec<NextToken> {
        let log_sum_exp = self.largest + self.sums.iter().sum::<f32>().ln();
        let shift = if log_sum_exp.is_finite() {
            log_sum_exp
        } else {
            0.0
        };
        let mut top = self.top;
        for token in &mut top {
            token.log_probability -= shift;
        }
        top
    }

    /// Brings the sums to another largest logit.
    fn raise(&mut self, largest: f32) {
        if largest > self.largest {
            let factor = (self.largest - largest).exp();
            self.sums.iter_mut().for_each(|sum| *sum *= factor);
            self.largest = largest;
        }
    }

    /// The logit that is beaten by as many as are wanted, if there is one.
    fn worst(&self) -> Option<f32> {
        let last = self.top.last().filter(|_| self.top.len() == self.count);
        last.map(|worst| worst.log_probability)
    }

    /// Puts a token in its place, behind its equals, if it is good enough.
    fn consider(&mut self, found: NextToken) {
        let logit = found.log_probability;
        if self.count == 0 || self.worst().is_some_and(|worst| logit <= worst) {
            return;
        }
        let place = (self.top).partition_point(|better| better.log_probability >= logit);
        self.top.insert(place, found);
        self.top.truncate(self.count);
    }
}

impl OfRow for TopOfRow {
    fn see(&mut self, first: usize, logits: &[f32], floor: f32) {
        self.raise(largest(logits));
        if self.largest > f32::NEG_INFINITY {
            add_exponentials(&mut self.sums, logits, self.largest);
        }
        for (i, logits) in logits.chunks(BLOCK * BLOCKS).enumerate() {
            let first = first + i * BLOCK * BLOCKS;
            let floor = self.worst().unwrap_or(f32::NEG_INFINITY).max(floor);
            let blocks = logits
                .chunks(BLOCK)
                .zip(reaching(logits, floor))
                .enumerate();
            for (block, (logits, _)) in blocks.filter(|(_, (_, reaches))| *reaches) {
                for (token, &logit) in (first + block * BLOCK..).zip(logits) {
                    self.consider(NextToken {
                        token: token as u32,
                        log_probability: number(logit),
                    });
                }
            }
        }
    }

    fn floor(&self) -> f32 {
        self.worst().unwrap_or(f32::NEG_INFINITY)
    }

    fn merge(&mut self, later: Self) {
        self.raise(later.largest);
        if self.largest > f32::NEG_INFINITY {
            let factor = (later.largest - self.largest).exp();
            let sums = self.sums.iter_mut().zip(later.sums);
            sums.for_each(|(sum, later)| *sum += factor * later);
        }
        later.top.into_iter().for_each(|found| self.consider(found));
    }
}

/// The logit, or minus infinity if it is no number.
fn number(logit: f32) -> f32 {
    logit.max(f32::NEG_INFINITY)
}

vectorized! {
    /// The largest that is a number.
    pub(super) fn largest(logits: &[f32]) -> f32 {
        math::max(logits)
    }

    /// Those of logits that are numbers.
    fn add_exponentials(sums: &mut [f32; LANES], logits: &[f32], shift: f32) {
        math::add_exponentials::<true>(sums, logits, shift);
    }

    /// Which blocks have a logit that is not below `floor`, or is no number.
    fn reaching(logits: &[f32], floor: f32) -> [bool; BLOCKS] {
        let mut reaching = [false; BLOCKS];
        for (reaches, logits) in reaching.iter_mut().zip(logits.chunks(BLOCK)) {
            let one = |reaches, &x: &f32| reaches | (x >= floor) | x.is_nan();
            *reaches = logits.iter().fold(false, one);
        }
        reaching
    }
}

//! The best token of a row.

use super::OfRow;
use super::top::largest;

/// The first of the tokens with the largest logit; the first one of all if there is none that is a number.
pub(super) struct BestOfRow {
    token: usize,
    logit: f32,
}

impl Default for BestOfRow {
    fn default() -> Self {
        Self {
            token: 0,
            logit: f32::NEG_INFINITY,
        }
    }
}

impl BestOfRow {
    pub(super) fn token(&self) -> u32 {
        self.token as u32
    }
}

impl OfRow for BestOfRow {
    fn see(&mut self, first: usize, logits: &[f32], _floor: f32) {
        let logit = largest(logits);
        if logit > self.logit {
            let place = logits.iter().position(|&x| x == logit);
            let token = first + place.expect("the largest is one of them");
            *self = Self { token, logit };
        }
    }

    fn floor(&self) -> f32 {
        self.logit
    }

    fn merge(&mut self, later: Self) {
        if later.logit > self.logit {
            *self = later;
        }
    }
}

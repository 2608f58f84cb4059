//! The choice against all tokens sorted.

use super::*;
use crate::backend::Host;
use crate::backend::gpu::emulated::{emulated, schedules};
use crate::gemm::Precision;
use crate::ops::testing::values;

/// Checks the CPU, and the second device under all schedules.
fn on_all_devices(check: impl Fn(&dyn Chooser)) {
    check(&Host::new());
    for &schedule in schedules() {
        check(&emulated(Precision::F32, schedule));
    }
}

/// A device with logits of the host.
trait Chooser {
    fn best(&self, logits: &[f32], vocab_size: usize) -> Vec<u32>;
    fn top(&self, logits: &[f32], vocab_size: usize, count: usize) -> Vec<NextToken>;
}

impl<D: Kernels> Chooser for D {
    fn best(&self, logits: &[f32], vocab_size: usize) -> Vec<u32> {
        let logits = self.upload(logits.to_vec());
        let best = self.best_tokens(logits.as_ref(), vocab_size);
        self.check().unwrap();
        best
    }

    fn top(&self, logits: &[f32], vocab_size: usize, count: usize) -> Vec<NextToken> {
        let logits = self.upload(logits.to_vec());
        let top = self.top_tokens(logits.as_ref(), vocab_size, count);
        self.check().unwrap();
        top
    }
}

/// All tokens of a row with their log-probabilities in f64, sorted.
fn by_sorting(logits: &[f32]) -> Vec<(f64, u32)> {
    let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
    let p = |&x: &f32| f64::from(x) - sum.ln();
    let mut all: Vec<_> = logits.iter().map(p).zip(0..).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all
}

#[test]
fn the_best_of_all_sorted() {
    on_all_devices(|device| {
        for (rows, vocab_size, count) in [(1, 3, 8), (4, 300, 8), (3, 256, 1), (4, 5000, 8)] {
            let logits = values(rows * vocab_size, 5);
            let logits: Vec<f32> = logits.iter().map(|x| 9.0 * x).collect();
            let found = device.top(&logits, vocab_size, count);
            let count = count.min(vocab_size);
            assert_eq!(found.len(), rows * count);
            let rows = || logits.chunks(vocab_size).zip(found.chunks(count));
            for (logits, found) in rows() {
                for (found, (p, token)) in found.iter().zip(by_sorting(logits)) {
                    assert_eq!(found.token, token);
                    assert!((f64::from(found.log_probability) - p).abs() < 1e-5);
                }
            }
            let firsts: Vec<u32> = rows().map(|(_, found)| found[0].token).collect();
            assert_eq!(device.best(&logits, vocab_size), firsts);
        }
    });
}

#[test]
fn of_equals_the_first_is_taken() {
    on_all_devices(|device| {
        let mut logits = vec![0.0; 1000];
        for token in [300, 310, 700] {
            logits[token] = 2.0;
        }
        assert_eq!(device.best(&logits, 1000), [300]);
        let top = device.top(&logits, 500, 3);
        let tokens: Vec<u32> = top.iter().map(|found| found.token).collect();
        assert_eq!(tokens, [300, 310, 0, 200, 0, 1]);
        assert_eq!(device.best(&[1.0; 600], 600), [0]);
    });
}

#[test]
fn logits_that_are_no_numbers_do_no_harm() {
    on_all_devices(|device| {
        assert_eq!(device.best(&[f32::NAN, 1.0, f32::NAN], 3), [1]);
        let top = device.top(&[f32::NAN, 1.0, f32::NAN, 2.0], 4, 2);
        assert_eq!((top[0].token, top[1].token), (3, 1));
        for nothing in [f32::NAN, f32::NEG_INFINITY] {
            assert_eq!(device.best(&[nothing; 300], 300), [0]);
            assert_eq!(device.top(&[nothing; 300], 300, 4).len(), 4);
        }
        assert!(device.best(&[], 7).is_empty());
        assert!(device.top(&[], 7, 2).is_empty());
    });
}

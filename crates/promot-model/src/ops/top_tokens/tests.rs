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
        // Lanes of a last vector that is not whole.
        for place in [1, 2, 17, 32] {
            let mut logits = [0.0; 35];
            (logits[0], logits[place]) = (5.0, f32::NAN);
            (logits[33], logits[34]) = (f32::NAN, f32::NAN);
            assert_eq!(device.best(&logits, 35), [0], "no number at {place}");
            assert_eq!(device.top(&logits, 35, 2)[0].token, 0);
        }
        for nothing in [f32::NAN, f32::NEG_INFINITY] {
            assert_eq!(device.best(&[nothing; 300], 300), [0]);
            assert_eq!(device.top(&[nothing; 300], 300, 4).len(), 4);
        }
        assert!(device.best(&[], 7).is_empty());
        assert!(device.top(&[], 7, 2).is_empty());
    });
}

/// What a head's logits say, whether they are written down or not.
fn check_head<D: Kernels>(device: &D, [rows, width, vocab_size]: [usize; 3], count: usize) {
    let name = format!("{rows} rows, {width} wide, {vocab_size} tokens, best {count}");
    let x = device.upload(values(rows * width, 6));
    let w = values(vocab_size * width, 7)
        .iter()
        .map(|x| 3.0 * x)
        .collect();
    let w = device.tensor(device.upload(w), (vocab_size, width));
    for scale in [1.0, 0.3] {
        let head = Head {
            x: x.as_ref(),
            w: &w,
            sizes: linear::Sizes {
                tokens: rows,
                in_features: width,
                out_features: vocab_size,
            },
            scale,
        };
        let logits = head.logits(device);
        let best = device.best_tokens(logits.as_ref(), vocab_size);
        assert_eq!(device.best_tokens_of(&head), best, "{name}");
        let count = count.min(vocab_size);
        let written = device.top_tokens(logits.as_ref(), vocab_size, count);
        let found = device.top_tokens_of(&head, count);
        assert_eq!(found.len(), rows * count, "{name}");
        for (found, written) in found.iter().zip(&written) {
            assert_eq!(found.token, written.token, "{name}");
            let error = (found.log_probability - written.log_probability).abs();
            assert!(error < 1e-5, "{name}: off by {error}");
        }
        device.check().unwrap();
    }
}

/// Vocabularies of less than a block, of several in one task, and of several tasks; rows of several blocks.
#[test]
fn a_head_gives_what_its_logits_say() {
    for precision in [Precision::F32, Precision::Bf16] {
        let host = Host::with_precision(precision);
        for sizes in [
            [1, 8, 3],
            [3, 33, 300],
            [70, 16, 513],
            [300, 40, 1500],
            [5, 64, 9000],
            [0, 8, 40],
        ] {
            for count in [1, 8] {
                check_head(&host, sizes, count);
            }
        }
        for &schedule in schedules() {
            check_head(&emulated(precision, schedule), [3, 33, 300], 8);
        }
    }
}

/// Which task is done first decides what others need not look at, and nothing else.
#[test]
fn one_thread_or_several_find_the_same_to_the_bit() {
    let [rows, width, vocab_size] = [40, 32, 20_000];
    let found = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let host = Host::with_precision(Precision::Bf16);
            let x = values(rows * width, 8);
            let w = host.tensor(values(vocab_size * width, 9), (vocab_size, width));
            let head = Head {
                x: x.as_slice(),
                w: &w,
                sizes: linear::Sizes {
                    tokens: rows,
                    in_features: width,
                    out_features: vocab_size,
                },
                scale: 1.0,
            };
            host.top_tokens_of(&head, 8)
        })
    };
    let alone = found(1);
    for threads in [2, 4] {
        assert_eq!(found(threads), alone, "{threads} threads");
    }
}

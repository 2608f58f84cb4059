//! `attention` on the emulated GPU against the f64 loop: around the borders of its tiles and the widths
//! of its kernels, in both precisions and under all schedules.

use super::*;
use crate::backend::gpu::emulated::{SCHEDULES, emulated, schedules};
use crate::ops::testing::gpu::run_on_gpu;

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

impl Case {
    /// As [`Case::check`], under all schedules, which have to give the same bits.
    fn check_on_gpu(&self, dropout: Option<DropoutKey>) {
        let inputs = self.inputs();
        let oracle = Oracle::new(self, &inputs, dropout);
        for precision in PRECISIONS {
            let results = schedules().iter().map(|&schedule| {
                let gpu = emulated(precision, schedule);
                let results = run_on_gpu(&gpu, &inputs, |g, v| self.op(g, v, dropout));
                let name = format!("{self:?}, {precision:?}, {dropout:?}, {schedule:?}");
                oracle.check(&name, &results, precision);
                results
            });
            let results: Vec<_> = results.collect();
            for other in results.iter().skip(1) {
                assert_eq!(results[0], *other, "{self:?}, {precision:?}, {dropout:?}");
            }
        }
    }
}

#[test]
fn equals_an_f64_loop_for_small_shapes() {
    for case in small_cases() {
        case.check_on_gpu(None);
        case.check_on_gpu(Some(DROPOUT));
    }
}

/// More blocks than the sum over their shares of the bias gradient takes at a time.
#[test]
fn equals_an_f64_loop_for_many_sequences() {
    case(&[2; 20], &[3; 20], false, true, 1.0).check_on_gpu(None);
}

#[test]
fn equals_an_f64_loop_around_borders_of_tiles() {
    for (q, k) in [
        (1, 130),
        (63, 64),
        (64, 65),
        (65, 63),
        (129, 100),
        (15, 17),
        (33, 31),
        (130, 1),
    ] {
        for causal in [false, true] {
            let case = Case {
                heads: 1,
                kv_heads: 1,
                d_kv: 16,
                ..case(&[q], &[k], causal, true, 1.0)
            };
            case.check_on_gpu(causal.then_some(DROPOUT));
        }
    }
}

#[test]
fn equals_an_f64_loop_for_all_widths_of_heads() {
    for (i, d_kv) in [1, 31, 32, 33, 36, 64, 65, 96, 127, 128]
        .into_iter()
        .enumerate()
    {
        let case = Case {
            d_kv,
            ..grouped(case(&[5, 70], &[5, 70], i % 2 == 0, i % 3 > 0, 0.2))
        };
        case.check_on_gpu((i % 4 > 1).then_some(DROPOUT));
    }
}

#[test]
fn equals_an_f64_loop_for_random_shapes_on_the_gpu() {
    let mut stream = promot_core::Stream::seed_from_u64(21);
    for _ in 0..20 {
        let case = random_case(&mut stream, 2);
        case.check_on_gpu(stream.random::<bool>().then_some(DROPOUT));
    }
}

#[test]
fn parts_and_shared_keys_are_as_on_the_cpu() {
    for &schedule in schedules() {
        for (precision, tolerance) in PRECISIONS.into_iter().zip([1e-5, 2e-2]) {
            let gpu = emulated(precision, schedule);
            check_parts(&gpu, tolerance);
            check_shared_keys(&gpu, tolerance);
        }
    }
}

#[test]
#[should_panic(expected = "a head has at most 128 columns, and this one 129")]
fn heads_wider_than_the_kernels_are_refused() {
    let case = Case {
        d_kv: 129,
        ..case(&[1], &[1], false, false, 1.0)
    };
    let gpu = emulated(Precision::F32, SCHEDULES[0]);
    run_on_gpu(&gpu, &case.inputs(), |g, v| case.op(g, v, None));
}

//! The self test on the emulated device and on the CPU, and of a device that computes nonsense.

use super::*;
use crate::backend::gpu::emulated::{SCHEDULES, emulated};
use crate::backend::{Backend, Host};

fn assert_passed(checks: &[Check]) {
    for check in checks {
        assert!(check.passed(), "{check:?}");
    }
}

fn all<B: Backend>(device: &B, precision: Precision) -> Vec<Check> {
    let mut checks = ops(device, precision).unwrap();
    checks.extend(steps(device, precision).unwrap());
    checks
}

#[test]
fn an_emulated_gpu_passes() {
    for precision in [Precision::F32, Precision::Bf16] {
        let gpu = emulated(precision, SCHEDULES[1]);
        assert_passed(&intrinsics(&gpu).unwrap());
        assert_passed(&all(&gpu, precision));
    }
}

#[test]
fn the_cpu_passes_and_is_exact_in_f32() {
    let checks = all(&Host::new(), Precision::F32);
    assert_passed(&checks);
    assert!(checks.iter().all(|check| check.error == 0.0), "{checks:?}");
    let checks = all(&Host::with_precision(Precision::Bf16), Precision::Bf16);
    assert_passed(&checks);
    let rounded = checks.iter().filter(|check| check.error > 1e-5).count();
    assert!(rounded > checks.len() / 2, "{checks:?}");
}

/// A device in another precision than it is checked for: what is not within the tolerance is told.
#[test]
fn a_device_that_rounds_fails_the_checks_of_f32() {
    let checks = all(&Host::with_precision(Precision::Bf16), Precision::F32);
    let failed: Vec<_> = checks.iter().filter(|check| !check.passed()).collect();
    assert!(failed.len() > checks.len() / 2, "{checks:?}");
    let nonsense = Check {
        error: f64::NAN,
        ..checks[0].clone()
    };
    assert!(!nonsense.passed());
}

#[test]
fn speeds_are_of_work_that_was_done() {
    for speed in speeds(&Host::new(), false).unwrap() {
        assert!(speed.seconds > 0.0 && speed.rate() > 0.0, "{speed:?}");
    }
}

//! Training on the emulated device.

use super::*;
use crate::backend::Gpu;
use crate::backend::gpu::emulated::{Broken, SCHEDULES, emulated};

/// The model's values, then the prompt's.
fn all_values<B: Backend>(trained: &Trained<B>) -> Vec<f32> {
    let prompts = trained.adapters.prompts.iter();
    let prompts = prompts.flat_map(|prompt| prompt.values().to_vec());
    let model = values(&trained.model).into_iter().flatten();
    model.chain(prompts).collect()
}

#[test]
fn the_second_device_trains_as_the_cpu_and_goes_on_with_the_same_bits() {
    let adapters = Adapters::prompts(vec![prompt()]);
    let factored = AdafactorOptions {
        min_dim_size_to_factor: 4,
        ..AdafactorOptions::default()
    };
    let unfactored = AdafactorOptions {
        factored: false,
        ..factored
    };
    for (tune, optimizer) in [
        (Tune::Both, Optimizer::Adafactor(factored)),
        (Tune::Prompts, Optimizer::Adafactor(unfactored)),
        (Tune::Model, Optimizer::AdamW(AdamWOptions::default())),
    ] {
        let options = TrainOptions {
            optimizer,
            ..options(tune, 6)
        };
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let host = Host::new();
        let expected = run_from(&host, &path("cpu"), &options, &adapters, None, None).unwrap();
        let gpu = emulated(Precision::F32, SCHEDULES[2]);
        let whole = run_from(&gpu, &path("whole"), &options, &adapters, None, None).unwrap();
        for (ours, theirs) in whole.history.iter().zip(&expected.history) {
            assert!((ours.loss - theirs.loss).abs() < 1e-3, "{tune:?}: {ours:?}");
        }
        let (ours, theirs) = (all_values(&whole), all_values(&expected));
        assert_eq!(ours.len(), theirs.len());
        // The first steps follow the signs of gradients: where one is nearly 0 roundings decide it.
        let pairs = ours.iter().zip(&theirs);
        let differing = pairs.filter(|(a, b)| (*a - *b).abs() > 1e-3).count();
        assert!(differing < 5, "{tune:?}: {differing} values differ");

        // Stopped, and gone on with on a device that runs threads in another order.
        let interrupted = path("interrupted");
        let stopped = run_from(&gpu, &interrupted, &options, &adapters, Some(3), None);
        assert!(matches!(stopped, Err(TrainError::Stopped { step: 3 })));
        let gpu = emulated(Precision::F32, SCHEDULES[1]);
        let resumed = run_from(&gpu, &interrupted, &options, &adapters, None, None).unwrap();
        assert!(all_values(&resumed) == ours, "{tune:?}");
        assert_eq!(resumed.history, whole.history);
        gpu.check().unwrap();
    }
}

/// The loss of each of 20 steps.
fn losses<B: TrainingBackend>(device: &B) -> Vec<f64> {
    let options = TrainOptions {
        schedule: Schedule::constant(0.005),
        ..options(Tune::Both, 20)
    };
    let directory = tempfile::tempdir().unwrap();
    let losses = RefCell::new(Vec::new());
    let events = |event: Event| {
        if let Event::Step { loss, .. } = event {
            losses.borrow_mut().push(loss);
        }
    };
    let surroundings = Surroundings {
        stage: "test",
        batches: &WithPrompt,
        directory: directory.path(),
        events: &events,
        stop: &StopFlag::new(),
        measure: None,
        keep: None,
        observer: None,
    };
    let adapters = Adapters::prompts(vec![prompt()]);
    train(model_on(device), &adapters, &options, surroundings).unwrap();
    losses.into_inner()
}

#[test]
fn twenty_steps_follow_the_losses_of_the_cpu() {
    let expected = losses(&Host::new());
    assert_eq!(expected.len(), 20);
    assert!(expected[19] < 0.8 * expected[0], "it learns: {expected:?}");
    for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::Bf16, 2e-2)] {
        let found = losses(&emulated(precision, SCHEDULES[3]));
        assert_eq!(found.len(), 20);
        for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let error = (found - expected).abs() / expected;
            assert!(
                error <= tolerance,
                "{precision:?}, step {step}: {found} instead of {expected}"
            );
        }
    }
}

/// Four steps with a checkpoint after each; the values at the end.
fn values_trained_on(gpu: &Gpu, directory: &Path) -> Result<Vec<f32>, TrainError> {
    let options = TrainOptions {
        checkpoint_every: 1,
        ..options(Tune::Model, 4)
    };
    let trained = run_from(gpu, directory, &options, &Adapters::default(), None, None)?;
    Ok(all_values(&trained))
}

#[test]
fn what_a_device_computed_after_it_failed_is_not_saved() {
    let whole = emulated(Precision::F32, SCHEDULES[0]);
    let directory = tempfile::tempdir().unwrap();
    let whole = values_trained_on(&whole, directory.path()).unwrap();
    let mut failures = 0;
    for allocations in (6..).map(|power| 1 << power) {
        let directory = tempfile::tempdir().unwrap();
        let broken = Gpu::new(Box::new(Broken::after(allocations)), Precision::F32);
        match values_trained_on(&broken, directory.path()) {
            Err(TrainError::Device(_)) => failures += 1,
            Err(other) => panic!("after {allocations} allocations: {other}"),
            Ok(_) => break,
        }
        // Gone on with on a device that works, it is as if nothing had happened.
        let mended = emulated(Precision::F32, SCHEDULES[0]);
        let values = values_trained_on(&mended, directory.path()).unwrap();
        assert!(values == whole, "after {allocations} allocations");
    }
    assert!(failures > 2, "{failures}");
}

//! Training of a tiny model: learning, freezing, selection, resuming, threads, divergence, and the
//! second device.

mod low_rank;
mod observer;
mod second_device;

use std::cell::{Cell, RefCell};

use promot_core::{Ragged, TokenBatch};

use super::*;
use crate::arch::{T5, T5Config};
use crate::backend::{Device as _, Host};
use crate::gemm::Precision;
use crate::graph::Var;
use crate::optim::{AdafactorOptions, AdamWOptions};
use crate::prompt::PromptInit;

/// Rows whose target is their second token.
struct Copying;

impl BatchSource for Copying {
    fn batch(&self, step: u64) -> TokenBatch {
        let rows: Vec<[u32; 3]> = (0..8u32)
            .map(|row| {
                [
                    2 + (row + step as u32) % 5,
                    2 + (row * 3 + step as u32) % 7,
                    1,
                ]
            })
            .collect();
        let targets: Vec<[u32; 2]> = rows.iter().map(|row| [row[1], 1]).collect();
        TokenBatch::new(
            Ragged::from_rows(rows.iter().map(<[u32; 3]>::as_slice)),
            Ragged::from_rows(targets.iter().map(<[u32; 2]>::as_slice)),
        )
    }
}

struct WithPrompt;

impl BatchSource for WithPrompt {
    fn batch(&self, step: u64) -> TokenBatch {
        Copying.batch(step).with_prompt(0)
    }
}

fn model() -> Model<Host> {
    model_on(&Host::new())
}

fn model_on<B: Backend>(device: &B) -> Model<B> {
    let json = br#"{"vocab_size": 10, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1,
        "num_heads": 2, "feed_forward_proj": "gated-gelu"}"#;
    let config = T5Config::from_json(json).unwrap();
    T5::new(device, config, false, Seed::new(3)).into()
}

fn options(tune: Tune, steps: u64) -> TrainOptions {
    TrainOptions {
        tune,
        steps,
        checkpoint_every: 4,
        optimizer: Optimizer::Adafactor(AdafactorOptions {
            multiply_by_parameter_scale: false,
            ..AdafactorOptions::default()
        }),
        schedule: Schedule::constant(0.02),
        prompts: None,
        max_gradient_norm: Some(1.0),
        micro_batches: 1,
        recompute: false,
        smoothing: LabelSmoothing::t5x(0.1),
        dropout: 0.1,
        seed: Seed::new(1),
    }
}

/// The target's score of a model; `None` asks to stop.
type Score<'a, B> = dyn FnMut(&Model<B>, &[Var<B>]) -> Option<f64> + 'a;

fn run(
    directory: &Path,
    options: &TrainOptions,
    prompts: &[SoftPrompt],
    stop_after: Option<u64>,
    measure: Option<&mut Score<'_, Host>>,
) -> Result<Trained<Host>, TrainError> {
    let adapters = Adapters {
        prompts: prompts.to_vec(),
        lora: (options.tune == Tune::Lora).then(lora),
    };
    let device = &Host::new();
    run_from(device, directory, options, &adapters, stop_after, measure)
}

fn run_from<B: Backend + optim::Kernels>(
    device: &B,
    directory: &Path,
    options: &TrainOptions,
    adapters: &Adapters,
    stop_after: Option<u64>,
    measure: Option<&mut Score<'_, B>>,
) -> Result<Trained<B>, TrainError> {
    run_observed(
        device, directory, options, adapters, stop_after, measure, None,
    )
}

fn run_observed<B: Backend + optim::Kernels>(
    device: &B,
    directory: &Path,
    options: &TrainOptions,
    adapters: &Adapters,
    stop_after: Option<u64>,
    measure: Option<&mut Score<'_, B>>,
    observe: Option<(u64, &mut Observe<'_, B>)>,
) -> Result<Trained<B>, TrainError> {
    let stop = StopFlag::new();
    let events = |event: Event| {
        if let Event::Step { step, .. } = event
            && Some(step) == stop_after
        {
            stop.request();
        }
    };
    let batches: &dyn BatchSource = if adapters.prompts.is_empty() {
        &Copying
    } else {
        &WithPrompt
    };
    // The lifetime of the measure is shortened to that of this call.
    let mut wrapped = measure
        .map(|measure| move |m: &Model<B>, p: &[Var<B>]| measure(m, p).map(Measurement::from));
    let every = observe.as_ref().map_or(1, |(every, _)| *every);
    let mut observe = observe.map(|(_, observe)| move |seen: &InTraining<'_, B>| observe(seen));
    let surroundings = Surroundings {
        stage: "test",
        batches,
        directory,
        events: &events,
        stop: &stop,
        measure: wrapped.as_mut().map(|m| m as &mut Measure<'_, B>),
        keep: None,
        observer: observe.as_mut().map(|observe| Observer {
            every,
            observe: observe as &mut Observe<'_, B>,
        }),
    };
    train(model_on(device), adapters, options, surroundings)
}

fn values<B: Backend>(model: &Model<B>) -> Vec<Vec<f32>> {
    model
        .parameters()
        .iter()
        .map(|p| model.device().download(B::slice(&p.tensor)))
        .collect()
}

fn lora() -> Lora {
    let targets = ["q".to_owned(), "wo".to_owned()];
    let fresh = Lora::init(&model(), &targets, 2, 4.0, Seed::new(6)).unwrap();
    Lora {
        dropout: 0.2,
        ..fresh
    }
}

fn prompt() -> SoftPrompt {
    SoftPrompt::init(
        &model(),
        3,
        PromptInit::Vocabulary { skip: 2 },
        Seed::new(5),
    )
}

#[test]
fn learns_and_tunes_only_what_it_should() {
    let directory = tempfile::tempdir().unwrap();
    let learning = TrainOptions {
        checkpoint_every: 50,
        schedule: Schedule::constant(0.005),
        dropout: 0.0,
        ..options(Tune::Model, 200)
    };
    let tuned = run(
        &directory.path().join("m"),
        &learning,
        &[prompt()],
        None,
        None,
    )
    .unwrap();
    assert!(
        tuned.history.last().unwrap().loss < 0.5 * tuned.history[0].loss,
        "{:?}",
        tuned.history
    );
    assert_eq!(tuned.adapters.prompts, [prompt()]);
    assert_ne!(values(&tuned.model), values(&model()));

    let tuned = run(
        &directory.path().join("p"),
        &options(Tune::Prompts, 8),
        &[prompt()],
        None,
        None,
    )
    .unwrap();
    assert_ne!(tuned.adapters.prompts, [prompt()]);
    assert_eq!(values(&tuned.model), values(&model()));

    let tuned = run(
        &directory.path().join("b"),
        &options(Tune::Both, 8),
        &[prompt()],
        None,
        None,
    )
    .unwrap();
    assert_ne!(tuned.adapters.prompts, [prompt()]);
    assert_ne!(values(&tuned.model), values(&model()));
}

#[test]
fn an_interrupted_run_ends_with_the_bits_of_an_undisturbed_one() {
    for (tune, prompts) in [(Tune::Model, vec![]), (Tune::Prompts, vec![prompt()])] {
        let directory = tempfile::tempdir().unwrap();
        let undisturbed = run(
            &directory.path().join("a"),
            &options(tune, 11),
            &prompts,
            None,
            None,
        )
        .unwrap();
        let path = directory.path().join("b");
        for stop_after in [1, 4, 5, 9] {
            let stopped = run(&path, &options(tune, 11), &prompts, Some(stop_after), None);
            assert!(matches!(stopped, Err(TrainError::Stopped { step }) if step == stop_after));
            // What a kill may leave behind.
            std::fs::write(path.join("step-12.safetensors.partial"), b"half").unwrap();
        }
        let resumed = run(&path, &options(tune, 11), &prompts, None, None).unwrap();
        assert_eq!(values(&resumed.model), values(&undisturbed.model));
        assert_eq!(resumed.adapters.prompts, undisturbed.adapters.prompts);
        assert_eq!(resumed.history, undisturbed.history);
        let mut left: Vec<_> = std::fs::read_dir(&path)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["best-11.safetensors", "step-11.safetensors"]);
    }
}

#[test]
fn keeps_the_best_checkpoint_and_the_earliest_of_equals() {
    let directory = tempfile::tempdir().unwrap();
    let scores = [10.0, 50.0, 50.0, 20.0];
    let calls = Cell::new(0);
    let mut at_second = Vec::new();
    let mut measure = |model: &Model<Host>, _: &[Var<Host>]| {
        let call = calls.replace(calls.get() + 1);
        if call == 1 {
            at_second = values(model);
        }
        Some(scores[call])
    };
    let trained = run(
        directory.path(),
        &options(Tune::Model, 16),
        &[],
        None,
        Some(&mut measure),
    )
    .unwrap();
    assert_eq!(trained.best_step, 8);
    assert_eq!(values(&trained.model), at_second);
    let seen: Vec<_> = trained
        .history
        .iter()
        .map(|r| (r.step, r.value.unwrap()))
        .collect();
    assert_eq!(seen, [(4, 10.0), (8, 50.0), (12, 50.0), (16, 20.0)]);
}

#[test]
fn model_and_prompt_are_updated_each_in_its_own_way() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str, optimizer, rate: f32, prompts| {
        let options = TrainOptions {
            optimizer,
            schedule: Schedule::constant(rate),
            prompts,
            ..options(Tune::Both, 6)
        };
        let path = directory.path().join(name);
        run(&path, &options, &[prompt()], None, None).unwrap()
    };
    let unscaled = |factored| {
        Optimizer::Adafactor(AdafactorOptions {
            multiply_by_parameter_scale: false,
            factored,
            ..AdafactorOptions::default()
        })
    };
    let own = |rate| {
        Some(PromptUpdates {
            optimizer: unscaled(false),
            schedule: Schedule::constant(rate),
        })
    };
    // The same way said twice: two groups compute what one does.
    let one = at("one", unscaled(false), 0.02, None);
    let two = at("two", unscaled(false), 0.02, own(0.02));
    assert_eq!(values(&one.model), values(&two.model));
    assert_eq!(one.adapters, two.adapters);
    // Nothing moves that has a rate of 0.
    let prompt_only = at("prompt", unscaled(true), 0.0, own(0.02));
    assert_eq!(values(&prompt_only.model), values(&model()));
    assert_ne!(prompt_only.adapters.prompts, [prompt()]);
    let model_only = at("model", unscaled(true), 0.02, own(0.0));
    assert_ne!(values(&model_only.model), values(&model()));
    assert_eq!(model_only.adapters.prompts, [prompt()]);
    // Different optimizers have states of different shapes, which an interrupted run reads again.
    let adamw = Optimizer::AdamW(AdamWOptions::default());
    let options = TrainOptions {
        optimizer: adamw,
        prompts: own(0.3),
        ..options(Tune::Both, 9)
    };
    let path = |name: &str| directory.path().join(name);
    let whole = run(&path("whole"), &options, &[prompt()], None, None).unwrap();
    let stopped = run(&path("again"), &options, &[prompt()], Some(5), None);
    assert!(matches!(stopped, Err(TrainError::Stopped { step: 5 })));
    let again = run(&path("again"), &options, &[prompt()], None, None).unwrap();
    assert_eq!(values(&again.model), values(&whole.model));
    assert_eq!(again.adapters, whole.adapters);
}

#[test]
fn every_checkpoint_is_given_away_also_after_an_interruption_and_errors_end_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let kept = RefCell::new(Vec::new());
    let run = |name: &str, stop_after: Option<u64>, refuse: Option<u64>| {
        let stop = StopFlag::new();
        let events = |event: Event| {
            if matches!(event, Event::Step { step, .. } if Some(step) == stop_after) {
                stop.request();
            }
        };
        let keep = |step: u64, model: &Model<Host>, adapters: &Adapters| {
            if Some(step) == refuse {
                return Err(CheckpointError::Adapter("no room".to_owned()));
            }
            let values = values(model);
            kept.borrow_mut().push((step, values, adapters.clone()));
            Ok(())
        };
        let surroundings = Surroundings {
            stage: "test",
            batches: &WithPrompt,
            directory: &directory.path().join(name),
            events: &events,
            stop: &stop,
            measure: None,
            keep: Some(&keep),
            observer: None,
        };
        let adapters = Adapters::prompts(vec![prompt()]);
        train(model(), &adapters, &options(Tune::Both, 10), surroundings)
    };
    let whole = run("whole", None, None).unwrap();
    let undisturbed = kept.take();
    let steps: Vec<u64> = undisturbed.iter().map(|(step, ..)| *step).collect();
    assert_eq!(steps, [4, 8, 10]);
    let last = &undisturbed[2];
    assert_eq!((&last.1, &last.2), (&values(&whole.model), &whole.adapters));
    assert_ne!(undisturbed[0].1, undisturbed[1].1);

    assert!(run("again", Some(5), None).is_err());
    // Nothing of step 8 is saved before it is kept.
    let refused = run("again", None, Some(8));
    assert!(matches!(refused, Err(TrainError::Checkpoint(_))));
    run("again", None, None).unwrap();
    assert!(kept.take() == undisturbed);
}

#[test]
fn micro_batches_give_the_gradients_of_the_whole_batch() {
    let directory = tempfile::tempdir().unwrap();
    // Without dropout, whose masks depend on the rows' places in the batch.
    let whole = TrainOptions {
        dropout: 0.0,
        steps: 1,
        ..options(Tune::Model, 1)
    };
    let parts = TrainOptions {
        micro_batches: 3,
        ..whole.clone()
    };
    let one = run(&directory.path().join("a"), &whole, &[], None, None).unwrap();
    let three = run(&directory.path().join("b"), &parts, &[], None, None).unwrap();
    assert!((one.history[0].loss - three.history[0].loss).abs() < 1e-5);
    // Adafactor's first step is the sign of the gradient: compare where it is clear.
    let pairs = values(&one.model)
        .into_iter()
        .flatten()
        .zip(values(&three.model).into_iter().flatten());
    let differing = pairs.filter(|(a, b)| (a - b).abs() > 1e-3).count();
    assert!(differing < 5, "{differing} values differ");
}

#[test]
fn what_is_computed_again_has_the_same_bits() {
    let directory = tempfile::tempdir().unwrap();
    let prompts = [SoftPrompt::init(
        &model(),
        3,
        PromptInit::Vocabulary { skip: 2 },
        Seed::new(4),
    )];
    for tune in [Tune::Model, Tune::Prompts, Tune::Both] {
        let kept = options(tune, 4);
        assert!(kept.dropout > 0.0, "masks have to be the same, too");
        let again = TrainOptions {
            recompute: true,
            ..kept.clone()
        };
        let run = |name: &str, options: &TrainOptions| {
            let path = directory.path().join(format!("{name}-{tune:?}"));
            run(&path, options, &prompts, None, None).unwrap()
        };
        let (kept, again) = (run("kept", &kept), run("again", &again));
        assert_eq!(values(&kept.model), values(&again.model), "{tune:?}");
        assert_eq!(kept.adapters.prompts, again.adapters.prompts, "{tune:?}");
        assert_eq!(kept.history, again.history, "{tune:?}");
    }
}

#[test]
fn one_thread_or_two_give_the_same_bits() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        pool.install(|| {
            values(
                &run(directory.path(), &options(Tune::Model, 5), &[], None, None)
                    .unwrap()
                    .model,
            )
        })
    };
    assert_eq!(on(1), on(2));
}

#[test]
fn divergence_stops_with_the_step_and_keeps_the_last_good_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let diverging = TrainOptions {
        schedule: Schedule::constant(1e30),
        ..options(Tune::Model, 40)
    };
    let error = run(directory.path(), &diverging, &[], None, None)
        .err()
        .expect("a rate of 1e30 diverges");
    assert!(matches!(error, TrainError::NonFinite { .. }), "{error}");
    let sane = options(Tune::Model, 8);
    let path = directory.path().join("sane");
    run(
        &path,
        &TrainOptions {
            steps: 4,
            ..sane.clone()
        },
        &[],
        None,
        None,
    )
    .unwrap();
    assert!(path.join("step-4.safetensors").exists());
}

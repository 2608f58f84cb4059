//! Training that is observed, and ends where it is enough.

use super::*;

/// Steps at which a model was looked at, and its first value there.
type Seen = Vec<(u64, f32)>;

/// Runs 11 steps with a checkpoint every 4, observed every 3; training is enough after `enough` steps.
/// Which steps were observed, with the model's first value, and what came of it.
fn observed(
    directory: &Path,
    stop_after: Option<u64>,
    enough: u64,
) -> (Seen, Result<Trained<Host>, TrainError>) {
    let mut seen = Vec::new();
    let mut observe = |now: &InTraining<'_, Host>| {
        seen.push((now.step, values(now.model)[0][0]));
        Some(match now.step >= enough {
            true => Observed::Enough(format!("{enough} steps")),
            false => Observed::GoOn,
        })
    };
    let trained = run_observed(
        &Host::new(),
        directory,
        &options(Tune::Model, 11),
        &Adapters::default(),
        stop_after,
        None,
        Some((3, &mut observe)),
    );
    (seen, trained)
}

#[test]
fn an_observer_sees_training_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let plain = run(
        &directory.path().join("plain"),
        &options(Tune::Model, 11),
        &[],
        None,
        None,
    )
    .unwrap();
    let (seen, trained) = observed(&directory.path().join("a"), None, 100);
    let trained = trained.unwrap();
    let steps: Vec<u64> = seen.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [0, 3, 6, 9, 11]);
    assert_eq!(seen[0].1, values(&model())[0][0]);
    assert_eq!(seen[4].1, values(&plain.model)[0][0]);
    assert_eq!(values(&trained.model), values(&plain.model));
    assert_eq!(trained.history, plain.history);
    assert_eq!(trained.ended_early, None);
}

#[test]
fn training_ends_where_it_is_enough_interrupted_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let (_, whole) = observed(&directory.path().join("whole"), None, 6);
    let whole = whole.unwrap();
    let ended = EndedEarly {
        step: 6,
        reason: "6 steps".to_owned(),
    };
    assert_eq!(whole.ended_early, Some(ended));
    let steps: Vec<u64> = whole.history.iter().map(|record| record.step).collect();
    assert_eq!((steps, whole.best_step), (vec![4, 6], 6));

    let path = directory.path().join("interrupted");
    for stop_after in [2, 5] {
        let (_, stopped) = observed(&path, Some(stop_after), 6);
        assert!(matches!(stopped, Err(TrainError::Stopped { step }) if step == stop_after));
    }
    let (seen, resumed) = observed(&path, None, 6);
    let resumed = resumed.unwrap();
    assert_eq!(seen.last().unwrap().0, 6);
    assert_eq!(values(&resumed.model), values(&whole.model));
    assert_eq!(resumed.history, whole.history);
    assert_eq!(resumed.ended_early, whole.ended_early);

    // Killed after the last checkpoint: asked again, the observer says the same.
    let (seen, again) = observed(&path, None, 6);
    assert_eq!(seen.len(), 1);
    let again = again.unwrap();
    assert_eq!(again.ended_early, whole.ended_early);
    assert_eq!(values(&again.model), values(&whole.model));

    // Enough before anything was done, and at the end: that is no early end.
    for enough in [0, 11] {
        let path = directory.path().join(format!("{enough}"));
        let (_, trained) = observed(&path, None, enough);
        let step = trained.unwrap().ended_early.map(|ended| ended.step);
        assert_eq!(step, (enough == 0).then_some(3));
    }
}

//! Low-rank changes of a model's weights.

use super::*;

#[test]
fn low_rank_changes_learn_while_the_model_stays_and_go_on_with_the_same_bits() {
    let options = options(Tune::Lora, 12);
    let directory = tempfile::tempdir().unwrap();
    let whole = run(directory.path(), &options, &[], None, None).unwrap();
    assert_eq!(values(&whole.model), values(&model()));
    let tuned = whole.adapters.lora.unwrap();
    assert_ne!(tuned, lora());
    let history = &whole.history;
    assert!(history[2].loss < history[0].loss, "{history:?}");

    let directory = tempfile::tempdir().unwrap();
    let stopped = run(directory.path(), &options, &[], Some(6), None);
    assert!(matches!(stopped, Err(TrainError::Stopped { step: 6 })));
    let resumed = run(directory.path(), &options, &[], None, None).unwrap();
    assert_eq!(resumed.adapters.lora, Some(tuned));
}

#[test]
fn low_rank_changes_have_dropout_where_they_are_tuned_and_none_where_they_are_frozen() {
    let tuned = |tune, dropout| {
        let directory = tempfile::tempdir().unwrap();
        let adapters = Adapters {
            lora: Some(Lora { dropout, ..lora() }),
            ..Adapters::default()
        };
        let (device, options) = (&Host::new(), options(tune, 4));
        run_from(device, directory.path(), &options, &adapters, None, None).unwrap()
    };
    let pairs = |dropout| tuned(Tune::Lora, dropout).adapters.lora.unwrap().pairs;
    assert_ne!(pairs(0.2), pairs(0.0));
    let weights = |dropout| values(&tuned(Tune::Model, dropout).model);
    assert_eq!(weights(0.2), weights(0.0));
}

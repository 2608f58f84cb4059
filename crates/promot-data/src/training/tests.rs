//! Batches: random access, epochs, mixing, cutting.

use super::*;
use crate::mini;
use crate::split::Split;
use crate::task::find_task;
use crate::tokenizer::train_mini;

fn part(name: &str, rows: usize, prompt: Option<usize>, weight: f64) -> TrainingTask {
    let task = find_task(name).unwrap();
    let rows = mini::rows(name, Split::Train, rows);
    TrainingTask {
        task,
        rows,
        shots: 0,
        max_input_tokens: None,
        prompt,
        weight,
    }
}

fn batches(tasks: Vec<TrainingTask>, batch_size: usize) -> Result<TaskBatches, TrainingError> {
    TaskBatches::new(
        tasks,
        batch_size,
        Arc::new(train_mini().unwrap()),
        Seed::new(0),
    )
}

#[test]
fn an_epoch_has_every_row_once_and_steps_are_random_access() {
    let source = batches(vec![part("rte", 12, None, 1.0)], 4).unwrap();
    let epoch = |first: u64| {
        let mut rows: Vec<Vec<u32>> = (first..first + 3)
            .flat_map(|s| {
                source
                    .batch(s)
                    .inputs
                    .rows()
                    .map(<[u32]>::to_vec)
                    .collect::<Vec<_>>()
            })
            .collect();
        let order = rows.clone();
        rows.sort();
        (rows, order)
    };
    let ((first, order), (second, other_order)) = (epoch(0), epoch(3));
    assert_eq!(first, second);
    assert_ne!(order, other_order);
    assert!(first.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(source.batch(5), source.batch(5));
}

#[test]
fn every_row_of_a_mix_has_its_own_tasks_prompt() {
    let tasks = vec![
        part("rte", 20, Some(0), 1.0),
        part("wmt14_en_fr", 20, Some(1), 2.0),
    ];
    let batch = batches(tasks, 10).unwrap().batch(0);
    assert_eq!(
        batch.prompts,
        [[Some(0)].repeat(3), [Some(1)].repeat(7)].concat()
    );
    let tiny = vec![part("rte", 20, None, 1.0), part("cb", 20, None, 99.0)];
    assert!(matches!(
        batches(tiny, 4),
        Err(TrainingError::BatchTooSmall { .. })
    ));
}

#[test]
fn shuffled_targets_are_the_same_targets_of_other_rows() {
    let seeded = |seed: u64| {
        let tasks = vec![
            part("rte", 60, None, 1.0),
            part("wmt14_en_fr", 30, None, 1.0),
        ];
        let tokenizer = Arc::new(train_mini().unwrap());
        TaskBatches::new(tasks, 40, tokenizer, Seed::new(seed)).unwrap()
    };
    // Three batches are all rows of RTE, two those of the translations, 20 of each in a batch.
    let epoch = |source: &TaskBatches| {
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for step in 0..3 {
            let batch = source.batch(step);
            inputs.extend(batch.inputs.rows().map(<[u32]>::to_vec));
            targets.push(
                batch
                    .targets
                    .rows()
                    .map(<[u32]>::to_vec)
                    .collect::<Vec<_>>(),
            );
        }
        (inputs, targets)
    };
    let (inputs, targets) = epoch(&seeded(0));
    let shuffled = seeded(0).with_shuffled_targets();
    let (same_inputs, other_targets) = epoch(&shuffled);
    assert_eq!(same_inputs, inputs);
    assert_ne!(other_targets, targets);
    let of_rte = |targets: &[Vec<Vec<u32>>]| {
        let mut rte: Vec<Vec<u32>> = targets.iter().flat_map(|t| t[..20].to_vec()).collect();
        rte.sort();
        rte
    };
    assert_eq!(of_rte(&other_targets), of_rte(&targets));

    // A function of the seed.
    let (_, again) = epoch(&seeded(0).with_shuffled_targets());
    assert_eq!(again, other_targets);
    let kept = |source: &TaskBatches| source.targets_of.clone();
    assert_ne!(kept(&seeded(1).with_shuffled_targets()), kept(&shuffled));
}

#[test]
fn shuffling_equal_targets_changes_nothing() {
    let rows = |label: &str| {
        let rows = mini::rows("rte", Split::Train, 60).into_iter();
        rows.filter(|row| row.text("label").unwrap() == label)
            .collect::<Vec<_>>()
    };
    let source = || {
        let task = TrainingTask {
            rows: rows("entailment"),
            ..part("rte", 1, None, 1.0)
        };
        batches(vec![task], 8).unwrap()
    };
    assert_eq!(source().with_shuffled_targets().batch(0), source().batch(0));
}

#[test]
fn cutting_keeps_the_end_of_the_template_and_is_counted() {
    let truncation = Truncation::default();
    let ids: Vec<u32> = (0..100).collect();
    let cut = truncation.apply(ids.clone(), Some(40));
    assert_eq!(cut.len(), 40);
    assert_eq!(
        (cut[..24].to_vec(), cut[24..].to_vec()),
        (ids[..24].to_vec(), ids[84..].to_vec())
    );
    assert_eq!(truncation.apply(ids.clone(), Some(100)), ids);
    assert_eq!(truncation.apply(ids.clone(), None), ids);
    assert_eq!(truncation.count(), 1);
}

#[test]
fn shares_add_up() {
    assert_eq!(shares(&[1.0, 1.0, 1.0], 64), [22, 21, 21]);
    assert_eq!(shares(&[1.0], 5), [5]);
    assert_eq!(shares(&[3.0, 1.0], 8), [6, 2]);
}

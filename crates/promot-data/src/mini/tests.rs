//! The world: disjoint splits, balanced labels, consistent languages, pleasant sentences.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::task::{AnswerFormat, tasks};

#[test]
fn rows_are_deterministic_and_no_input_is_in_two_splits() {
    for task in tasks() {
        let mut seen = BTreeSet::new();
        for split in Split::ALL {
            let drawn = rows(task.name(), split, 150);
            assert_eq!(drawn, rows(task.name(), split, 150));
            assert!(
                drawn.len() >= 30,
                "{} {split}: {} rows",
                task.name(),
                drawn.len()
            );
            for record in drawn {
                let input = task.render(&record).unwrap().input;
                assert!(seen.insert(input.clone()), "twice: {input}");
            }
        }
    }
}

#[test]
fn every_label_is_as_frequent_as_the_others() {
    for task in tasks() {
        let AnswerFormat::Labels(labels) = task.answer_format() else {
            continue;
        };
        let drawn = rows(task.name(), Split::Train, 2000);
        let mut counts = BTreeMap::new();
        for record in &drawn {
            *counts
                .entry(task.render(record).unwrap().target)
                .or_insert(0usize) += 1;
        }
        let fair = drawn.len() / labels.len();
        for label in labels {
            let count = counts[label.as_str()];
            assert!(
                count.abs_diff(fair) < fair / 5,
                "{}: {label} {count} of {}",
                task.name(),
                drawn.len()
            );
        }
    }
}

#[test]
fn translations_are_word_for_word_in_a_fixed_order() {
    let one = language::GERMAN.translate("Anna lives in Oslo.");
    let other = language::GERMAN.translate("Ben lives in Rome.");
    assert_eq!(one.replace("Anna", "Ben").replace("Oslo", "Rome"), other);
    assert!(
        one.starts_with("Anna Oslo ") && one.ends_with("ung."),
        "{one}"
    );
    let words = |text: &str| {
        text.trim_end_matches('.')
            .split(' ')
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    let french = words(&language::FRENCH.translate("Anna lives in Oslo."));
    let romanian = words(&language::ROMANIAN.translate("Anna lives in Oslo."));
    let shared: Vec<_> = french.intersection(&romanian).cloned().collect();
    assert_eq!(shared, ["Anna", "Oslo"]);
}

#[test]
fn pretraining_never_answers_in_the_target_formats_nor_in_french() {
    use pretrain::Phase;
    for i in 0..20_000 {
        let phase = [Phase::Verification, Phase::ZeroShot, Phase::FewShot][i as usize % 3];
        let pair = pretrain::pair(phase, &mut Seed::new(7).indexed_stream("t", "t", i));
        for word in ["True", "False", "Neither", "French"] {
            assert!(
                !format!("{} {}", pair.input, pair.target).contains(word),
                "{pair:?}"
            );
        }
        assert!(
            !["A", "B", "C", "D"].contains(&pair.target.as_str()),
            "{pair:?}"
        );
        assert!(!pair.target.contains("eau"), "{pair:?}");
        assert!(
            !pair.input.contains(['{', '}']) && !pair.target.is_empty(),
            "{pair:?}"
        );
    }
}

//! The contract that all metrics share; their values are checked file by file.

use super::*;

const KINDS: [MetricKind; 4] = [
    MetricKind::Accuracy,
    MetricKind::ExactMatch,
    MetricKind::Bleu,
    MetricKind::Rouge2,
];

fn row(output: &str, references: &[&str]) -> Judged {
    Judged {
        output: output.into(),
        references: references.iter().map(|&text| text.into()).collect(),
    }
}

#[test]
fn a_score_of_nothing_is_an_error() {
    let rows = [row("a", &["a"]), row("b", &[])];
    for kind in KINDS {
        assert_eq!(score(kind, &[]), Err(MetricError::NoRows));
        let error = score(kind, &rows).unwrap_err();
        assert_eq!(error, MetricError::NoReferences { row: 1 });
        assert_eq!(error.to_string(), "row 1 has no reference");
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn values_and_margins_stay_in_range_and_repeat_to_the_bit() {
    let rows: Vec<Judged> = (0..50)
        .map(|i| {
            let output = if i % 3 == 0 {
                "True"
            } else {
                "False and so on"
            };
            row(output, &["True", "a longer reference and so on"])
        })
        .chain([row("", &[""])])
        .collect();
    for kind in KINDS {
        let first = score(kind, &rows).unwrap();
        assert!((0.0..=100.0).contains(&first.value), "{kind:?} {first:?}");
        assert!((0.0..=50.0).contains(&first.margin), "{kind:?} {first:?}");
        assert_eq!(first.samples, rows.len());
        assert_eq!(Ok(first), score(kind, &rows));
    }
}

#[test]
fn a_share_of_nothing_or_everything_still_has_a_margin() {
    let rows = vec![row("True", &["True"]); 20];
    let score = score(MetricKind::Accuracy, &rows).unwrap();
    assert_eq!(score.value, 100.0);
    assert!((score.margin - 8.05).abs() < 0.01, "{score:?}");
}

#[test]
fn the_normalised_average_is_the_plain_mean() {
    assert_eq!(normalized_average(&[]), None);
    assert_eq!(normalized_average(&[50.0, 0.0, 10.0]), Some(20.0));
}

#[test]
fn knows_what_python_takes_for_white_space() {
    for c in [
        ' ', '\t', '\u{b}', '\u{1c}', '\u{1f}', '\u{85}', '\u{a0}', '\u{2028}', '\u{3000}',
    ] {
        assert!(is_python_space(c), "{c:?}");
    }
    for c in ['a', '\u{1b}', '\u{200b}', '\u{feff}'] {
        assert!(!is_python_space(c), "{c:?}");
    }
}

#[test]
fn the_mean_of_the_rows_own_scores_is_the_metric() {
    let rows = [
        row("True story", &["True"]),
        row("a b c", &["a b d"]),
        row("x", &["y", "X"]),
    ];
    for kind in KINDS {
        let whole = score(kind, &rows).unwrap().value;
        match row_scores(kind, &rows).unwrap() {
            Some(each) => {
                let mean = each.iter().sum::<f64>() / 3.0;
                assert!((mean - whole).abs() < 1e-9, "{kind:?} {each:?}");
            }
            None => assert_eq!(kind, MetricKind::Bleu),
        }
    }
}

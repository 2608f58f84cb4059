//! McNemar's test and the bootstraps against statsmodels and SciPy; `fixtures/paired/make_fixtures.py`
//! makes the expected values.

use promot_core::MetricKind;
use promot_data::metric::{Judged, Paired, mcnemar_exact, paired_difference, score};
use serde::Deserialize;

/// 97.5% quantile of the standard normal distribution.
const Z_95: f64 = 1.959_964;

#[derive(Deserialize)]
struct Fixture {
    mcnemar: Vec<Counts>,
    bootstrap: Vec<Rows>,
}

#[derive(Deserialize)]
struct Counts {
    lost: usize,
    gained: usize,
    p: f64,
}

#[derive(Deserialize)]
struct Rows {
    metric: MetricKind,
    references: Vec<String>,
    model: Vec<String>,
    against: Vec<String>,
    paired: Interval,
    single: Interval,
}

#[derive(Deserialize)]
struct Interval {
    low: f64,
    high: f64,
    standard_error: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/paired/paired.json")).expect("the fixture parses")
}

fn judged(outputs: &[String], references: &[String]) -> Vec<Judged> {
    let pairs = outputs.iter().zip(references);
    pairs
        .map(|(output, reference)| Judged {
            output: output.clone(),
            references: vec![reference.clone()],
        })
        .collect()
}

#[test]
fn p_values_are_those_of_statsmodels() {
    let cases = fixture().mcnemar;
    assert!(cases.iter().any(|case| case.p < 1e-100));
    for Counts { lost, gained, p } in cases {
        let found = mcnemar_exact(lost, gained);
        assert!(
            (found - p).abs() <= 1e-9 * p,
            "{lost} lost, {gained} gained: {found}, statsmodels gives {p}"
        );
    }
}

/// An end of 1000 resamples is off by 0.08 standard errors: the standard deviation of a 2.5% quantile.
#[test]
fn intervals_of_differences_are_those_of_scipys_bootstrap() {
    let (mut off, mut ends) = (0.0, 0.0);
    for case in fixture().bootstrap {
        let found = paired_difference(&[Paired {
            kind: case.metric,
            model: judged(&case.model, &case.references),
            against: judged(&case.against, &case.references),
        }])
        .expect("rows with references");
        for (end, expected) in [(found.low, case.paired.low), (found.high, case.paired.high)] {
            let errors = (end - expected) / case.paired.standard_error;
            let (metric, rows) = (case.metric, case.model.len());
            assert!(
                errors.abs() < 0.3,
                "{metric:?} over {rows} rows: {found:?}, SciPy's end is {expected}, {errors} standard errors off"
            );
            off += errors.abs();
            ends += 1.0;
        }
    }
    let mean: f64 = off / ends;
    assert!(mean < 0.12, "{mean} standard errors off in the mean");
}

/// 200 resamples know a standard error to 5%.
#[test]
fn margins_of_scores_are_those_of_scipys_bootstrap() {
    let (mut ratio, mut cases) = (0.0, 0.0);
    for case in fixture().bootstrap {
        if case.metric == MetricKind::Accuracy {
            continue;
        }
        let found = score(case.metric, &judged(&case.model, &case.references));
        let found = found.expect("rows with references").margin;
        let expected = Z_95 * case.single.standard_error;
        assert!(
            (found / expected - 1.0).abs() < 0.15,
            "{:?} over {} rows: {found}, SciPy gives {expected}",
            case.metric,
            case.model.len()
        );
        ratio += found / expected;
        cases += 1.0;
    }
    let mean: f64 = ratio / cases;
    assert!((mean - 1.0).abs() < 0.07, "{mean} in the mean");
}

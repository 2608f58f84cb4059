//! The metrics against their reference implementations in Python; `fixtures/metric/make_fixtures.py`
//! makes the expected values.

use std::io::Write as _;
use std::path::Path;

use promot_core::MetricKind;
use promot_data::metric::{Judged, score};
use serde::Deserialize;

const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Fixture {
    pairs: Vec<Pair>,
    corpora: Vec<Corpus>,
    exact_match: Vec<Match>,
}

/// One row as a corpus of its own.
#[derive(Deserialize)]
struct Pair {
    output: String,
    references: Vec<String>,
    bleu: f64,
    rouge2: f64,
}

/// Pairs `start..end` together.
#[derive(Deserialize)]
struct Corpus {
    start: usize,
    end: usize,
    bleu: f64,
    rouge2: f64,
}

#[derive(Deserialize)]
struct Match {
    output: String,
    references: Vec<String>,
    right: bool,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/metric/metric.json")).expect("the fixture parses")
}

fn judged(output: &str, references: &[String]) -> Judged {
    Judged {
        output: output.to_owned(),
        references: references.to_vec(),
    }
}

fn assert_close(kind: MetricKind, rows: &[Judged], expected: f64) {
    let found = score(kind, rows).expect("every row has a reference").value;
    assert!(
        (found - expected).abs() <= TOLERANCE,
        "{}: {found} where Python gives {expected}, for {} rows from {:?}",
        kind.label(),
        rows.len(),
        rows[0]
    );
}

#[test]
fn every_pair_scores_as_in_python() {
    let pairs = fixture().pairs;
    assert!(pairs.len() >= 200, "only {} pairs", pairs.len());
    let between = |value: f64| value > 1.0 && value < 99.0;
    assert!(pairs.iter().filter(|pair| between(pair.bleu)).count() >= 100);
    assert!(pairs.iter().filter(|pair| between(pair.rouge2)).count() >= 100);
    for pair in &pairs {
        let rows = [judged(&pair.output, &pair.references)];
        assert_close(MetricKind::Bleu, &rows, pair.bleu);
        assert_close(MetricKind::Rouge2, &rows, pair.rouge2);
    }
}

#[test]
fn every_corpus_scores_as_in_python() {
    let Fixture { pairs, corpora, .. } = fixture();
    assert!(!corpora.is_empty());
    let rows: Vec<Judged> = pairs
        .iter()
        .map(|pair| judged(&pair.output, &pair.references))
        .collect();
    for corpus in &corpora {
        let rows = &rows[corpus.start..corpus.end];
        assert_close(MetricKind::Bleu, rows, corpus.bleu);
        assert_close(MetricKind::Rouge2, rows, corpus.rouge2);
    }
}

#[test]
fn answers_match_as_in_triviaqa() {
    let matches = fixture().exact_match;
    for right in [true, false] {
        assert!(matches.iter().filter(|one| one.right == right).count() >= 30);
    }
    for one in &matches {
        let rows = [judged(&one.output, &one.references)];
        let expected = if one.right { 100.0 } else { 0.0 };
        assert_close(MetricKind::ExactMatch, &rows, expected);
    }
}

/// The strings of `field` in the first `limit` rows of a JSON Lines file; a list gives its first.
fn column(path: &Path, field: &str, limit: usize) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("the file can be read");
    text.lines()
        .take(limit)
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).expect("a JSON object a line");
            let value = &row[field];
            let value = value.get(0).unwrap_or(value);
            value.as_str().expect("a string").to_owned()
        })
        .collect()
}

#[test]
fn real_rows_agree_with_themselves_and_not_with_each_other() {
    let Some(shared) = std::env::var_os("PROMOT_SHARED") else {
        // Not by a macro: the test harness keeps what those of passing tests print.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED real_rows_agree_with_themselves_and_not_with_each_other: PROMOT_SHARED is not set"
        );
        return;
    };
    let data = Path::new(&shared).join("data");
    for (kind, file, field) in [
        (MetricKind::Bleu, "wmt14_en_fr/test.jsonl", "target"),
        (MetricKind::Rouge2, "xsum/test.jsonl", "summary"),
        (MetricKind::ExactMatch, "triviaqa/test.jsonl", "answers"),
    ] {
        let texts = column(&data.join(file), field, 300);
        let shifted = texts.iter().cycle().skip(1);
        let equal: Vec<Judged> = texts
            .iter()
            .map(|text| judged(text, std::slice::from_ref(text)))
            .collect();
        let foreign: Vec<Judged> = texts
            .iter()
            .zip(shifted)
            .map(|(text, other)| judged(text, std::slice::from_ref(other)))
            .collect();
        let equal = score(kind, &equal).expect("rows with references");
        assert!((equal.value - 100.0).abs() < TOLERANCE, "{file} {equal:?}");
        let foreign = score(kind, &foreign).expect("rows with references");
        assert!(foreign.value < 5.0, "{file} {foreign:?}");
        assert_eq!(equal.samples, texts.len());
    }
}

//! ROUGE-2 F-measure as Google's `rouge_score` computes it with `use_stemmer=True` (Lin, 2004).

use std::collections::HashMap;

use super::{Judged, porter};

/// A row's F-measure in [0, 1]; of several references the one that gives most (`score_multi`).
pub(super) fn row_score(row: &Judged) -> f64 {
    let output = tokenize(&row.output);
    row.references
        .iter()
        .map(|reference| f_measure(&tokenize(reference), &output))
        .fold(0.0, f64::max)
}

fn f_measure(reference: &[String], output: &[String]) -> f64 {
    let allowed = count_bigrams(reference);
    let shared: u64 = count_bigrams(output)
        .iter()
        .map(|(bigram, &count)| count.min(allowed.get(bigram).copied().unwrap_or(0)))
        .sum();
    if shared == 0 {
        return 0.0;
    }
    // A shared bigram means that neither side is empty.
    let precision = shared as f64 / (output.len() - 1) as f64;
    let recall = shared as f64 / (reference.len() - 1) as f64;
    2.0 * precision * recall / (precision + recall)
}

fn count_bigrams(tokens: &[String]) -> HashMap<&[String], u64> {
    let mut counts = HashMap::new();
    for bigram in tokens.windows(2) {
        *counts.entry(bigram).or_insert(0) += 1;
    }
    counts
}

/// Lower-case runs of ASCII letters and digits; those of more than three characters are stemmed.
fn tokenize(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| match word.len() {
            ..=3 => word.to_owned(),
            _ => porter::stem(word),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokenizes_and_stems() {
        assert_eq!(
            tokenize("The CATS' flying—déjà 1,000 ties; \u{212a}ings"),
            ["the", "cat", "fli", "d", "j", "1", "000", "tie", "king"]
        );
        assert!(tokenize("…¿").is_empty());
    }

    #[test]
    fn counts_repeated_bigrams_no_more_often_than_the_other_side_has_them() {
        let row = |output: &str, references: &[&str]| Judged {
            output: output.into(),
            references: references.iter().map(|&text| text.into()).collect(),
        };
        // "a b" once in common, of 3 and 2 bigrams.
        let f = row_score(&row("a b a b", &["a b c"]));
        assert!((f - 2.0 / 5.0).abs() < 1e-12, "{f}");
        assert_eq!(row_score(&row("a b c", &["x", "a b c"])), 1.0);
        assert_eq!(row_score(&row("a", &["a"])), 0.0);
        assert_eq!(row_score(&row("", &[""])), 0.0);
    }
}

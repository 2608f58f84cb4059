//! Corpus BLEU as sacrebleu computes it by default: 13a tokens, up to four words, exponential
//! smoothing, no effective order, letter case kept (Papineni et al., 2002; Post, 2018).

use std::array;
use std::collections::HashMap;
use std::ops::AddAssign;
use std::sync::LazyLock;

use regex::Regex;

use super::{Judged, is_python_space};

const MAX_ORDER: usize = 4;

/// Corpus BLEU in [0, 100].
pub(super) fn corpus<'a>(rows: impl Iterator<Item = &'a Statistics>) -> f64 {
    let mut corpus = Statistics::default();
    rows.for_each(|row| corpus += row);
    corpus.bleu()
}

/// What BLEU needs to know of a row; of a corpus it is the sum over rows.
#[derive(Default)]
pub(super) struct Statistics {
    output_len: u64,
    /// The length of the reference nearest in length, the shorter of two equally near.
    reference_len: u64,
    /// For each order, n-grams of the output that a reference has too.
    matches: [u64; MAX_ORDER],
    /// For each order, n-grams of the output.
    totals: [u64; MAX_ORDER],
}

impl Statistics {
    /// Counts a row's words.
    pub(super) fn of(row: &Judged) -> Self {
        let output = tokenize(&row.output);
        let output = words(&output);
        let references: Vec<String> = row.references.iter().map(|text| tokenize(text)).collect();
        let references: Vec<Vec<&str>> = references.iter().map(|text| words(text)).collect();
        let matches = array::from_fn(|i| {
            // An n-gram counts as often as the reference that has it most often.
            let mut allowed = HashMap::new();
            for reference in &references {
                for (ngram, count) in count_ngrams(reference, i + 1) {
                    let most = allowed.entry(ngram).or_insert(0);
                    *most = count.max(*most);
                }
            }
            count_ngrams(&output, i + 1)
                .iter()
                .map(|(ngram, &count)| count.min(allowed.get(ngram).copied().unwrap_or(0)))
                .sum()
        });
        Self {
            output_len: output.len() as u64,
            reference_len: references
                .iter()
                .map(Vec::len)
                .min_by_key(|&len| (len.abs_diff(output.len()), len))
                .unwrap_or(0) as u64,
            matches,
            totals: array::from_fn(|i| output.len().saturating_sub(i) as u64),
        }
    }

    fn bleu(&self) -> f64 {
        if self.matches.iter().all(|&count| count == 0) {
            return 0.0;
        }
        let mut smoothing = 1.0;
        let mut log_sum = 0.0;
        for (&matches, &total) in self.matches.iter().zip(&self.totals) {
            if total == 0 {
                return 0.0; // no output is long enough for this order
            }
            let precision = if matches == 0 {
                // Each order without a match gets half of what the one before it got.
                smoothing *= 2.0;
                100.0 / (smoothing * total as f64)
            } else {
                100.0 * matches as f64 / total as f64
            };
            log_sum += f64::ln(precision);
        }
        let brevity = if self.output_len < self.reference_len {
            (1.0 - self.reference_len as f64 / self.output_len as f64).exp()
        } else {
            1.0
        };
        // Rounding could exceed 100 by an ulp.
        (brevity * (log_sum / MAX_ORDER as f64).exp()).min(100.0)
    }
}

impl AddAssign<&Statistics> for Statistics {
    fn add_assign(&mut self, row: &Statistics) {
        self.output_len += row.output_len;
        self.reference_len += row.reference_len;
        for order in 0..MAX_ORDER {
            self.matches[order] += row.matches[order];
            self.totals[order] += row.totals[order];
        }
    }
}

fn count_ngrams<'a>(words: &'a [&'a str], order: usize) -> HashMap<&'a [&'a str], u64> {
    let mut counts = HashMap::new();
    for ngram in words.windows(order) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

fn words(tokenized: &str) -> Vec<&str> {
    tokenized
        .split(is_python_space)
        .filter(|word| !word.is_empty())
        .collect()
}

/// The substitutions of `mteval-v13a.pl`, in order: each match is replaced by its groups with
/// spaces between and around as given.
static RULES: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
    let rule = |pattern, replacement| {
        let regex = Regex::new(pattern).expect("the pattern is a literal and covered by tests");
        (regex, replacement)
    };
    [
        // ASCII punctuation except ' , - . (and the space itself, which does no harm).
        (rule(
            r"([\x7b-\x7e\x5b-\x60\x20-\x26\x28-\x2b\x3a-\x40/])",
            " $1 ",
        )),
        // Periods and commas, unless between digits.
        (rule(r"([^0-9])([.,])", "$1 $2 ")),
        (rule(r"([.,])([^0-9])", " $1 $2")),
        // A dash after a digit.
        (rule(r"([0-9])(-)", "$1 $2 ")),
    ]
});

/// The 13a tokenizer; tokens are what [`words`] splits the result into.
fn tokenize(text: &str) -> String {
    let mut line = text
        .trim_end_matches(is_python_space)
        .replace("<skipped>", "")
        .replace("-\n", "")
        .replace('\n', " ");
    // One after the other: "&amp;lt;" becomes "<".
    for (entity, character) in [
        ("&quot;", "\""),
        ("&amp;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
    ] {
        line = line.replace(entity, character);
    }
    line = format!(" {line} ");
    for (regex, replacement) in RULES.iter() {
        line = regex.replace_all(&line, *replacement).into_owned();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokenizes_as_mteval_v13a_does() {
        for (text, expected) in [
            ("Hello, world!", "Hello , world !"),
            ("3.5 or 1,000.", "3.5 or 1,000 ."),
            ("1990-2000 well-known", "1990 - 2000 well-known"),
            ("it's (a) &quot;test&quot;", "it's ( a ) \" test \""),
            ("&amp;lt;b&gt;", "< b >"),
            ("hy-\nphen new\nline <skipped>", "hyphen new line"),
            ("a\u{a0}b\u{1c}c", "a b c"),
            ("", ""),
        ] {
            assert_eq!(words(&tokenize(text)).join(" "), expected, "{text:?}");
        }
    }

    #[test]
    fn equal_texts_score_100_and_disjoint_ones_0() {
        let row = |output: &str| Judged {
            output: output.into(),
            references: vec!["the cat sat on the mat".into()],
        };
        let bleu = |rows: &[Judged]| {
            let rows: Vec<Statistics> = rows.iter().map(Statistics::of).collect();
            corpus(rows.iter())
        };
        let equal = row("the cat sat on the mat");
        assert!((bleu(std::slice::from_ref(&equal)) - 100.0).abs() < 1e-9);
        assert_eq!(bleu(&[row("dogs run"), row("")]), 0.0);
        let value = bleu(&[equal, row("the cat lay on a mat"), row("")]);
        assert!(value > 10.0 && value < 90.0, "{value}");
    }
}

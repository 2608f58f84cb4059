//! Exact match with any accepted answer after TriviaQA's normalisation.

use super::{Judged, is_python_space};

/// Whether the output equals a reference, both normalised.
pub(super) fn is_right(row: &Judged) -> bool {
    let output = normalize(&row.output);
    row.references
        .iter()
        .any(|reference| normalize(reference) == output)
}

/// Lower case, punctuation to spaces, articles dropped, single spaces: TriviaQA's official
/// evaluation. (SQuAD's differs in one thing, it drops punctuation without leaving a space.)
fn normalize(text: &str) -> String {
    let spaced: String = text
        .to_lowercase()
        .chars()
        .map(|c| if is_punctuation(c) { ' ' } else { c })
        .collect();
    let kept = drop_articles(&spaced);
    kept.split(is_python_space)
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || matches!(c, '‘' | '’' | '´')
}

/// Puts a space in the place of every word `a`, `an` or `the`, a word being a run of letters and
/// digits.
fn drop_articles(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = first.is_alphanumeric();
        let end = rest
            .find(|c: char| c.is_alphanumeric() != is_word)
            .unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        kept.push_str(if matches!(run, "a" | "an" | "the") {
            " "
        } else {
            run
        });
        rest = tail;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_as_the_official_script_does() {
        for (text, expected) in [
            ("The Beatles", "beatles"),
            ("  a  Tale of\tTwo  Cities. ", "tale of two cities"),
            ("O'Neill", "o neill"),
            ("rock_n_roll", "rock n roll"),
            ("‘Théâtre’ an-theatre", "théâtre theatre"),
            ("a", ""),
            ("", ""),
        ] {
            assert_eq!(normalize(text), expected, "{text:?}");
        }
    }

    #[test]
    fn any_alias_counts() {
        let row = |output: &str| Judged {
            output: output.into(),
            references: vec!["Mark Twain".into(), "Samuel L. Clemens".into()],
        };
        assert!(is_right(&row("samuel l clemens")));
        assert!(is_right(&row("the Mark Twain!")));
        assert!(!is_right(&row("Twain")));
        assert!(!is_right(&row("")));
    }
}

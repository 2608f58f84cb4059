//! Accuracy: whether the first token of an output is the right label (paper section A.2.2).

use super::Judged;

/// Whether the output's first token equals a reference, letter case included.
///
/// The first token is the run of letters, digits and underscores at the start, so that `True.` is
/// `True`, and neither `Truely` nor `"True"` is.
pub(super) fn is_right(row: &Judged) -> bool {
    let first = first_token(&row.output);
    row.references
        .iter()
        .any(|reference| reference.trim() == first)
}

/// Whether an output can be equal to `label`: if it is one token, and keeps its ends when
/// punctuation is taken off.
pub(super) fn can_be_right(label: &str) -> bool {
    let is_inner = |c: char| c.is_alphanumeric();
    first_token(label) == label && label.starts_with(is_inner) && label.ends_with(is_inner)
}

fn first_token(output: &str) -> &str {
    let output = output.trim_start();
    let end = output
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(output.len());
    &output[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(output: &str, references: &[&str]) -> bool {
        is_right(&Judged {
            output: output.into(),
            references: references.iter().map(|&text| text.into()).collect(),
        })
    }

    #[test]
    fn looks_at_the_first_token_alone() {
        for output in ["True", " True", "True.", "True, because", "True\nFalse"] {
            assert!(right(output, &["True"]), "{output:?}");
        }
        for output in [
            "",
            "true",
            "Truely",
            "False",
            "it is True",
            "\"True\"",
            "True_x",
        ] {
            assert!(!right(output, &["True"]), "{output:?}");
        }
        assert!(right("B) Paris", &["A", "B"]));
    }

    #[test]
    fn labels_of_several_tokens_can_never_be_right() {
        for label in ["True", "B2B", "gut", "a_b", "7"] {
            assert!(can_be_right(label), "{label:?}");
        }
        for label in ["", " True", "very good", "not-good", "_x", "yes!"] {
            assert!(!can_be_right(label), "{label:?}");
        }
    }
}

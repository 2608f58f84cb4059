//! What a text has that another has not.

use maud::{Markup, html};
use similar::{ChangeTag, TextDiff};

/// Below this share of common words a text counts as another one, and is marked as a whole.
const ALIKE: f32 = 0.4;

/// `text` with the words marked that `first` has not, and those of `first` that are gone struck out.
pub(super) fn changes(first: &str, text: &str) -> Markup {
    if first == text {
        return html! { (text) };
    }
    let diff = TextDiff::from_words(first, text);
    if text.is_empty() {
        return html! { del { (first) } };
    }
    if diff.ratio() < ALIKE {
        return html! { mark { (text) } };
    }
    html! {
        @for change in diff.iter_all_changes() {
            @match change.tag() {
                ChangeTag::Equal => { (change.value()) },
                ChangeTag::Insert => { mark { (change.value()) } },
                ChangeTag::Delete => { del { (change.value()) } },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::changes;

    #[test]
    fn only_what_changed_is_marked() {
        for (first, text, expected) in [
            ("a b", "a b", "a b"),
            ("", "True", "<mark>True</mark>"),
            ("True", "", "<del>True</del>"),
            ("Oslo", "True", "<mark>True</mark>"),
            (
                "the cat sat on the mat",
                "the dog sat on the mat",
                "the <del>cat</del><mark>dog</mark> sat on the mat",
            ),
            ("x", "<b>", "<mark>&lt;b&gt;</mark>"),
        ] {
            assert_eq!(changes(first, text).into_string(), expected);
        }
    }
}

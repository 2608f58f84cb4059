//! What of a model's output counts as its answer (paper section A.2.2).

/// Words that begin another example. The prompt holds the first; where the output goes on to the
/// next example, its prefix is the second, and the answer ends there.
const PREFIXES: [&str; 3] = ["Q:", "Translate", "Article:"];

/// The text after `<extra_id_0>` and before `<extra_id_1>` where the model emits them, cut where
/// the output begins another example.
pub(crate) fn answer(output: &str) -> &str {
    answer_before(output, &PREFIXES)
}

/// The same, where another example begins with one of `prefixes`.
pub(crate) fn answer_before<'a>(output: &'a str, prefixes: &[&str]) -> &'a str {
    let text = match output.split_once("<extra_id_0>") {
        Some((_, after)) => after
            .split_once("<extra_id_1>")
            .map_or(after, |(between, _)| between),
        None => output
            .split_once("<extra_id_1>")
            .map_or(output, |(before, _)| before),
    };
    let end = prefixes
        .iter()
        .filter_map(|prefix| text.find(prefix))
        .min()
        .unwrap_or(text.len());
    text[..end].trim()
}

/// The first word of the answer, without punctuation: what classification is judged by.
pub(crate) fn first_word(output: &str) -> &str {
    first_word_of(answer(output))
}

/// The first word of an answer, without punctuation.
pub(crate) fn first_word_of(answer: &str) -> &str {
    let word = answer.split_whitespace().next().unwrap_or("");
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extracts_between_sentinels_and_cuts_at_the_next_example() {
        for (output, expected) in [
            ("Oslo", "Oslo"),
            ("<extra_id_0> Oslo <extra_id_1> in Norway", "Oslo"),
            ("<extra_id_0> Oslo", "Oslo"),
            (
                "Milwaukee, Wisconsin Q: what movies A: none",
                "Milwaukee, Wisconsin",
            ),
            ("ein Satz Translate English to German: x", "ein Satz"),
            ("one. Article: two Q: three", "one."),
            ("Q: where", ""),
            ("", ""),
        ] {
            assert_eq!(answer(output), expected, "{output}");
        }
        assert_eq!(first_word("<extra_id_0> True. And so on"), "True");
        assert_eq!(first_word("  "), "");
    }
}

//! The format of a target whose answers are free text: how long they are, and in which words.

use std::collections::HashMap;
use std::ops::RangeInclusive;

/// The share of lengths that are no sign of another format, at either end.
const OUTLIERS: f64 = 0.05;

/// What the training answers of a target are like.
pub(in crate::stages) struct TextFormat {
    words: WordShares,
    /// Words of an answer, without the shortest and longest 5% of answers.
    lengths: RangeInclusive<usize>,
}

impl TextFormat {
    pub(super) fn of(answers: &[String]) -> Self {
        let mut lengths: Vec<usize> = answers.iter().map(|text| words(text).count()).collect();
        lengths.sort_unstable();
        let last = lengths.len().saturating_sub(1) as f64;
        let at = |place: f64| lengths.get(place as usize).copied().unwrap_or(0);
        Self {
            lengths: at((OUTLIERS * last).floor())..=at(((1.0 - OUTLIERS) * last).ceil()),
            words: WordShares::of(answers),
        }
    }

    /// Whether `output` is as long as the target's answers are, and more than half of its words are more
    /// frequent in them than in the answers `own` of the task that it should answer.
    pub(super) fn has(&self, output: &str, own: &WordShares) -> bool {
        let all = words(output).count();
        let of_target = words(output).filter(|word| self.words.share(word) > own.share(word));
        self.lengths.contains(&all) && 2 * of_target.count() > all
    }
}

/// How frequent words are in some texts.
pub(super) struct WordShares {
    counts: HashMap<String, usize>,
    total: usize,
}

impl WordShares {
    pub(super) fn of<'t>(texts: impl IntoIterator<Item = &'t String>) -> Self {
        let mut counts = HashMap::new();
        let mut total = 0;
        for word in texts.into_iter().flat_map(|text| words(text)) {
            *counts.entry(word).or_default() += 1;
            total += 1;
        }
        Self { counts, total }
    }

    fn share(&self, word: &str) -> f64 {
        let count = self.counts.get(word).copied().unwrap_or(0);
        count as f64 / self.total.max(1) as f64
    }
}

/// Words in lower case without punctuation around them.
fn words(text: &str) -> impl Iterator<Item = String> {
    let bare = |word: &str| {
        word.trim_matches(|c: char| !c.is_alphanumeric())
            .to_lowercase()
    };
    let words = text.split_whitespace().map(bare);
    words.filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use promot_data::mini;
    use promot_data::split::Split;
    use promot_data::task::find_task;

    use super::*;

    /// Answers of a task of the mini world.
    fn answers(task: &str, split: Split) -> Vec<String> {
        let rows = mini::rows(task, split, 300);
        let task = find_task(task).unwrap();
        let rendered = rows.iter().map(|row| task.render(row).unwrap());
        rendered.map(|rendered| rendered.target).collect()
    }

    /// The percentage of `outputs` in the format of `target`, as answers to `task`.
    fn share(target: &str, task: &str, outputs: &[String]) -> usize {
        let format = TextFormat::of(&answers(target, Split::Train));
        let own = WordShares::of(&answers(task, Split::Test));
        let found = outputs.iter().filter(|output| format.has(output, &own));
        100 * found.count() / outputs.len()
    }

    #[test]
    fn french_is_told_from_answers_to_everything_else() {
        let french = answers("wmt14_en_fr", Split::Test);
        for task in [
            "cb",
            "wic",
            "triviaqa",
            "webquestions",
            "wmt16_en_de",
            "wmt16_en_ro",
            "xsum",
            "wikilingua_en",
        ] {
            let own = answers(task, Split::Test);
            assert!(share("wmt14_en_fr", task, &french) >= 85, "{task}");
            assert!(share("wmt14_en_fr", task, &own) <= 2, "{task}");
        }
    }

    #[test]
    fn in_one_language_length_and_words_tell_a_summary_from_an_answer() {
        let (summaries, short) = (
            answers("xsum", Split::Test),
            answers("triviaqa", Split::Test),
        );
        assert!(share("xsum", "triviaqa", &summaries) >= 85);
        assert!(share("xsum", "triviaqa", &short) <= 2);
        assert!(share("triviaqa", "xsum", &short) >= 85);
        assert!(share("triviaqa", "xsum", &summaries) <= 2);
    }

    #[test]
    fn lengths_are_those_of_most_answers_and_words_have_no_case() {
        let answer = |count: usize| vec!["Un"; count].join(" ");
        let format = TextFormat::of(&(1..=100).map(answer).collect::<Vec<_>>());
        assert_eq!(format.lengths, 5..=96);
        let own = WordShares::of(&["one".to_owned()]);
        for (output, expected) in [
            ("un UN un un un", true),
            ("un un un un", false),
            ("\"Un\" un, un one one.", true),
            ("un un one one two", false),
            ("", false),
        ] {
            assert_eq!(format.has(output, &own), expected, "{output}");
        }
    }
}

//! What is wrong with a pipeline file: where, what was expected, and the nearest valid name.

use std::fmt;

use crate::hub::HubError;

/// A place in one of the texts that make a pipeline: the file, a `--set` argument, or an included file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// 0 is the file, `i` the `i`-th `--set` argument; included files come after those.
    pub source: usize,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where.
    pub place: Place,
    /// What is wrong and what was expected.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Whether the pipeline is at fault, rather than the network or this machine.
    pub is_bad_input: bool,
}

/// All problems of a pipeline, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a problem of the pipeline.
    pub fn push(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        self.list.push(Diagnostic {
            place,
            message: message.into(),
            hint,
            is_bad_input: true,
        });
    }

    /// Adds the problem that what the key `what` names cannot be had of the hub.
    pub(crate) fn hub(&mut self, place: Place, what: &str, error: &HubError) {
        self.list.push(Diagnostic {
            place,
            message: format!("`{what}`: {error}"),
            hint: error.hint(),
            is_bad_input: error.is_bad_input(),
        });
    }

    /// Adds the problem that `name` is no `what` of `valid`, with the nearest as a hint.
    pub fn unknown(&mut self, place: Place, what: &str, name: &str, valid: &[&str]) {
        let hint = nearest(name, valid).map_or_else(
            || (!valid.is_empty()).then(|| format!("expected one of {}", valid.join(", "))),
            |near| Some(format!("did you mean `{near}`?")),
        );
        self.push(place, format!("unknown {what} `{name}`"), hint);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The problems in the order of the text.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|diagnostic| diagnostic.place);
        self.list
    }
}

/// The valid name most like `name`, if one is close.
pub fn nearest<'a>(name: &str, valid: &[&'a str]) -> Option<&'a str> {
    let distance =
        |other: &&&str| strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    let near = valid.iter().min_by_key(distance)?;
    (distance(&near) <= (name.chars().count() / 3).max(2)).then_some(*near)
}

/// The texts that places point into.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Name and text of the file, then of every `--set` argument, then of every included file.
    texts: Vec<(String, String)>,
    sets: Vec<String>,
}

impl Sources {
    /// The file and the `--set` arguments, which show as written on the command line.
    pub fn new(file: &str, text: &str, sets: &[String]) -> Self {
        let shown = sets.iter().map(|set| (format!("--set {set}"), set.clone()));
        Self {
            texts: std::iter::once((file.to_owned(), text.to_owned()))
                .chain(shown)
                .collect(),
            sets: sets.to_vec(),
        }
    }

    /// Adds an included file and returns its number.
    pub(crate) fn add_file(&mut self, name: &str, text: &str) -> usize {
        self.texts.push((name.to_owned(), text.to_owned()));
        self.texts.len() - 1
    }

    /// The `--set` arguments.
    pub(crate) fn sets(&self) -> &[String] {
        &self.sets
    }

    /// The name of a text.
    pub(crate) fn name(&self, source: usize) -> &str {
        &self.texts[source].0
    }

    /// A text.
    pub(crate) fn text(&self, source: usize) -> &str {
        &self.texts[source].1
    }

    /// Whether it is a file, in which lines can be shown.
    fn is_file(&self, source: usize) -> bool {
        source == 0 || source > self.sets.len()
    }
}

/// Problems with the lines they are about, for people to read.
pub struct Rendered<'a> {
    /// The texts.
    pub sources: &'a Sources,
    /// What is wrong in them.
    pub diagnostics: &'a [Diagnostic],
}

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in self.diagnostics {
            let Place {
                source,
                line,
                column,
            } = diagnostic.place;
            let (name, text) = &self.sources.texts[source];
            if self.sources.is_file(source) {
                writeln!(f, "error: {}", diagnostic.message)?;
                writeln!(f, "  --> {name}:{line}:{column}")?;
                let source_line = text.lines().nth(line - 1).unwrap_or("");
                let (source_line, before) = excerpt(source_line, column - 1);
                let number = line.to_string();
                let margin = " ".repeat(number.len());
                writeln!(f, "{margin} |\n{number} | {source_line}")?;
                writeln!(f, "{margin} | {}^", " ".repeat(before))?;
            } else {
                writeln!(f, "error: {}\n  --> {name}", diagnostic.message)?;
            }
            if let Some(hint) = &diagnostic.hint {
                writeln!(f, "  hint: {hint}")?;
            }
        }
        let count = self.diagnostics.len();
        writeln!(
            f,
            "{count} problem{}; nothing was run",
            if count == 1 { "" } else { "s" }
        )
    }
}

/// How many characters of a line are shown: one line of a terminal, or two.
const EXCERPT: usize = 120;
const CUT: &str = "...";

/// The part of a line around the character that `before` others precede, and how many precede it there.
fn excerpt(line: &str, before: usize) -> (String, usize) {
    let length = line.chars().count();
    if length.max(before) <= EXCERPT {
        return (line.to_owned(), before);
    }
    // As much on both sides, and at an end of the line what fits.
    let start = before.min(length).saturating_sub(EXCERPT / 2);
    let start = start.min(length.saturating_sub(EXCERPT));
    let end = length.min(start + EXCERPT);
    let kept = line.chars().skip(start).take(end - start);
    let (head, tail) = (
        if start > 0 { CUT } else { "" },
        if end < length { CUT } else { "" },
    );
    let shown = head.chars().chain(kept).chain(tail.chars()).collect();
    (shown, head.len() + before.min(length) - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_and_the_caret_stays_under_its_character() {
        let line = format!("{}X{}", "\u{e4}".repeat(500), "\u{f6}".repeat(500));
        for (at, line) in [
            (500, line),
            (2, format!("abX{}", "c".repeat(300))),
            (300, format!("{}X", "c".repeat(300))),
            (130, format!("{}X", "c".repeat(130))),
        ] {
            let (shown, before) = excerpt(&line, at);
            assert_eq!(shown.chars().nth(before), Some('X'), "{shown}");
            assert!(shown.chars().count() <= EXCERPT + 6, "{shown}");
            assert_eq!(shown.starts_with(CUT), at > 60, "{shown}");
            assert_eq!(shown.ends_with(CUT), at + 60 < line.chars().count());
        }
        // What ends too early is pointed at behind its end.
        assert_eq!(excerpt("ab", 2), ("ab".to_owned(), 2));
        let (shown, before) = excerpt(&"c".repeat(300), 300);
        assert_eq!(shown.chars().count(), before);
        assert_eq!(excerpt("ab", 400).0, "ab");
    }

    #[test]
    fn diagnostics_of_a_long_line_are_short() {
        let text = format!("a: [{}, x, {}]\n", "1, ".repeat(4000), "1, ".repeat(4000));
        let column = text.chars().position(|c| c == 'x').unwrap() + 1;
        let mut found = Diagnostics::new();
        let place = Place {
            source: 0,
            line: 1,
            column,
        };
        found.push(place, "no number", None);
        let shown = Rendered {
            sources: &Sources::new("long.yaml", &text, &[]),
            diagnostics: &found.into_sorted(),
        }
        .to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1], format!("  --> long.yaml:1:{column}"));
        assert!(lines.iter().all(|line| line.len() < 140), "{shown}");
        assert_eq!(lines[3].find('x'), lines[4].find('^'), "{shown}");
    }

    #[test]
    fn only_close_names_are_suggested() {
        let valid = ["steps", "learning_rate", "batch_size"];
        assert_eq!(nearest("step", &valid), Some("steps"));
        assert_eq!(nearest("Learning_rate", &valid), Some("learning_rate"));
        assert_eq!(nearest("colour", &valid), None);
    }
}

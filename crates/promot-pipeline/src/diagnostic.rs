//! What is wrong with a pipeline file: where, what was expected, and the nearest valid name.

use std::fmt;

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

    /// Adds a problem.
    pub fn push(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        self.list.push(Diagnostic {
            place,
            message: message.into(),
            hint,
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
                let number = line.to_string();
                let margin = " ".repeat(number.len());
                writeln!(f, "{margin} |\n{number} | {source_line}")?;
                writeln!(f, "{margin} | {}^", " ".repeat(column - 1))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_close_names_are_suggested() {
        let valid = ["steps", "learning_rate", "batch_size"];
        assert_eq!(nearest("step", &valid), Some("steps"));
        assert_eq!(nearest("Learning_rate", &valid), Some("learning_rate"));
        assert_eq!(nearest("colour", &valid), None);
    }
}

//! Where rows come from: the mini world, or JSON Lines files.

mod jsonl;

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::mini;
use crate::record::{FieldError, Record};
use crate::split::Split;
use crate::task::Task;

/// Where a data set's rows come from. A further source is a variant here and a file beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Generated rows of the mini world.
    Mini,
    /// A JSON Lines file for each split that is needed.
    Jsonl(JsonlFiles),
}

/// JSON Lines files, one object with the task's fields a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonlFiles {
    /// Rows to train on.
    pub train: Option<PathBuf>,
    /// Validation rows.
    pub validation: Option<PathBuf>,
    /// Test rows.
    pub test: Option<PathBuf>,
}

impl JsonlFiles {
    /// The file of a split.
    pub fn of(&self, split: Split) -> Option<&Path> {
        match split {
            Split::Train => self.train.as_deref(),
            Split::Validation => self.validation.as_deref(),
            Split::Test => self.test.as_deref(),
        }
    }
}

/// Why rows cannot be had.
#[derive(Debug, Error)]
pub enum DataError {
    /// No file is given for a split.
    #[error("no {split} file is given for task {task}")]
    NoFile {
        /// The task.
        task: &'static str,
        /// The split.
        split: Split,
    },
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A line that is no row.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is the matter.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// No rows at all.
    #[error("{what} has no rows")]
    Empty {
        /// What has none.
        what: String,
    },
}

impl DataError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoFile { split, .. } => Some(format!(
                "add `{split}: FILE` to the data stage's jsonl source"
            )),
            Self::Line { hint, .. } => hint.clone(),
            _ => None,
        }
    }
}

/// Up to `limit` rows of a split, each checked to have the fields of `task`.
///
/// # Errors
/// If the source has no such split, or a row cannot be used; the error names file and line.
pub fn load(
    task: &dyn Task,
    source: &Source,
    split: Split,
    limit: Option<usize>,
) -> Result<Vec<Record>, DataError> {
    let records = match source {
        Source::Mini => {
            let default = mini::DEFAULT_ROWS.iter().find(|(s, _)| *s == split);
            let default = default.map_or(usize::MAX, |&(_, rows)| rows);
            mini::rows(task.name(), split, limit.unwrap_or(default))
        }
        Source::Jsonl(files) => {
            let path = files.of(split).ok_or(DataError::NoFile {
                task: task.name(),
                split,
            })?;
            jsonl::read(path, limit, |record| task.render(record).map(|_| ()))?
        }
    };
    if records.is_empty() {
        let what = match source {
            Source::Mini => format!("the {split} split of task {}", task.name()),
            Source::Jsonl(files) => files
                .of(split)
                .unwrap_or(Path::new(""))
                .display()
                .to_string(),
        };
        return Err(DataError::Empty { what });
    }
    Ok(records)
}

/// Checks a row.
type Check<'a> = &'a dyn Fn(&Record) -> Result<(), FieldError>;

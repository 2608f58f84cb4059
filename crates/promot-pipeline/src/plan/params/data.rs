//! Stages that have rows: where these are, and what they are mixed from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use promot_core::{Digest, Digester};
use promot_data::source::{FileFormat, FileSource, Mapping, Source, SplitFiles};
use promot_data::split::Split;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::hub::DatasetFiles;

/// Where rows come from, with digests of the files' content.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DataSource {
    /// The mini world.
    Mini,
    /// Files.
    #[serde(untagged)]
    Files(Box<DataFiles>),
}

/// Files with rows, by split.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFiles {
    /// What the files are.
    pub format: FileFormat,
    /// Rows to train on.
    pub train: Option<FileSet>,
    /// Validation rows.
    pub validation: Option<FileSet>,
    /// Test rows.
    pub test: Option<FileSet>,
    /// From columns to fields.
    pub mapping: Mapping,
}

/// Files of a split. Serialised they are the digest of their content: where they lie does not
/// count.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct FileSet {
    /// Where they are, in the order in which they are read.
    #[serde(skip)]
    pub paths: Vec<PathBuf>,
    /// The same files where they are of the Hugging Face Hub and may not be here yet.
    #[serde(skip)]
    pub hub: Vec<DatasetFiles>,
    /// Digest of the content; of one file its own. For files of the hub their commit and names
    /// stand for the content.
    pub digest: Digest,
}

impl FileSet {
    /// Files with the digests of their contents; `hub` are those among them that have to be
    /// fetched.
    pub fn new(paths: Vec<PathBuf>, digests: &[Digest], hub: Vec<DatasetFiles>) -> Self {
        let digest = match digests {
            [only] => *only,
            several => {
                let add =
                    |digester: Digester, digest: &Digest| digester.field("file", digest.as_bytes());
                several.iter().fold(Digester::new(), add).finish()
            }
        };
        Self { paths, hub, digest }
    }
}

impl Serialize for DataFiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let splits = [
            ("train", &self.train),
            ("validation", &self.validation),
            ("test", &self.test),
        ];
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.format.name(), &BTreeMap::from(splits))?;
        if !self.mapping.is_empty() {
            map.serialize_entry("mapping", &self.mapping)?;
        }
        map.end()
    }
}

impl DataSource {
    /// Whether the rows of `split` can be read now: files of the hub may still have to be fetched.
    pub fn is_here(&self, split: Split) -> bool {
        let Self::Files(files) = self else {
            return true;
        };
        let of_split = match split {
            Split::Train => &files.train,
            Split::Validation => &files.validation,
            Split::Test => &files.test,
        };
        let missing = |set: &FileSet| !set.hub.is_empty() && !set.paths.iter().all(|p| p.exists());
        !of_split.as_ref().is_some_and(missing)
    }

    /// The same as `promot-data` names it.
    pub fn source(&self) -> Source {
        let paths = |files: &Option<FileSet>| {
            let paths = files.as_ref().map(|files| files.paths.clone());
            paths.unwrap_or_default()
        };
        match self {
            Self::Mini => Source::Mini,
            Self::Files(files) => Source::Files(FileSource {
                format: files.format,
                files: SplitFiles {
                    train: paths(&files.train),
                    validation: paths(&files.validation),
                    test: paths(&files.test),
                },
                mapping: files.mapping.clone(),
            }),
        }
    }
}

/// Rows of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataParams {
    /// The task's name.
    pub task: String,
    /// Where its rows come from.
    pub source: DataSource,
    /// At most so many training rows.
    pub train_rows: Option<usize>,
    /// Training rows held back for choosing checkpoints; never trained on, never evaluated on.
    pub dev_rows: usize,
}

/// One task of a mix.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MixPart {
    /// The data stage.
    pub data: String,
    /// The prompt stage whose prompt precedes this task's rows.
    pub prompt: Option<String>,
    /// Its share of a batch.
    pub weight: f64,
}

/// Several tasks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MixParams {
    /// The tasks.
    pub parts: Vec<MixPart>,
}

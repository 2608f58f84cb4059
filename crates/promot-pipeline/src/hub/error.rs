//! Why something of the hub cannot be had, and what to do about it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why something of the hub cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HubError {
    /// The environment makes no sense.
    #[error("{problem}")]
    Settings {
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// A text that names no repository.
    #[error("hf:{text}: expected hf:owner/name or hf:owner/name@revision")]
    Name {
        /// The text.
        text: String,
    },
    /// A text that names no files of a data set.
    #[error("hf:{text}: expected hf:owner/name:PATTERN or hf:owner/name@revision:PATTERN")]
    DatasetName {
        /// The text.
        text: String,
    },
    /// No such repository, as far as this user may know.
    #[error("hf:{repository}: there is no such repository")]
    NotFound {
        /// The repository.
        repository: String,
    },
    /// No such branch, tag or commit.
    #[error("hf:{repository}: there is no revision `{revision}`")]
    UnknownRevision {
        /// The repository.
        repository: String,
        /// The branch, tag or commit.
        revision: String,
    },
    /// The repository is private or gated, or does not exist: the hub does not always say which.
    #[error("hf:{repository}: access refused ({status}): private, gated or not there")]
    NoAccess {
        /// The repository.
        repository: String,
        /// The HTTP status: 401 or 403.
        status: u16,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The repository lacks a file.
    #[error("hf:{repository}: there is no {file}")]
    MissingFile {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
    },
    /// The repository has weights, but none that are safe to read.
    #[error("hf:{repository}: has pickled weights only ({file}), no safetensors")]
    OnlyPickles {
        /// The repository.
        repository: String,
        /// One of its files.
        file: String,
    },
    /// No file of a data set has the name that was asked for.
    #[error("hf:{repository}: no file matches `{pattern}`")]
    NothingMatches {
        /// The repository.
        repository: String,
        /// What was asked for.
        pattern: String,
    },
    /// A pattern that is none.
    #[error("`{pattern}`: {problem}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The network may not be used, and the cache does not have it.
    #[error("hf:{repository}: {what} is not in the cache {}, and HF_HUB_OFFLINE is set", cache.display())]
    Offline {
        /// The repository.
        repository: String,
        /// The revision or file.
        what: String,
        /// The cache's directory.
        cache: PathBuf,
    },
    /// The server cannot be reached, or broke off again and again.
    #[error("{url}: {problem}")]
    Network {
        /// What was asked for.
        url: String,
        /// What went wrong.
        problem: String,
    },
    /// The server does not want to.
    #[error("{url}: the server answers {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server does not answer as a hub does.
    #[error("{url}: {problem}")]
    Protocol {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// Fewer bytes came than were promised.
    #[error("{file}: {received} of {expected} bytes came, again and again")]
    Short {
        /// The file.
        file: String,
        /// Bytes that came.
        received: u64,
        /// Bytes that were promised.
        expected: u64,
    },
    /// What came is not what the repository holds.
    #[error("{file}: sha256 is {found}, the hub says {expected}; the download was removed")]
    Corrupt {
        /// The file.
        file: String,
        /// The digest of what came.
        found: String,
        /// The digest of what the repository holds.
        expected: String,
    },
    /// More bytes came than were promised.
    #[error("{file}: more than the promised {expected} bytes came; the download was removed")]
    Long {
        /// The file.
        file: String,
        /// Bytes that were promised.
        expected: u64,
    },
    /// A description that is larger than any description is.
    #[error("{file}: {size} bytes; at most {limit} were expected")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size in bytes.
        size: u64,
        /// The most that would have been taken.
        limit: u64,
    },
    /// A repository that names files outside of itself.
    #[error("{file}: names {name:?}, which is not a file of the repository")]
    UnsafeName {
        /// The file that says so.
        file: String,
        /// What it names.
        name: String,
    },
    /// An index of shards that cannot be read.
    #[error("{file}: {problem}")]
    Index {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// The file system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The user asked for it.
    #[error("stopped while downloading {file}; what has arrived is kept")]
    Stopped {
        /// The file.
        file: String,
    },
}

impl HubError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }

    /// Whether what was asked for is at fault, rather than the network or this machine.
    pub fn is_bad_input(&self) -> bool {
        !matches!(
            self,
            Self::Network { .. }
                | Self::Status { .. }
                | Self::Protocol { .. }
                | Self::Short { .. }
                | Self::Corrupt { .. }
                | Self::Long { .. }
                | Self::Io { .. }
                | Self::Stopped { .. }
        )
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Settings { hint, .. } => hint,
            Self::Name { .. } => "for example hf:google-t5/t5-small",
            Self::DatasetName { .. } => {
                "for example hf:nyu-mll/glue@refs/convert/parquet:rte/train/*.parquet"
            }
            Self::NotFound { .. } => "look for typing errors; owner and name are both needed",
            Self::UnknownRevision { .. } => "a revision is a branch, a tag or a whole commit hash",
            Self::NoAccess {
                with_token: false, ..
            } => "look for typing errors; set HF_TOKEN if the repository is private or gated",
            Self::NoAccess { .. } => {
                "accept the repository's terms on its page, with the account of the token"
            }
            Self::MissingFile { file, .. } if file == "tokenizer.json" => {
                "save the tokenizer with transformers' `save_pretrained` and give the directory"
            }
            Self::MissingFile { .. } => {
                "expected config.json, tokenizer.json and model.safetensors"
            }
            Self::OnlyPickles { .. } => {
                "convert them with Hugging Face's safetensors convert space, and give the \
                 revision it makes, such as @refs/pr/1"
            }
            Self::NothingMatches { .. } => {
                "Parquet files of most data sets are in the revision refs/convert/parquet"
            }
            Self::Pattern { .. } => "`*` stands for a part of a name, `**` for any directories",
            Self::Offline { .. } => "run once with the network, without HF_HUB_OFFLINE",
            Self::Network { .. } => {
                "run the same command again; HF_HUB_OFFLINE=1 uses only what is in the cache"
            }
            Self::Status { .. } => "try again later",
            Self::Protocol { .. } => "is HF_ENDPOINT a Hugging Face Hub?",
            Self::Short { .. } => "run the same command again: it goes on where this stopped",
            Self::Corrupt { .. } | Self::Long { .. } => {
                "run the same command again; if that does not help, a proxy may change content"
            }
            Self::TooLarge { .. } | Self::UnsafeName { .. } | Self::Index { .. } => {
                "the repository is damaged, or not to be trusted"
            }
            Self::Io { source, .. } if source.kind() == ErrorKind::StorageFull => {
                "free some disk space, or set HF_HOME to a larger disk, and run again"
            }
            Self::Io { .. } => return None,
            Self::Stopped { .. } => "run the same command again to go on",
        };
        Some(hint.to_owned())
    }
}

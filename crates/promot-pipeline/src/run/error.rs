//! Why a run fails.

use std::path::{Path, PathBuf};

use promot_data::metric::MetricError;
use promot_data::source::DataError;
use promot_data::tokenizer::TokenizerError;
use promot_model::alignment::AlignmentError;
use promot_model::backend::DeviceError;
use promot_model::checkpoint::CheckpointError;
use promot_model::train::TrainError;
use thiserror::Error;

use crate::hub::HubError;
use crate::report::CollectError;

/// Why a run stopped before its end.
#[derive(Debug, Error)]
pub enum RunError {
    /// The user asked for it.
    #[error("stopped in stage `{stage}`; everything so far is saved")]
    Interrupted {
        /// The stage.
        stage: String,
    },
    /// Rows cannot be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A tokenizer cannot be used.
    #[error("{}: {source}", path.display())]
    Tokenizer {
        /// Its file.
        path: PathBuf,
        /// What is the matter with it.
        source: TokenizerError,
    },
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Something of the Hugging Face Hub cannot be had.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Gradients cannot be compared.
    #[error("gradients: {0}")]
    Alignment(#[from] AlignmentError),
    /// A score cannot be computed.
    #[error("score: {0}")]
    Metric(#[from] MetricError),
    /// What an evaluation left cannot be read.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// The file system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// Another process works on the same stage.
    #[error("another run is working in {}", path.display())]
    Locked {
        /// The stage's directory.
        path: PathBuf,
    },
    /// Inputs that do not fit together.
    #[error("{problem}")]
    Mismatch {
        /// What does not fit.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// Any of these, in a stage.
    #[error("stage `{stage}`: {source}")]
    InStage {
        /// The stage.
        stage: String,
        /// What is wrong.
        source: Box<RunError>,
    },
}

impl RunError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn mismatch(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Mismatch {
            problem: problem.into(),
            hint: hint.into(),
        }
    }

    /// Says in which stage it is.
    pub(crate) fn in_stage(self, stage: &str) -> Self {
        match self {
            Self::Train(TrainError::Stopped { .. }) | Self::Interrupted { .. } => {
                Self::Interrupted {
                    stage: stage.to_owned(),
                }
            }
            source => Self::InStage {
                stage: stage.to_owned(),
                source: Box::new(source),
            },
        }
    }

    /// Whether the user stopped the run.
    pub fn is_interruption(&self) -> bool {
        matches!(
            self,
            Self::Interrupted { .. } | Self::Hub(HubError::Stopped { .. })
        )
    }

    /// Whether the input is at fault rather than the run.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::InStage { source, .. } => source.is_bad_input(),
            Self::Hub(error) => error.is_bad_input(),
            Self::Data(_) | Self::Tokenizer { .. } | Self::Mismatch { .. } => true,
            // A checkpoint the user gave; those in the store are written by the run itself.
            Self::Checkpoint(error) => !matches!(error, CheckpointError::Io { .. }),
            _ => false,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Interrupted { .. } => Some("run the same command again to go on".to_owned()),
            Self::Data(error) => error.hint(),
            Self::Tokenizer { source, .. } => Some(source.hint().to_owned()),
            Self::Checkpoint(error) => error.hint().map(str::to_owned),
            Self::Hub(error) => error.hint(),
            Self::Train(error) => error.hint().map(str::to_owned),
            Self::Metric(error) => Some(error.hint().to_owned()),
            Self::Collect(error) => Some(error.hint().to_owned()),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free some disk space and run the same command again".to_owned())
            }
            Self::Alignment(AlignmentError::NonFinite { .. }) => Some(
                "the weights at this step are of no use: lower the tuning stage's learning rate"
                    .to_owned(),
            ),
            Self::Io { .. } | Self::Device(_) | Self::Alignment(AlignmentError::Device(_)) => None,
            Self::Locked { .. } => Some("wait for it, or use another --store".to_owned()),
            Self::Mismatch { hint, .. } => Some(hint.clone()),
            Self::InStage { source, .. } => source.hint(),
        }
    }
}

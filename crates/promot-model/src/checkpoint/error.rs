//! What can be wrong with a checkpoint.

use std::path::PathBuf;

use thiserror::Error;

use crate::arch::ConfigError;

/// Why a checkpoint cannot be read or written.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The file system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// Bytes that are no safetensors file: a truncated file, a header that lies.
    #[error("not a whole safetensors file: {0}")]
    Safetensors(String),
    /// A file of JSON that is none, or lacks something.
    #[error("{0}")]
    Json(String),
    /// A `config.json` that describes no model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Values in a type that is not read.
    #[error("tensor {name} has dtype {dtype}, expected F32, BF16 or F16")]
    Dtype {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// Values that nothing can be computed from.
    #[error("tensor {name} has values that are NaN or infinite, {count} of {of}")]
    NotFinite {
        /// The tensor.
        name: String,
        /// How many.
        count: usize,
        /// All of its values.
        of: usize,
    },
    /// A tensor the architecture needs.
    #[error("tensor {name} is missing")]
    MissingTensor {
        /// The tensor.
        name: String,
    },
    /// A tensor the architecture has no place for.
    #[error("tensor {name} belongs to no parameter of this architecture")]
    UnexpectedTensor {
        /// The tensor.
        name: String,
    },
    /// A tensor of another shape than the configuration says.
    #[error("tensor {name} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// An adapter that is no soft prompt.
    #[error("{0}")]
    Adapter(String),
    /// Any of these, in a file.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: Box<CheckpointError>,
    },
}

impl CheckpointError {
    /// Says in which file it is.
    pub fn in_file(self, path: impl Into<PathBuf>) -> Self {
        match self {
            Self::Io { .. } | Self::InFile { .. } => self,
            source => Self::InFile {
                path: path.into(),
                source: Box::new(source),
            },
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::InFile { source, .. } => source.hint(),
            Self::Safetensors(_) => {
                Some("the file may be a partial download or an interrupted copy; fetch it again")
            }
            Self::Dtype { .. } => Some("convert the checkpoint to float32, bfloat16 or float16"),
            Self::NotFinite { .. } => Some(
                "its training diverged or a conversion overflowed; take an earlier checkpoint, or one of a wider type",
            ),
            Self::MissingTensor { .. } | Self::UnexpectedTensor { .. } | Self::Shape { .. } => {
                Some("the tensors and config.json must come from the same checkpoint")
            }
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free some disk space and run the same command again")
            }
            _ => None,
        }
    }
}

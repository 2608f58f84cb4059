//! Why training stops before its end.

use thiserror::Error;

use crate::backend::DeviceError;
use crate::checkpoint::CheckpointError;
use crate::lora::LoraError;

/// Why training did not finish.
#[derive(Debug, Error)]
pub enum TrainError {
    /// Somebody asked for it.
    #[error("stopped after step {step}; a checkpoint is saved")]
    Stopped {
        /// Steps done.
        step: u64,
    },
    /// The loss or a gradient is infinite or no number.
    #[error("the loss at step {step} is {loss}: training has diverged")]
    NonFinite {
        /// The step, from 1.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// LoRA's changes are of another model.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// The device failed; what it computed since cannot be used, and is not saved.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Checkpoints in the directory belong to another run.
    #[error("the checkpoint holds {found}, expected {expected}")]
    OtherRun {
        /// What is there.
        found: String,
        /// What was expected.
        expected: String,
    },
}

impl TrainError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Stopped { .. } => Some("run the same command again to go on"),
            Self::NonFinite { .. } => {
                Some("lower the learning rate; the checkpoint before this step is kept")
            }
            Self::Checkpoint(error) => error.hint(),
            Self::Lora(_) => Some("an adapter only fits models of the kind it was tuned on"),
            Self::Device(_) => Some("run the same command again to go on from the last checkpoint"),
            Self::OtherRun { .. } => Some("remove the stage's work directory and run again"),
        }
    }
}

//! What can go wrong with a GPU.

use thiserror::Error;

/// Why a GPU cannot be used, or no longer.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum GpuError {
    /// There is no NVIDIA driver.
    #[error(
        "no NVIDIA driver on this machine ({library} was not found); use the CPU (device: cpu), or \
         install the driver"
    )]
    NoDriver {
        /// The library that was looked for.
        library: String,
    },
    /// The driver is there, and a library that goes with it is not.
    #[error(
        "{library} was not found ({file}); install it, or name its directory in LD_LIBRARY_PATH"
    )]
    NoLibrary {
        /// Which one.
        library: String,
        /// The file that was looked for.
        file: String,
    },
    /// The driver is there, and such a device is not.
    #[error(
        "no CUDA device {index}: this machine has {count}; `promot-pipeline devices` lists them"
    )]
    NoDevice {
        /// Which one was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The device or its driver is older than what the kernels need.
    #[error("{name} cannot be used: {reason}")]
    Unsupported {
        /// The device.
        name: String,
        /// What is missing, and what to do.
        reason: String,
    },
    /// There is no more device memory.
    #[error(
        "out of GPU memory: {bytes} more bytes were asked for and {free} of {total} are free; use a \
         smaller batch_size, micro_batches or recompute: true"
    )]
    OutOfMemory {
        /// How much was asked for.
        bytes: usize,
        /// How much there is.
        free: usize,
        /// How much the device has.
        total: usize,
    },
    /// Anything else that the driver says.
    #[error("GPU: {doing}: {reason}")]
    Failed {
        /// What was tried.
        doing: String,
        /// What the driver said.
        reason: String,
    },
}

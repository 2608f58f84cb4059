//! What a device must offer: memory, a tape, and one set of kernels for each op.

mod bridge;
pub mod gpu;
mod gradient;
mod host;
mod memory;
mod tensor;
mod threads;

pub use gpu::Gpu;
pub use gradient::WeightGradient;
pub use host::{Host, HostGradients, HostTape};
pub use memory::{LineAligned, keep_freed_memory};
pub use tensor::{HostSlot, HostTensor};
pub use threads::{set_threads, threads};

use thiserror::Error;

use self::gpu::GpuError;
use crate::ops;

/// Rows and columns of a tensor. Everything is a row-major `f32` matrix: activations are
/// `(tokens, features)`, weights `(out_features, in_features)` as Hugging Face stores them, and a
/// vector is a matrix of one row.
pub type Shape = (usize, usize);

/// Why a device's results cannot be used.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum DeviceError {
    /// The GPU failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// A device: its memory, its tensors, and the tape on which backward passes are recorded.
///
/// Kernels see [`Device::Slice`]s only; that tensors have identities and gradients is known to the
/// tape alone. `Host` keeps all of it in dfdx; another device is one more implementation.
pub trait Device: Clone + 'static {
    /// Device memory as kernels read and write it.
    type Slice: ?Sized;
    /// Device memory that is owned.
    type Buffer: AsRef<Self::Slice> + AsMut<Self::Slice> + 'static;
    /// An immutable matrix with an identity. Cloning shares the memory.
    type Tensor: Clone + 'static;
    /// The place of one tensor's gradient. It does not keep the tensor's memory alive.
    type Slot: Clone + 'static;
    /// Recorded backward operations.
    type Tape;
    /// Gradients by slot.
    type Gradients: Default;

    /// A tensor that owns `buffer`, which holds `shape.0 * shape.1` values row by row.
    fn tensor(&self, buffer: Self::Buffer, shape: Shape) -> Self::Tensor;
    /// Rows and columns of a tensor.
    fn shape(tensor: &Self::Tensor) -> Shape;
    /// A tensor's memory, without a copy.
    fn slice(tensor: &Self::Tensor) -> &Self::Slice;
    /// Where a tensor's gradient goes.
    fn slot(tensor: &Self::Tensor) -> Self::Slot;

    /// Memory filled with zeros.
    fn zeros(&self, len: usize) -> Self::Buffer;
    /// Copies (or moves) host values to the device.
    fn upload(&self, values: Vec<f32>) -> Self::Buffer;
    /// Copies device values to the host.
    fn download(&self, slice: &Self::Slice) -> Vec<f32>;
    /// Whether all that was asked of the device so far was done: a device that can fail says so here,
    /// before a result is used or stored.
    ///
    /// # Errors
    /// The first error since the device was opened; what was computed after it is undefined.
    fn check(&self) -> Result<(), DeviceError> {
        Ok(())
    }

    /// What computes matrix products in the device's precision, for reports.
    fn kernels(&self) -> String;

    /// An empty tape; what it computes is added to `gradients`.
    fn new_tape(&self, gradients: Self::Gradients) -> Self::Tape;
    /// Appends a backward operation; they run last to first.
    fn record(tape: &mut Self::Tape, backward: impl FnOnce(&mut Self::Gradients) + 'static);
    /// Runs the recorded operations, the last first.
    fn run_backward(&self, tape: Self::Tape) -> Self::Gradients;

    /// Removes and returns a gradient; zeros when nothing was added to it.
    fn take_gradient(gradients: &mut Self::Gradients, slot: &Self::Slot) -> Self::Buffer;
    /// Removes and returns what was added to a gradient, if anything was.
    fn take_existing_gradient(
        gradients: &mut Self::Gradients,
        slot: &Self::Slot,
    ) -> Option<Self::Buffer>;
    /// Puts a gradient back that was taken.
    fn put_gradient(gradients: &mut Self::Gradients, slot: &Self::Slot, gradient: Self::Buffer);
    /// Adds to a gradient: `add` gets its memory (zeros at first) to accumulate into.
    fn add_gradient(
        gradients: &mut Self::Gradients,
        slot: &Self::Slot,
        add: impl FnOnce(&mut Self::Slice),
    );
    /// Adds `more` to a gradient, or makes it the gradient if there is none yet.
    fn add_gradient_buffer(
        &self,
        gradients: &mut Self::Gradients,
        slot: &Self::Slot,
        more: Self::Buffer,
    );
}

/// A device with a kernel for every op: what models are generic over.
pub trait Backend:
    Device
    + ops::add::Kernels
    + ops::attention::Kernels
    + ops::cross_attention::Kernels
    + ops::cross_entropy::Kernels
    + ops::dropout::Kernels
    + ops::embedding::Kernels
    + ops::feed_forward::Kernels
    + ops::kv_cache::Kernels
    + ops::linear::Kernels
    + ops::projection::Kernels
    + ops::rms_norm::Kernels
    + ops::rope::Kernels
    + ops::scale::Kernels
    + ops::self_attention::Kernels
    + ops::top_tokens::Kernels
{
}

impl<D> Backend for D where
    D: Device
        + ops::add::Kernels
        + ops::attention::Kernels
        + ops::cross_attention::Kernels
        + ops::cross_entropy::Kernels
        + ops::dropout::Kernels
        + ops::embedding::Kernels
        + ops::feed_forward::Kernels
        + ops::kv_cache::Kernels
        + ops::linear::Kernels
        + ops::projection::Kernels
        + ops::rms_norm::Kernels
        + ops::rope::Kernels
        + ops::scale::Kernels
        + ops::self_attention::Kernels
        + ops::top_tokens::Kernels
{
}

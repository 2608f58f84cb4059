//! The tape and the gradients of the second device: what dfdx does for the first.

use std::collections::HashMap;

use super::{GpuBuffer, GpuSlot};

/// A backward operation.
type Operation = Box<dyn FnOnce(&mut GpuGradients)>;

/// Recorded backward operations, and the gradients that they add to.
pub struct GpuTape {
    operations: Vec<Operation>,
    gradients: GpuGradients,
}

impl GpuTape {
    pub(super) fn new(gradients: GpuGradients) -> Self {
        Self {
            operations: Vec::new(),
            gradients,
        }
    }

    pub(super) fn push(&mut self, operation: Operation) {
        self.operations.push(operation);
    }

    pub(super) fn run(self) -> GpuGradients {
        let mut gradients = self.gradients;
        for operation in self.operations.into_iter().rev() {
            operation(&mut gradients);
        }
        gradients
    }
}

/// Gradients by the identity of the tensor that they are of.
#[derive(Default)]
pub struct GpuGradients(HashMap<u64, GpuBuffer>);

impl GpuGradients {
    /// Takes a gradient out; zeros if nothing was added to it.
    pub(super) fn take(&mut self, slot: &GpuSlot) -> GpuBuffer {
        self.take_existing(slot).unwrap_or_else(|| slot.zeros())
    }

    pub(super) fn take_existing(&mut self, slot: &GpuSlot) -> Option<GpuBuffer> {
        self.0.remove(&slot.identity())
    }

    pub(super) fn put(&mut self, slot: &GpuSlot, gradient: GpuBuffer) {
        assert_eq!(gradient.as_ref().len(), slot.len(), "values of a gradient");
        self.0.insert(slot.identity(), gradient);
    }
}

//! The CPU: tensors, tape and gradients are dfdx's.

use dfdx::shapes::{HasShape as _, Rank0};
use dfdx::tensor::{Cpu, Gradients, OwnedTape, Tape as _, Tensor, TensorFromVec as _, Trace as _};
use dfdx::tensor::{PutTape as _, SplitTape as _, ZerosTensor as _};
use dfdx::tensor_ops::Backward as _;

use super::tensor::{HostSlot, HostTensor};
use super::{Device, Shape, bridge};
use crate::gemm::{Precision, kernel_name};

/// The CPU as a [`Device`]: dfdx tensors, tape and gradients, with fused kernels on slices.
#[derive(Clone, Debug, Default)]
pub struct Host {
    cpu: Cpu,
    precision: Precision,
}

impl Host {
    /// The CPU, computing in `f32`.
    pub fn new() -> Self {
        Self::default()
    }

    /// The CPU, with matrix products in a given precision.
    pub fn with_precision(precision: Precision) -> Self {
        Self {
            cpu: Cpu::default(),
            precision,
        }
    }

    /// The precision of matrix products.
    pub fn precision(&self) -> Precision {
        self.precision
    }
}

/// dfdx's tape.
pub struct HostTape(OwnedTape<f32, Cpu>);

/// dfdx's gradients.
pub struct HostGradients(Gradients<f32, Cpu>);

impl Default for HostGradients {
    fn default() -> Self {
        // "leaky": dfdx drops nothing on its own. Ops take the gradients they consume, so what is
        // left after a backward pass is those of the leaves.
        Self(Gradients::leaky())
    }
}

impl Device for Host {
    type Slice = [f32];
    type Buffer = Vec<f32>;
    type Tensor = HostTensor;
    type Slot = HostSlot;
    type Tape = HostTape;
    type Gradients = HostGradients;

    fn tensor(&self, buffer: Vec<f32>, shape: Shape) -> Self::Tensor {
        assert_eq!(
            buffer.len(),
            shape.0 * shape.1,
            "values for shape {shape:?}"
        );
        let values = self.cpu.tensor_from_vec(buffer, shape);
        HostTensor::new(values, self.cpu.zeros(), self.precision)
    }

    fn shape(tensor: &Self::Tensor) -> Shape {
        *tensor.shape()
    }

    fn slice(tensor: &Self::Tensor) -> &[f32] {
        bridge::values(tensor)
    }

    fn slot(tensor: &Self::Tensor) -> HostSlot {
        tensor.slot()
    }

    fn zeros(&self, len: usize) -> Vec<f32> {
        vec![0.0; len]
    }

    fn upload(&self, values: Vec<f32>) -> Vec<f32> {
        values
    }

    fn download(&self, slice: &[f32]) -> Vec<f32> {
        slice.to_vec()
    }

    fn kernels(&self) -> String {
        kernel_name(self.precision).to_owned()
    }

    fn new_tape(&self, gradients: HostGradients) -> HostTape {
        let nothing: Tensor<Rank0, f32, Cpu> = self.cpu.zeros();
        HostTape(nothing.trace(gradients.0).split_tape().1)
    }

    fn record(tape: &mut HostTape, backward: impl FnOnce(&mut HostGradients) + 'static) {
        tape.0.add_backward_op(move |gradients| {
            let mut owned = HostGradients(std::mem::replace(gradients, Gradients::leaky()));
            backward(&mut owned);
            *gradients = owned.0;
            Ok(())
        });
    }

    fn run_backward(&self, tape: HostTape) -> HostGradients {
        let end: Tensor<Rank0, f32, Cpu> = self.cpu.zeros();
        HostGradients(end.put_tape(tape.0).backward())
    }

    fn take_gradient(gradients: &mut HostGradients, slot: &HostSlot) -> Vec<f32> {
        std::mem::take(slot.get(&mut gradients.0))
    }

    fn take_existing_gradient(gradients: &mut HostGradients, slot: &HostSlot) -> Option<Vec<f32>> {
        slot.existing(&mut gradients.0).map(std::mem::take)
    }

    fn put_gradient(gradients: &mut HostGradients, slot: &HostSlot, gradient: Vec<f32>) {
        slot.put(&mut gradients.0, gradient);
    }

    fn add_gradient(gradients: &mut HostGradients, slot: &HostSlot, add: impl FnOnce(&mut [f32])) {
        add(slot.get(&mut gradients.0));
    }

    fn add_gradient_buffer(&self, gradients: &mut HostGradients, slot: &HostSlot, more: Vec<f32>) {
        match slot.existing(&mut gradients.0) {
            Some(gradient) => crate::ops::add::Kernels::add_assign(self, gradient, &more),
            None => slot.put(&mut gradients.0, more),
        }
    }
}

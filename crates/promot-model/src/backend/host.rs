//! The CPU: tensors, tape and gradients are dfdx's.

use std::rc::Rc;

use dfdx::shapes::{HasShape as _, Rank0};
use dfdx::tensor::{Cpu, Gradients, OwnedTape, Tape as _, Tensor, TensorFromVec as _, Trace as _};
use dfdx::tensor::{PutTape as _, SplitTape as _, ZerosTensor as _};
use dfdx::tensor_ops::Backward as _;

use super::{Device, Shape, bridge};

/// The CPU as a [`Device`]: dfdx tensors, tape and gradients, with fused kernels on slices.
#[derive(Clone, Debug, Default)]
pub struct Host {
    cpu: Cpu,
}

impl Host {
    /// The CPU.
    pub fn new() -> Self {
        Self::default()
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

type FindGradient = dyn for<'g> Fn(&'g mut Gradients<f32, Cpu>) -> &'g mut Vec<f32>;

/// The place of a gradient in [`HostGradients`].
#[derive(Clone)]
pub struct HostSlot(Rc<FindGradient>);

impl Device for Host {
    type Slice = [f32];
    type Buffer = Vec<f32>;
    type Tensor = Tensor<(usize, usize), f32, Cpu>;
    type Slot = HostSlot;
    type Tape = HostTape;
    type Gradients = HostGradients;

    fn tensor(&self, buffer: Vec<f32>, shape: Shape) -> Self::Tensor {
        assert_eq!(
            buffer.len(),
            shape.0 * shape.1,
            "values for shape {shape:?}"
        );
        self.cpu.tensor_from_vec(buffer, shape)
    }

    fn shape(tensor: &Self::Tensor) -> Shape {
        *tensor.shape()
    }

    fn slice(tensor: &Self::Tensor) -> &[f32] {
        bridge::values(tensor)
    }

    fn slot(tensor: &Self::Tensor) -> HostSlot {
        // dfdx's ghost (identity and shape without data) has no public name: a closure carries it.
        let ghost = tensor.ghost();
        HostSlot(Rc::new(move |gradients| {
            gradients
                .get_or_alloc_mut(&ghost)
                .expect("host memory for a gradient")
        }))
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

    fn backward(&self, loss: &Self::Tensor, seed: f32, mut tape: HostTape) -> HostGradients {
        let slot = Self::slot(loss);
        Self::record(&mut tape, move |gradients| {
            Self::add_gradient(gradients, &slot, |gradient| gradient.fill(seed));
        });
        let end: Tensor<Rank0, f32, Cpu> = self.cpu.zeros();
        HostGradients(end.put_tape(tape.0).backward())
    }

    fn take_gradient(gradients: &mut HostGradients, slot: &HostSlot) -> Vec<f32> {
        std::mem::take((slot.0)(&mut gradients.0))
    }

    fn put_gradient(gradients: &mut HostGradients, slot: &HostSlot, gradient: Vec<f32>) {
        *(slot.0)(&mut gradients.0) = gradient;
    }

    fn add_gradient(gradients: &mut HostGradients, slot: &HostSlot, add: impl FnOnce(&mut [f32])) {
        add((slot.0)(&mut gradients.0));
    }
}

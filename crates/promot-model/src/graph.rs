//! One forward pass: variables, and the tape that remembers how to go back.

use crate::backend::{Device, Shape};

/// A tensor in a forward pass, and whether anybody wants its gradient.
///
/// An op whose inputs all have `requires_grad == false` records nothing and saves nothing: this is
/// how frozen parameters cost nothing.
pub struct Var<D: Device> {
    tensor: D::Tensor,
    requires_grad: bool,
}

impl<D: Device> Clone for Var<D> {
    fn clone(&self) -> Self {
        Self {
            tensor: self.tensor.clone(),
            requires_grad: self.requires_grad,
        }
    }
}

impl<D: Device> Var<D> {
    /// A tensor that no gradient is wanted for.
    pub fn constant(tensor: D::Tensor) -> Self {
        Self {
            tensor,
            requires_grad: false,
        }
    }

    /// A tensor whose gradient is wanted: a parameter that is tuned.
    pub fn leaf(tensor: D::Tensor) -> Self {
        Self {
            tensor,
            requires_grad: true,
        }
    }

    /// The tensor.
    pub fn tensor(&self) -> &D::Tensor {
        &self.tensor
    }

    /// Its memory.
    pub fn slice(&self) -> &D::Slice {
        D::slice(&self.tensor)
    }

    /// Rows and columns.
    pub fn shape(&self) -> Shape {
        D::shape(&self.tensor)
    }

    /// Whether a gradient is wanted.
    pub fn requires_grad(&self) -> bool {
        self.requires_grad
    }

    /// Where its gradient goes, if one is wanted.
    pub fn slot(&self) -> Option<D::Slot> {
        self.requires_grad.then(|| D::slot(&self.tensor))
    }
}

/// A forward pass on a device, with a tape (training) or without (inference).
pub struct Graph<D: Device> {
    device: D,
    tape: Option<D::Tape>,
}

impl<D: Device> Graph<D> {
    /// A pass that remembers nothing.
    pub fn inference(device: &D) -> Self {
        Self {
            device: device.clone(),
            tape: None,
        }
    }

    /// A pass whose gradients will be added to `gradients`.
    pub fn training(device: &D, gradients: D::Gradients) -> Self {
        Self {
            device: device.clone(),
            tape: Some(device.new_tape(gradients)),
        }
    }

    /// The device.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Whether this pass remembers.
    pub fn is_training(&self) -> bool {
        self.tape.is_some()
    }

    /// Whether an op that reads `inputs` has to record a backward operation.
    pub fn records(&self, inputs: &[&Var<D>]) -> bool {
        self.tape.is_some() && inputs.iter().any(|input| input.requires_grad)
    }

    /// Wraps an op's output. `backward` gets the gradients and the output's own gradient, which it
    /// consumes; `None` when [`Graph::records`] said that nothing is to be recorded.
    pub fn output<F>(&mut self, buffer: D::Buffer, shape: Shape, backward: Option<F>) -> Var<D>
    where
        F: FnOnce(&mut D::Gradients, D::Buffer) + 'static,
    {
        let tensor = self.device.tensor(buffer, shape);
        self.output_tensor(tensor, backward)
    }

    /// Like [`Graph::output`] for an output that the backward operation itself holds on to.
    pub fn output_tensor<F>(&mut self, tensor: D::Tensor, backward: Option<F>) -> Var<D>
    where
        F: FnOnce(&mut D::Gradients, D::Buffer) + 'static,
    {
        let requires_grad = backward.is_some();
        if let (Some(tape), Some(backward)) = (&mut self.tape, backward) {
            let slot = D::slot(&tensor);
            D::record(tape, move |gradients| {
                let gradient = D::take_gradient(gradients, &slot);
                backward(gradients, gradient);
            });
        }
        Var {
            tensor,
            requires_grad,
        }
    }

    /// Wraps several outputs of one op. `backward` takes their gradients itself.
    pub fn outputs<F>(&mut self, tensors: Vec<D::Tensor>, backward: Option<F>) -> Vec<Var<D>>
    where
        F: FnOnce(&mut D::Gradients) + 'static,
    {
        let requires_grad = backward.is_some();
        if let (Some(tape), Some(backward)) = (&mut self.tape, backward) {
            D::record(tape, backward);
        }
        let var = |tensor| Var {
            tensor,
            requires_grad,
        };
        tensors.into_iter().map(var).collect()
    }

    /// Runs the backward pass from `loss`, a `(1, 1)` variable, with gradient `seed`.
    ///
    /// # Panics
    /// If the pass was made for inference.
    pub fn backward(self, loss: &Var<D>, seed: f32) -> D::Gradients {
        let seed = self.device.upload(vec![seed]);
        self.backward_from(loss, seed)
    }

    /// Runs the backward pass from `y`, whose gradient is `dy`.
    ///
    /// # Panics
    /// If the pass was made for inference.
    pub fn backward_from(self, y: &Var<D>, dy: D::Buffer) -> D::Gradients {
        let mut tape = self.tape.expect("a pass made for training");
        let slot = D::slot(&y.tensor);
        let device = self.device.clone();
        D::record(&mut tape, move |gradients| {
            device.add_gradient_buffer(gradients, &slot, dy);
        });
        self.device.run_backward(tape)
    }
}

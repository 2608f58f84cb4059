//! The sublayer on the GPU: products, and between them the activation in one kernel each way.

use super::{Activation, Kernels, Problem, Tensors, WeightGradients};
use crate::backend::Gpu;
use crate::backend::gpu::{
    Activations, Argument, GpuBuffer, GpuSlice, GpuTensor, Kernel, Module, Operand, Terms,
    index_u32,
};
use crate::gemm::Precision;
use crate::ops::dropout::mask_arguments;
use crate::ops::rms_norm::Kernels as _;

static MODULE: Module = Module {
    name: "activation",
    ptx: include_str!("activation.ptx"),
};
const FORWARD_F32: Kernel = kernel("activation_forward_f32");
const FORWARD_BF16: Kernel = kernel("activation_forward_bf16");
const BACKWARD_F32: Kernel = kernel("activation_backward_f32");
const BACKWARD_BF16: Kernel = kernel("activation_backward_bf16");

const fn kernel(name: &'static str) -> Kernel {
    Kernel {
        module: &MODULE,
        name,
    }
}

/// A missing tensor.
const NULL: Argument = Argument::Address(0);

/// Hidden values before the activation, `(T, F)` each.
pub struct GpuSaved {
    gate: Option<GpuBuffer>,
    up: GpuBuffer,
}

/// How the kernels call an activation.
fn code(activation: Activation) -> Argument {
    Argument::U32(match activation {
        Activation::Relu => 0,
        Activation::GatedGelu => 1,
        Activation::GatedSilu => 2,
    })
}

/// What the backward pass multiplies, `(T, F)` each.
struct Hidden {
    h: Terms,
    dgate: Option<Terms>,
    dup: Terms,
}

impl Gpu {
    /// `normed wᵀ`, `(T, F)`.
    fn project(&self, normed: Operand<'_>, w: &GpuTensor, problem: &Problem) -> GpuBuffer {
        let mut y = self.uninitialized(problem.tokens * problem.hidden);
        self.multiply(normed, Operand::weight(w).t(), y.as_mut(), 1.0, 0.0);
        y
    }

    /// Hidden values after the activation.
    fn activate(&self, saved: &GpuSaved, problem: &Problem) -> Terms {
        let h = self.terms(problem.tokens, problem.hidden);
        let kernel = match self.precision() {
            Precision::F32 => FORWARD_F32,
            Precision::Bf16 => FORWARD_BF16,
        };
        self.launch_activation(kernel, &[h.argument()], saved, problem);
        h
    }

    /// Hidden values again, and the gradients of what the activation read.
    fn activate_backward(&self, dh: &GpuSlice, saved: &GpuSaved, problem: &Problem) -> Hidden {
        let terms = || self.terms(problem.tokens, problem.hidden);
        let (h, dup) = (terms(), terms());
        let dgate = saved.gate.as_ref().map(|_| terms());
        let kernel = match self.precision() {
            Precision::F32 => BACKWARD_F32,
            Precision::Bf16 => BACKWARD_BF16,
        };
        let arguments = [
            h.argument(),
            dgate.as_ref().map_or(NULL, Terms::argument),
            dup.argument(),
            dh.argument(),
        ];
        self.launch_activation(kernel, &arguments, saved, problem);
        Hidden { h, dgate, dup }
    }

    /// A kernel over all hidden values; `first` are the arguments that its direction alone has.
    fn launch_activation(
        &self,
        kernel: Kernel,
        first: &[Argument],
        saved: &GpuSaved,
        problem: &Problem,
    ) {
        let up = saved.up.as_ref();
        let gate = saved.gate.as_ref().map(AsRef::as_ref);
        let mut arguments = first.to_vec();
        arguments.extend([
            gate.map_or(NULL, GpuSlice::argument),
            up.argument(),
            code(problem.activation),
        ]);
        arguments.extend(mask_arguments(problem.hidden_dropout));
        arguments.extend([
            Argument::U32(index_u32(problem.hidden)),
            Argument::U64(up.len() as u64),
        ]);
        self.launch_over(kernel, up.len(), &arguments);
    }
}

impl Kernels for Gpu {
    type Saved = GpuSaved;

    fn feed_forward(
        &self,
        tensors: Tensors<'_, Self>,
        problem: &Problem,
        keep: bool,
    ) -> (GpuBuffer, Option<GpuSaved>) {
        let normed = self.rms_norm_terms(tensors.x, tensors.norm, problem.eps);
        let project = |w| self.project(normed.rows(), w, problem);
        let saved = GpuSaved {
            gate: tensors.gate.map(project),
            up: project(tensors.up),
        };
        let h = self.activate(&saved, problem);
        let y = self.add_product(
            tensors.x,
            h.rows(),
            Operand::weight(tensors.down).t(),
            problem.width,
            problem.output_dropout,
        );
        (y, keep.then_some(saved))
    }

    fn feed_forward_backward(
        &self,
        mut dy: GpuBuffer,
        saved: GpuSaved,
        tensors: Tensors<'_, Self>,
        problem: &Problem,
        weights: Option<&mut WeightGradients<GpuBuffer>>,
    ) -> GpuBuffer {
        let Problem { width, hidden, .. } = *problem;
        let key = problem.output_dropout;
        let dropped = key.map(|key| self.drop_rows(dy.as_ref(), width, key));
        let dz = Activations::new(dropped.as_ref().unwrap_or(&dy).as_ref(), width);
        let mut dh = self.uninitialized(problem.tokens * hidden);
        let down = Operand::weight(tensors.down);
        self.multiply(dz.rows(), down, dh.as_mut(), 1.0, 0.0);
        let Hidden { h, dgate, dup } = self.activate_backward(dh.as_ref(), &saved, problem);
        drop((dh, saved));
        let mut dn = self.uninitialized(problem.tokens * width);
        self.multiply(
            dup.rows(),
            Operand::weight(tensors.up),
            dn.as_mut(),
            1.0,
            0.0,
        );
        if let (Some(dgate), Some(weight)) = (&dgate, tensors.gate) {
            self.multiply(dgate.rows(), Operand::weight(weight), dn.as_mut(), 1.0, 1.0);
        }
        if let Some(weights) = weights {
            let normed = self.rms_norm_terms(tensors.x, tensors.norm, problem.eps);
            self.add_weight_gradient(&mut weights.up, dup.rows(), normed.rows());
            if let (Some(dgate), Some(gradient)) = (&dgate, &mut weights.gate) {
                self.add_weight_gradient(gradient, dgate.rows(), normed.rows());
            }
            self.add_weight_gradient(&mut weights.down, dz.rows(), h.rows());
            self.rms_norm_dw(weights.norm.as_mut(), dn.as_ref(), tensors.x, problem.eps);
        }
        drop(dz);
        drop(dropped);
        self.rms_norm_dx(
            dy.as_mut(),
            dn.as_ref(),
            tensors.x,
            tensors.norm,
            problem.eps,
        );
        dy
    }
}

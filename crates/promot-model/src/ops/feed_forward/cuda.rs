//! The sublayer on the GPU: products, and between them the activation in one kernel each way.

use super::{Activation, Kernels, Problem, Tensors, WeightGradients};
use crate::backend::Gpu;
use crate::backend::gpu::{
    Argument, GpuBuffer, GpuSlice, GpuTensor, Kernel, Module, Operand, index_u32,
};
use crate::ops::dropout::mask_arguments;
use crate::ops::rms_norm::Kernels as _;

static MODULE: Module = Module {
    name: "activation",
    ptx: include_str!("activation.ptx"),
};
const FORWARD: Kernel = Kernel {
    module: &MODULE,
    name: "activation_forward",
};
const BACKWARD: Kernel = Kernel {
    module: &MODULE,
    name: "activation_backward",
};

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

impl Gpu {
    /// `normed wᵀ`, `(T, F)`.
    fn project(&self, normed: &GpuSlice, w: &GpuTensor, problem: &Problem) -> GpuBuffer {
        let mut y = self.uninitialized(problem.tokens * problem.hidden);
        let normed = Operand::rows_of(normed, problem.width);
        self.multiply(normed, Operand::weight(w).t(), y.as_mut(), 1.0, 0.0);
        y
    }

    /// A kernel over all hidden values: `h` is written or changed, `gate` and `up` read or changed.
    fn activate(
        &self,
        kernel: Kernel,
        h: &mut GpuSlice,
        gate: Option<&GpuSlice>,
        up: &GpuSlice,
        problem: &Problem,
    ) {
        let [key, zeroed, scale] = mask_arguments(problem.hidden_dropout);
        let arguments = [
            h.argument(),
            gate.map_or(Argument::Address(0), GpuSlice::argument),
            up.argument(),
            code(problem.activation),
            key,
            zeroed,
            scale,
            Argument::U32(index_u32(problem.hidden)),
            Argument::U64(up.len() as u64),
        ];
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
        let normed = self.rms_norm(tensors.x, tensors.norm, problem.width, problem.eps);
        let normed = normed.as_ref();
        let gate = tensors.gate.map(|w| self.project(normed, w, problem));
        let up = self.project(normed, tensors.up, problem);
        let mut h = self.uninitialized(problem.tokens * problem.hidden);
        let gate_slice = gate.as_ref().map(AsRef::as_ref);
        self.activate(FORWARD, h.as_mut(), gate_slice, up.as_ref(), problem);
        let y = self.add_product(
            tensors.x,
            Operand::rows_of(h.as_ref(), problem.hidden),
            Operand::weight(tensors.down).t(),
            problem.width,
            problem.output_dropout,
        );
        (y, keep.then_some(GpuSaved { gate, up }))
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
        let dz = dropped.as_ref().unwrap_or(&dy).as_ref();
        let dz = Operand::rows_of(dz, width);
        let mut h = self.uninitialized(problem.tokens * hidden);
        self.multiply(dz, Operand::weight(tensors.down), h.as_mut(), 1.0, 0.0);
        // From here on `gate` and `up` are their own gradients.
        let GpuSaved { gate, up } = saved;
        let gate_slice = gate.as_ref().map(AsRef::as_ref);
        self.activate(BACKWARD, h.as_mut(), gate_slice, up.as_ref(), problem);
        let dup = Operand::rows_of(up.as_ref(), hidden);
        let dgate = gate_slice.map(|gate| Operand::rows_of(gate, hidden));
        let mut dn = self.uninitialized(problem.tokens * width);
        self.multiply(dup, Operand::weight(tensors.up), dn.as_mut(), 1.0, 0.0);
        if let (Some(dgate), Some(weight)) = (dgate, tensors.gate) {
            self.multiply(dgate, Operand::weight(weight), dn.as_mut(), 1.0, 1.0);
        }
        if let Some(weights) = weights {
            let normed = self.rms_norm(tensors.x, tensors.norm, width, problem.eps);
            let normed = Operand::rows_of(normed.as_ref(), width);
            self.multiply(dup.t(), normed, weights.up.as_mut(), 1.0, 1.0);
            if let (Some(dgate), Some(gradient)) = (dgate, &mut weights.gate) {
                self.multiply(dgate.t(), normed, gradient.as_mut(), 1.0, 1.0);
            }
            let h = Operand::rows_of(h.as_ref(), hidden);
            self.multiply(dz.t(), h, weights.down.as_mut(), 1.0, 1.0);
            self.rms_norm_dw(weights.norm.as_mut(), dn.as_ref(), tensors.x, problem.eps);
        }
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

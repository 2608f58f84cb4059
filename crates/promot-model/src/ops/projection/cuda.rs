//! The projections on the GPU: the normalised input once, then a product a weight.

use super::{Kernels, NormInput, NormLinearsGradients};
use crate::backend::gpu::{Activations, GpuBuffer, GpuSlice, GpuTensor, Operand};
use crate::backend::{Gpu, WeightGradient};
use crate::ops::dropout::DropoutKey;
use crate::ops::rms_norm::Kernels as _;

impl Kernels for Gpu {
    fn norm_linears(
        &self,
        input: NormInput<'_, GpuSlice>,
        weights: &[&GpuTensor],
    ) -> Vec<GpuBuffer> {
        let width = input.norm.len();
        let normed = self.rms_norm_terms(input.x, input.norm, input.eps);
        let tokens = input.x.len() / width;
        let each = |weight: &&GpuTensor| {
            let mut y = self.uninitialized(tokens * weight.shape().0);
            self.multiply(
                normed.rows(),
                Operand::weight(weight).t(),
                y.as_mut(),
                1.0,
                0.0,
            );
            y
        };
        weights.iter().map(each).collect()
    }

    fn norm_linears_backward(
        &self,
        gradients: &mut NormLinearsGradients<GpuBuffer>,
        dys: Vec<GpuBuffer>,
        input: NormInput<'_, GpuSlice>,
        weights: &[&GpuTensor],
    ) {
        let NormInput { x, norm, eps } = input;
        let dys = dys.iter().zip(weights);
        let dys = dys.map(|(dy, weight)| Activations::new(dy.as_ref(), weight.shape().0));
        let dys: Vec<_> = dys.collect();
        let mut dn = self.uninitialized(x.len());
        for (i, (dy, weight)) in dys.iter().zip(weights).enumerate() {
            // The first one writes what is there, the others add to it.
            let beta = if i == 0 { 0.0 } else { 1.0 };
            self.multiply(dy.rows(), Operand::weight(weight), dn.as_mut(), 1.0, beta);
        }
        self.rms_norm_dx(gradients.dx.as_mut(), dn.as_ref(), x, norm, eps);
        let Some(dnorm) = &mut gradients.dnorm else {
            return;
        };
        self.rms_norm_dw(dnorm.as_mut(), dn.as_ref(), x, eps);
        let normed = self.rms_norm_terms(x, norm, eps);
        for (dw, dy) in gradients.dws.iter_mut().zip(&dys) {
            self.add_weight_gradient(dw, dy.rows(), normed.rows());
        }
    }

    fn linear_add(
        &self,
        x: &GpuSlice,
        h: &GpuSlice,
        w: &GpuTensor,
        dropout: Option<DropoutKey>,
    ) -> GpuBuffer {
        let (width, features) = w.shape();
        let h = Activations::new(h, features);
        self.add_product(x, h.rows(), Operand::weight(w).t(), width, dropout)
    }

    fn linear_add_backward(
        &self,
        dy: &GpuSlice,
        h: &GpuSlice,
        w: &GpuTensor,
        dropout: Option<DropoutKey>,
        dw: Option<&mut WeightGradient<GpuBuffer>>,
    ) -> GpuBuffer {
        let (width, features) = w.shape();
        let dropped = dropout.map(|key| self.drop_rows(dy, width, key));
        let dy = dropped.as_ref().map_or(dy, AsRef::as_ref);
        let dy = Activations::new(dy, width);
        let mut dh = self.uninitialized(h.len());
        self.multiply(dy.rows(), Operand::weight(w), dh.as_mut(), 1.0, 0.0);
        if let Some(dw) = dw {
            let h = Activations::new(h, features);
            self.add_weight_gradient(dw, dy.rows(), h.rows());
        }
        dh
    }
}

impl Gpu {
    /// Adds `dyᵀ x`.
    pub(in crate::ops) fn add_weight_gradient(
        &self,
        gradient: &mut WeightGradient<GpuBuffer>,
        dy: Operand<'_>,
        x: Operand<'_>,
    ) {
        let beta = if gradient.0.is_some() { 1.0 } else { 0.0 };
        let len = dy.shape().1 * x.shape().1;
        let gradient = gradient.0.get_or_insert_with(|| self.uninitialized(len));
        self.multiply(dy.t(), x, gradient.as_mut(), 1.0, beta);
    }

    /// `x + dropout(a b)`, rows of `width` values.
    pub(in crate::ops) fn add_product(
        &self,
        x: &GpuSlice,
        a: Operand<'_>,
        b: Operand<'_>,
        width: usize,
        dropout: Option<DropoutKey>,
    ) -> GpuBuffer {
        match dropout {
            None => self.multiply_add(a, b, x),
            Some(key) => {
                let mut y = self.uninitialized(x.len());
                self.multiply(a, b, y.as_mut(), 1.0, 0.0);
                self.add_dropped_rows(y.as_mut(), x, width, key);
                y
            }
        }
    }
}

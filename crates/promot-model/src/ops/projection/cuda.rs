//! The projections on the GPU: the normalised input once, then a product a weight.

use super::{Kernels, NormInput, NormLinearsGradients};
use crate::backend::gpu::{GpuBuffer, GpuSlice, GpuTensor, Operand};
use crate::backend::{Device as _, Gpu};
use crate::ops::dropout::DropoutKey;
use crate::ops::rms_norm::Kernels as _;

impl Kernels for Gpu {
    fn norm_linears(
        &self,
        input: NormInput<'_, GpuSlice>,
        weights: &[&GpuTensor],
    ) -> Vec<GpuBuffer> {
        let width = input.norm.len();
        let normed = self.rms_norm(input.x, input.norm, width, input.eps);
        let normed = Operand::rows_of(normed.as_ref(), width);
        let tokens = input.x.len() / width;
        let each = |weight: &&GpuTensor| {
            let mut y = self.uninitialized(tokens * weight.shape().0);
            self.multiply(normed, Operand::weight(weight).t(), y.as_mut(), 1.0, 0.0);
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
        let width = norm.len();
        let mut dn = self.zeros(x.len());
        for (dy, weight) in dys.iter().zip(weights) {
            let dy = Operand::rows_of(dy.as_ref(), weight.shape().0);
            self.multiply(dy, Operand::weight(weight), dn.as_mut(), 1.0, 1.0);
        }
        self.rms_norm_dx(gradients.dx.as_mut(), dn.as_ref(), x, norm, eps);
        let Some(dnorm) = &mut gradients.dnorm else {
            return;
        };
        self.rms_norm_dw(dnorm.as_mut(), dn.as_ref(), x, eps);
        let normed = self.rms_norm(x, norm, width, eps);
        let normed = Operand::rows_of(normed.as_ref(), width);
        for ((dw, dy), weight) in gradients.dws.iter_mut().zip(&dys).zip(weights) {
            let dy = Operand::rows_of(dy.as_ref(), weight.shape().0).t();
            self.multiply(dy, normed, dw.as_mut(), 1.0, 1.0);
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
        let (h, w) = (Operand::rows_of(h, features), Operand::weight(w).t());
        self.add_product(x, h, w, width, dropout)
    }

    fn linear_add_backward(
        &self,
        dy: &GpuSlice,
        h: &GpuSlice,
        w: &GpuTensor,
        dropout: Option<DropoutKey>,
        dw: Option<&mut GpuBuffer>,
    ) -> GpuBuffer {
        let (width, features) = w.shape();
        let dropped = dropout.map(|key| self.drop_rows(dy, width, key));
        let dy = dropped.as_ref().map_or(dy, AsRef::as_ref);
        let dy = Operand::rows_of(dy, width);
        let mut dh = self.uninitialized(h.len());
        self.multiply(dy, Operand::weight(w), dh.as_mut(), 1.0, 0.0);
        if let Some(dw) = dw {
            let h = Operand::rows_of(h, features);
            self.multiply(dy.t(), h, dw.as_mut(), 1.0, 1.0);
        }
        dh
    }
}

impl Gpu {
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
            None => {
                let mut y = self.copy_of(x);
                self.multiply(a, b, y.as_mut(), 1.0, 1.0);
                y
            }
            Some(key) => {
                let mut y = self.uninitialized(x.len());
                self.multiply(a, b, y.as_mut(), 1.0, 0.0);
                self.add_dropped_rows(y.as_mut(), x, width, key);
                y
            }
        }
    }
}

//! The products on the CPU, all three by [`crate::gemm`]; weights stay packed while they are the
//! same.

use super::{Kernels, Sizes};
use crate::backend::{Host, HostTensor};
use crate::gemm::{Matrix, matmul, product};

impl Kernels for Host {
    fn linear(&self, x: &[f32], w: &HostTensor, sizes: Sizes) -> Vec<f32> {
        let x = Matrix::new(x, sizes.tokens, sizes.in_features);
        product(x, w.factor_t(), self.precision())
    }

    fn linear_dx(&self, dx: &mut [f32], dy: &[f32], w: &HostTensor, sizes: Sizes) {
        let dy = Matrix::new(dy, sizes.tokens, sizes.out_features);
        matmul(dx, dy, w.factor(), true, self.precision());
    }

    fn linear_dw(&self, dw: &mut [f32], dy: &[f32], x: &[f32], sizes: Sizes) {
        let dy = Matrix::new(dy, sizes.tokens, sizes.out_features);
        let x = Matrix::new(x, sizes.tokens, sizes.in_features);
        matmul(dw, dy.t(), x, true, self.precision());
    }
}

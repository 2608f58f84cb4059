//! The products on the CPU, all three by [`crate::gemm`].

use super::{Kernels, Sizes};
use crate::backend::Host;
use crate::gemm::{Matrix, matmul};

impl Kernels for Host {
    fn linear(&self, x: &[f32], w: &[f32], sizes: Sizes) -> Vec<f32> {
        let (x, w) = operands(x, w, sizes);
        let mut y = vec![0.0; sizes.tokens * sizes.out_features];
        matmul(&mut y, x, w.t(), false);
        y
    }

    fn linear_dx(&self, dx: &mut [f32], dy: &[f32], w: &[f32], sizes: Sizes) {
        let dy = Matrix::new(dy, sizes.tokens, sizes.out_features);
        let w = Matrix::new(w, sizes.out_features, sizes.in_features);
        matmul(dx, dy, w, true);
    }

    fn linear_dw(&self, dw: &mut [f32], dy: &[f32], x: &[f32], sizes: Sizes) {
        let dy = Matrix::new(dy, sizes.tokens, sizes.out_features);
        let x = Matrix::new(x, sizes.tokens, sizes.in_features);
        matmul(dw, dy.t(), x, true);
    }
}

fn operands<'a>(x: &'a [f32], w: &'a [f32], sizes: Sizes) -> (Matrix<'a>, Matrix<'a>) {
    (
        Matrix::new(x, sizes.tokens, sizes.in_features),
        Matrix::new(w, sizes.out_features, sizes.in_features),
    )
}

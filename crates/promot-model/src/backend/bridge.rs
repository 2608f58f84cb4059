//! The only place that knows how to read a dfdx tensor's memory without copying it.

use dfdx::tensor::{Cpu, Tensor};

/// The values of a dense, row-major dfdx matrix.
///
/// Every tensor here is made by `tensor_from_vec`, so it is dense and row-major.
pub(super) fn values(tensor: &Tensor<(usize, usize), f32, Cpu>) -> &[f32] {
    use dfdx::shapes::HasShape as _;
    let (rows, columns) = *tensor.shape();
    let len = rows * columns;
    if len == 0 {
        return &[];
    }
    let first: *const f32 = &tensor[[0, 0]];
    // SAFETY: `first` is the address of element (0, 0) in the tensor's own allocation of `len`
    // values in row-major order, which the borrow of `tensor` keeps alive and unchanged.
    unsafe { std::slice::from_raw_parts(first, len) }
}

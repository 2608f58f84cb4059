//! Some rows of a tensor: those of its positions that have a target.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::embedding::Rows;
use crate::backend::Backend;
use crate::graph::{Graph, Var};

/// Row `i` of the result is row `rows[i]` of `x`, `(T, D)`; a row may be selected repeatedly, and
/// its gradient is then the sum. Copies, with the kernels of [`embedding`](super::embedding).
///
/// # Panics
/// If a row is not below T.
pub fn select_rows<B: Backend>(graph: &mut Graph<B>, x: &Var<B>, rows: Arc<[u32]>) -> Var<B> {
    let (tokens, width) = x.shape();
    assert!(
        rows.iter().all(|&row| (row as usize) < tokens),
        "select_rows: rows below {tokens}"
    );
    let count = rows.len();
    let rows = Rows {
        ids: rows,
        places: (0..count).collect(),
    };
    let device = graph.device().clone();
    let mut y = device.zeros(count * width);
    device.gather(y.as_mut(), x.slice(), &rows, width);
    let backward = graph.records(&[x]).then(|| {
        let slot = x.slot().expect("recorded for its sake");
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            B::add_gradient(gradients, &slot, |dx| {
                device.scatter(dx, dy.as_ref(), &rows, width);
            });
        }
    });
    graph.output(y, (count, width), backward)
}

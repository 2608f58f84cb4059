//! Rotary position embedding: pairs of columns turned by angles that grow with the position.
//!
//! As transformers' Llama computes it: column `i` of a head's first half and column `i` of its
//! second half are a pair, turned by `position * theta^(-2 i / d_head)`.

mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Device};
use crate::graph::{Graph, Var};

/// Cosines and sines of the angles of some positions, computed once for all layers.
pub struct Angles<D: Device> {
    /// `(T, d_head)`: for each token the cosines of its `d_head / 2` angles, then the sines.
    table: D::Tensor,
}

impl<D: Device> Clone for Angles<D> {
    /// Shares the table.
    fn clone(&self) -> Self {
        Self {
            table: self.table.clone(),
        }
    }
}

impl<D: Device> Angles<D> {
    /// The angles of tokens at `positions` for heads of `d_head` columns; `theta` is the base of
    /// the frequencies (10,000 in the first Llama).
    ///
    /// # Panics
    /// If `d_head` is odd or 0.
    pub fn new(
        device: &D,
        positions: impl ExactSizeIterator<Item = usize>,
        d_head: usize,
        theta: f64,
    ) -> Self {
        assert!(
            d_head > 0 && d_head.is_multiple_of(2),
            "rope: pairs of columns"
        );
        let half = d_head / 2;
        let frequencies: Vec<f32> = (0..half)
            .map(|i| theta.powf(-(2.0 * i as f64) / d_head as f64) as f32)
            .collect();
        let tokens = positions.len();
        let mut table = vec![0.0; tokens * d_head];
        for (row, position) in table.chunks_exact_mut(d_head).zip(positions) {
            let (cosines, sines) = row.split_at_mut(half);
            for (i, frequency) in frequencies.iter().enumerate() {
                // The angle itself is rounded to f32: models were trained so.
                let angle = f64::from(position as f32 * frequency);
                (sines[i], cosines[i]) = (angle.sin() as f32, angle.cos() as f32);
            }
        }
        Self {
            table: device.tensor(device.upload(table), (tokens, d_head)),
        }
    }
}

/// Sizes of one rotation.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Columns of all heads, `H * d_head`.
    pub width: usize,
    /// Columns of one head.
    pub d_head: usize,
}

/// The kernel of [`rope`].
pub trait Kernels: Device {
    /// `x`, `(T, H * d_head)`, turned by `angles`, `(T, d_head)`; with `back` the other way, which
    /// is what gradients go through.
    fn rope(&self, x: &Self::Slice, angles: &Self::Slice, sizes: Sizes, back: bool)
    -> Self::Buffer;
}

/// Turns every head of `x`, `(T, H * d_head)`, by its token's angles.
///
/// # Panics
/// If the angles are not those of T tokens, or the columns no whole number of heads.
pub fn rope<B: Backend>(graph: &mut Graph<B>, x: &Var<B>, angles: &Angles<B>) -> Var<B> {
    let (tokens, width) = x.shape();
    let (angle_tokens, d_head) = B::shape(&angles.table);
    assert_eq!(tokens, angle_tokens, "rope: angles of every token");
    assert!(width.is_multiple_of(d_head), "rope: columns of whole heads");
    let sizes = Sizes { width, d_head };
    let device = graph.device().clone();
    let y = device.rope(x.slice(), B::slice(&angles.table), sizes, false);
    let backward = graph.records(&[x]).then(|| {
        let slot = x.slot().expect("recorded for its sake");
        let angles = angles.clone();
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            let dx = device.rope(dy.as_ref(), B::slice(&angles.table), sizes, true);
            device.add_gradient_buffer(gradients, &slot, dx);
        }
    });
    graph.output(y, (tokens, width), backward)
}

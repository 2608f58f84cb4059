//! Dropout with a counter-based mask: nothing is saved, the mask is computed again in backward.

mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

pub(super) use cpu::{add_dropped_rows, drop_rows};
pub(super) use cuda::mask_arguments;

use crate::backend::{Backend, Device};
use crate::graph::{Graph, Var};

/// Which values a dropout zeroes: a function of the key and the value's position alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutKey {
    /// Probability of zeroing a value, in [0, 1).
    pub rate: f32,
    /// Names the mask; derive another one for every place and step.
    pub key: u64,
}

impl DropoutKey {
    /// The key of a place within a pass, so that no two places share a mask.
    pub fn at(self, place: u64) -> Self {
        Self {
            key: super::math::counter_hash(self.key, place.wrapping_add(1)),
            ..self
        }
    }

    /// The mask of up to 2^32 values.
    pub(crate) fn mask(self) -> Mask {
        // Hashed, so that similar keys have unrelated masks.
        let key = super::math::counter_hash(self.key, 0);
        Mask {
            keys: [key as u32, (key >> 32) as u32],
            // In 24 bits, which hold every f32 rate that matters exactly.
            zeroed: (self.rate * 16_777_216.0) as u32,
            scale: 1.0 / (1.0 - self.rate),
        }
    }
}

/// A [`DropoutKey`] made ready for a loop.
#[derive(Clone, Copy)]
pub(crate) struct Mask {
    keys: [u32; 2],
    /// How many of 2^24 equally likely numbers zero a value.
    zeroed: u32,
    /// What the others are multiplied with.
    scale: f32,
}

impl Mask {
    /// What the value at `position` is multiplied with: 0, or `1 / (1 - rate)`.
    #[inline(always)]
    pub(crate) fn factor(self, position: u32) -> f32 {
        if super::math::counter_hash32(self.keys, position) >> 8 < self.zeroed {
            0.0
        } else {
            self.scale
        }
    }
}

/// The kernels of [`dropout`].
pub trait Kernels: Device {
    /// `x` times the mask.
    fn dropout(&self, x: &Self::Slice, key: DropoutKey) -> Self::Buffer;
    /// `dx += dy` times the mask.
    fn dropout_dx(&self, dx: &mut Self::Slice, dy: &Self::Slice, key: DropoutKey);
    /// `x`, rows of `columns` values, each row times its factor.
    fn row_dropout(&self, x: &Self::Slice, columns: usize, key: DropoutKey) -> Self::Buffer;
}

/// Zeroes each value with probability `key.rate` and scales the rest by `1 / (1 - rate)`; without
/// a key, `x` itself.
pub fn dropout<B: Backend>(graph: &mut Graph<B>, x: &Var<B>, key: Option<DropoutKey>) -> Var<B> {
    let Some(key) = key.filter(|key| key.rate > 0.0) else {
        return x.clone();
    };
    let device = graph.device().clone();
    let y = device.dropout(x.slice(), key);
    let backward = graph.records(&[x]).then(|| {
        let slot = x.slot();
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            if let Some(slot) = slot {
                B::add_gradient(gradients, &slot, |dx| {
                    device.dropout_dx(dx, dy.as_ref(), key)
                });
            }
        }
    });
    graph.output(y, x.shape(), backward)
}

/// Zeroes each row with probability `key.rate` and scales the rest by `1 / (1 - rate)`; without a
/// key, `x` itself.
pub(crate) fn row_dropout<B: Backend>(
    graph: &mut Graph<B>,
    x: &Var<B>,
    key: Option<DropoutKey>,
) -> Var<B> {
    let Some(key) = key.filter(|key| key.rate > 0.0) else {
        return x.clone();
    };
    let device = graph.device().clone();
    let columns = x.shape().1;
    let y = device.row_dropout(x.slice(), columns, key);
    let backward = graph.records(&[x]).then(|| {
        let slot = x.slot().expect("recorded for its sake");
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            let dx = device.row_dropout(dy.as_ref(), columns, key);
            device.add_gradient_buffer(gradients, &slot, dx);
        }
    });
    graph.output(y, x.shape(), backward)
}

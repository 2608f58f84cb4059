//! Gradients that are sums of products.

use super::Device;

/// The gradient of a weight, to which products are added.
///
/// Before the first of them it has no memory: that one writes what others add to, and nothing is
/// filled with zeros first. Filling them would cost as much memory traffic as the weights have bytes.
#[derive(Debug)]
pub struct WeightGradient<B>(pub(crate) Option<B>);

impl<B> WeightGradient<B> {
    /// Takes what was added so far out of `gradients`.
    pub(crate) fn take<D>(gradients: &mut D::Gradients, slot: &D::Slot) -> Self
    where
        D: Device<Buffer = B>,
    {
        Self(D::take_existing_gradient(gradients, slot))
    }

    /// Puts it back, if anything was ever added.
    pub(crate) fn put<D>(self, gradients: &mut D::Gradients, slot: &D::Slot)
    where
        D: Device<Buffer = B>,
    {
        if let Some(gradient) = self.0 {
            D::put_gradient(gradients, slot, gradient);
        }
    }
}

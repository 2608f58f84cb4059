//! Which factor of a product.

/// Which factor a matrix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// `a`, whose rows are the product's.
    Left,
    /// `b`, whose columns are the product's.
    Right,
}

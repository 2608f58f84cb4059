//! What is kept for later products: `f32`, or `bf16` where they are computed in it anyway.

use std::mem::MaybeUninit;

use half::bf16;

use super::{Element, Source, vectorized};

/// A number in memory that is kept for later.
pub(crate) trait Kept: Source {
    /// Rounds `values` to this type, into memory that need not be filled before: all of it is then.
    fn narrow_into(values: &[f32], out: &mut [MaybeUninit<Self>]);
    /// Reads them back.
    fn widen(values: &[Self], out: &mut [f32]);
}

impl Kept for f32 {
    fn narrow_into(values: &[f32], out: &mut [MaybeUninit<f32>]) {
        out.write_copy_of_slice(values);
    }

    fn widen(values: &[f32], out: &mut [f32]) {
        out.copy_from_slice(values);
    }
}

impl Kept for bf16 {
    fn narrow_into(values: &[f32], out: &mut [MaybeUninit<bf16>]) {
        narrow_into(values, out);
    }

    fn widen(values: &[bf16], out: &mut [f32]) {
        widen(values, out);
    }
}

vectorized! {
    fn narrow_into(values: &[f32], out: &mut [MaybeUninit<bf16>]) {
        assert_eq!(values.len(), out.len(), "as many values as places");
        for (out, value) in out.iter_mut().zip(values) {
            out.write(<bf16 as Element>::from_f32(*value));
        }
    }

    fn widen(values: &[bf16], out: &mut [f32]) {
        for (out, value) in out.iter_mut().zip(values) {
            *out = Element::to_f32(*value);
        }
    }
}

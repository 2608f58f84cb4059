//! A factor of a product, ready for the kernels.

use rayon::prelude::*;

use super::Precision;
use super::kernel::Kernel;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
use super::matrix::Element as Source;
use super::matrix::{Element, Matrix};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::panels::{Panels, Side, Source};

/// A factor in the layout and the numbers that the kernels read.
///
/// Packing into the same value again reuses its memory.
#[derive(Default)]
pub struct Packed(pub(super) Layout);

pub(super) enum Layout {
    /// Row-major numbers: `rows` along the output, `terms` along the sum, or transposed.
    Dense(Dense),
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Panels(Panels),
}

impl Default for Layout {
    fn default() -> Self {
        Self::Dense(Dense::default())
    }
}

/// A factor for the portable kernels.
#[derive(Default)]
pub(super) struct Dense {
    values: Vec<f32>,
    /// Rows of `a`, columns of `b`.
    width: usize,
    terms: usize,
    by_term: bool,
}

impl Dense {
    /// Rows along the output, columns along the sum.
    pub(super) fn matrix(&self) -> Matrix<'_> {
        if self.by_term {
            Matrix::new(
                &self.values[..self.width * self.terms],
                self.terms,
                self.width,
            )
            .t()
        } else {
            Matrix::new(
                &self.values[..self.width * self.terms],
                self.width,
                self.terms,
            )
        }
    }

    fn fill<E: Element>(&mut self, matrix: Matrix<'_, E>, precision: Precision) {
        self.width = matrix.rows;
        self.terms = matrix.columns;
        self.by_term = matrix.column_stride != 1;
        let (rows, columns, stride) = if self.by_term {
            (self.terms, self.width, matrix.column_stride)
        } else {
            (self.width, self.terms, matrix.row_stride)
        };
        self.values.clear();
        for row in 0..rows {
            let row = matrix.values[row * stride..][..columns].iter();
            match precision {
                Precision::F32 => self.values.extend(row.map(|x| x.to_f32())),
                Precision::Bf16 => self
                    .values
                    .extend(row.map(|x| half::bf16::from_f32(x.to_f32()).to_f32())),
            }
        }
    }
}

impl Packed {
    /// Packs `a`, the left factor, `(rows, terms)`, on the calling thread.
    pub fn pack_a<E: Source>(&mut self, a: Matrix<'_, E>, precision: Precision) {
        self.pack(a, precision, true, false);
    }

    /// Packs `b`, the right factor, `(terms, columns)`, on the calling thread.
    pub fn pack_b<E: Source>(&mut self, b: Matrix<'_, E>, precision: Precision) {
        self.pack(b.t(), precision, false, false);
    }

    /// Packs `b` on all threads.
    pub fn par_pack_b<E: Source>(&mut self, b: Matrix<'_, E>, precision: Precision) {
        self.pack(b.t(), precision, false, true);
    }

    fn pack<E: Source>(
        &mut self,
        matrix: Matrix<'_, E>,
        precision: Precision,
        left: bool,
        parallel: bool,
    ) {
        match Kernel::get() {
            Kernel::Portable => {
                let mut dense = match std::mem::take(&mut self.0) {
                    Layout::Dense(dense) => dense,
                    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                    Layout::Panels(_) => Dense::default(),
                };
                dense.fill(matrix, precision);
                self.0 = Layout::Dense(dense);
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Kernel::Amx => {
                let mut panels = match std::mem::take(&mut self.0) {
                    Layout::Panels(panels) => panels,
                    Layout::Dense(_) => Panels::default(),
                };
                let planes = if precision == Precision::F32 { 2 } else { 1 };
                panels.resize(matrix.rows, matrix.columns, planes);
                let side = if left { Side::A } else { Side::B };
                if parallel {
                    let parts = panels.parts(4);
                    // SAFETY: the kernel was chosen because the processor has what it takes.
                    parts
                        .into_par_iter()
                        .for_each(|part| unsafe { part.fill(matrix, side) });
                } else {
                    for part in panels.parts(usize::MAX >> 32) {
                        // SAFETY: as above.
                        unsafe { part.fill(matrix, side) };
                    }
                }
                self.0 = Layout::Panels(panels);
            }
        }
    }

    /// Rows of a left factor, columns of a right one.
    pub fn width(&self) -> usize {
        match &self.0 {
            Layout::Dense(dense) => dense.width,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Layout::Panels(panels) => panels.width,
        }
    }

    /// Terms of the sums.
    pub fn terms(&self) -> usize {
        match &self.0 {
            Layout::Dense(dense) => dense.terms,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Layout::Panels(panels) => panels.terms,
        }
    }
}

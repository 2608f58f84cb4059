//! A factor of a product, ready for the kernels.

use half::bf16;
use rayon::prelude::*;

use super::Precision;
use super::kernel::Kernel;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
use super::matrix::Element as Source;
use super::matrix::{Element, Matrix};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::panels::Panels;
use super::side::Side;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::tile::Source;

/// A factor of a product as the kernels read it: packed, or where it lies if they can read it there.
#[derive(Clone, Copy)]
pub struct Factor<'a>(pub(super) Form<'a>);

#[derive(Clone, Copy)]
pub(super) enum Form<'a> {
    /// Rows along the output, columns along the sum.
    Dense(Matrix<'a>),
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Panels(&'a Panels),
}

impl<'a> Factor<'a> {
    /// `b`, a right factor, `(terms, columns)`, if the kernels read it best as it is.
    pub(crate) fn unpacked_b<E: Source>(b: Matrix<'a, E>, precision: Precision) -> Option<Self> {
        if b.column_stride != 1 {
            return None;
        }
        unpacked(b.t(), precision).map(|b| Self(Form::Dense(b)))
    }

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(super) fn of_panels(panels: &'a Panels) -> Self {
        Self(Form::Panels(panels))
    }

    /// The panels, if it is packed in such.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(super) fn panels(&self) -> Option<&'a Panels> {
        match self.0 {
            Form::Dense(_) => None,
            Form::Panels(panels) => Some(panels),
        }
    }

    /// Rows of a left factor, columns of a right one.
    pub fn width(&self) -> usize {
        match self.0 {
            Form::Dense(matrix) => matrix.rows,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Form::Panels(panels) => panels.width,
        }
    }

    /// Terms of the sums.
    pub fn terms(&self) -> usize {
        match self.0 {
            Form::Dense(matrix) => matrix.columns,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Form::Panels(panels) => panels.terms,
        }
    }
}

/// A matrix that the kernels of this process read where it is.
pub(super) fn unpacked<E: Source>(
    matrix: Matrix<'_, E>,
    precision: Precision,
) -> Option<Matrix<'_>> {
    let as_it_is = precision == Precision::F32 && !Kernel::get().packs(precision);
    if as_it_is { matrix.as_f32() } else { None }
}

/// Memory for a factor in the layout and the numbers that the kernels read.
///
/// Packing into the same value again reuses its memory. A factor that needs no packing is not
/// copied.
#[derive(Default)]
pub struct Packed(Layout);

enum Layout {
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

/// A factor for the portable kernels that is none of `f32` in memory.
#[derive(Default)]
struct Dense {
    values: Vec<f32>,
    /// Rows of `a`, columns of `b`.
    width: usize,
    terms: usize,
    by_term: bool,
}

impl Dense {
    /// Rows along the output, columns along the sum.
    fn matrix(&self) -> Matrix<'_> {
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
                Precision::Bf16 => self.values.extend(row.map(|&x| rounded(x))),
            }
        }
    }

    /// The same on all threads, with one term of all sums after another, whatever the order in
    /// `matrix`: of a right factor, the kernels read that without packing it once more.
    fn par_fill_by_term<E: Element>(&mut self, matrix: Matrix<'_, E>, precision: Precision) {
        self.width = matrix.rows;
        self.terms = matrix.columns;
        self.by_term = true;
        let width = self.width;
        self.values.resize(width * self.terms, 0.0);
        if width == 0 {
            return;
        }
        let (row_stride, column_stride) = (matrix.row_stride, matrix.column_stride);
        self.values
            .par_chunks_mut(TRANSPOSED * width)
            .enumerate()
            .for_each(|(block, values)| {
                let first_term = block * TRANSPOSED;
                // Squares that the first-level cache holds, since one side is read across.
                for first in (0..width).step_by(TRANSPOSED) {
                    let rows = first..(first + TRANSPOSED).min(width);
                    for (term, values) in values.chunks_exact_mut(width).enumerate() {
                        let from = (first_term + term) * column_stride;
                        let values = &mut values[rows.clone()];
                        for (row, value) in rows.clone().zip(values) {
                            let x = matrix.values[from + row * row_stride];
                            *value = match precision {
                                Precision::F32 => x.to_f32(),
                                Precision::Bf16 => rounded(x),
                            };
                        }
                    }
                }
            });
    }
}

/// Rows and columns of the squares in which a matrix is transposed.
const TRANSPOSED: usize = 32;

fn rounded<E: Element>(x: E) -> f32 {
    <bf16 as Element>::from_f32(x.to_f32()).to_f32()
}

impl Packed {
    /// `a`, a left factor, `(rows, terms)`, packed on the calling thread.
    pub fn pack_a<'s, E: Source>(
        &'s mut self,
        a: Matrix<'s, E>,
        precision: Precision,
    ) -> Factor<'s> {
        self.pack(a, precision, Side::Left, false)
    }

    /// `b`, a right factor, `(terms, columns)`, packed on the calling thread.
    pub fn pack_b<'s, E: Source>(
        &'s mut self,
        b: Matrix<'s, E>,
        precision: Precision,
    ) -> Factor<'s> {
        self.pack(b.t(), precision, Side::Right, false)
    }

    /// `b` packed on all threads.
    pub fn par_pack_b<'s, E: Source>(
        &'s mut self,
        b: Matrix<'s, E>,
        precision: Precision,
    ) -> Factor<'s> {
        self.pack(b.t(), precision, Side::Right, true)
    }

    /// What was packed here last.
    pub fn factor(&self) -> Factor<'_> {
        Factor(match &self.0 {
            Layout::Dense(dense) => Form::Dense(dense.matrix()),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Layout::Panels(panels) => Form::Panels(panels),
        })
    }

    fn pack<'s, E: Source>(
        &'s mut self,
        matrix: Matrix<'s, E>,
        precision: Precision,
        side: Side,
        parallel: bool,
    ) -> Factor<'s> {
        // A factor that all threads pack is used often enough to be put in the best order.
        let in_order = !parallel || matrix.row_stride == 1;
        if let Some(matrix) = unpacked(matrix, precision).filter(|_| in_order) {
            return Factor(Form::Dense(matrix));
        }
        if Kernel::get().packs(precision) {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            self.fill_panels(matrix, precision, side, parallel);
        } else {
            let mut dense = match std::mem::take(&mut self.0) {
                Layout::Dense(dense) => dense,
                #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                Layout::Panels(_) => Dense::default(),
            };
            if parallel {
                dense.par_fill_by_term(matrix, precision);
            } else {
                dense.fill(matrix, precision);
            }
            self.0 = Layout::Dense(dense);
        }
        self.factor()
    }

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn fill_panels<E: Source>(
        &mut self,
        matrix: Matrix<'_, E>,
        precision: Precision,
        side: Side,
        parallel: bool,
    ) {
        let mut panels = match std::mem::take(&mut self.0) {
            Layout::Panels(panels) => panels,
            Layout::Dense(_) => Panels::default(),
        };
        panels.resize(matrix.rows, matrix.columns, precision);
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

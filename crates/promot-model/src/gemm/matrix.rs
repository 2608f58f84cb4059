//! Views of matrices in memory.

use half::bf16;

/// A number that matrices consist of: `f32`, or `bf16` for what lies between two ops of a layer.
pub trait Element: Copy + Default + Send + Sync + 'static {
    /// The value as `f32`, exactly.
    fn to_f32(self) -> f32;
    /// The nearest value of this type.
    fn from_f32(value: f32) -> Self;
    /// The values themselves, if they are `f32` already.
    fn as_f32(values: &[Self]) -> Option<&[f32]>;
}

impl Element for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }

    fn as_f32(values: &[f32]) -> Option<&[f32]> {
        Some(values)
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    /// Rounds to nearest, ties to even, without a branch; no number stays no number.
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
        let quiet = ((bits >> 16) | 0x40) as u16;
        Self::from_bits(if value.is_nan() { quiet } else { rounded })
    }

    fn as_f32(_: &[bf16]) -> Option<&[f32]> {
        None
    }
}

/// A read-only matrix over a slice, with strides in elements.
#[derive(Clone, Copy)]
pub struct Matrix<'a, E = f32> {
    pub(super) values: &'a [E],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a, E: Element> Matrix<'a, E> {
    /// A dense row-major matrix.
    ///
    /// # Panics
    /// If `values` is not `rows * columns` long.
    pub fn new(values: &'a [E], rows: usize, columns: usize) -> Self {
        assert_eq!(
            values.len(),
            rows * columns,
            "values of a {rows}x{columns} matrix"
        );
        Self::strided(values, rows, columns, columns)
    }

    /// A matrix whose rows start every `row_stride` elements: a head's columns, say.
    ///
    /// # Panics
    /// If the last element lies outside of `values`.
    pub fn strided(values: &'a [E], rows: usize, columns: usize, row_stride: usize) -> Self {
        if rows > 0 && columns > 0 {
            assert!(
                (rows - 1) * row_stride + columns <= values.len(),
                "matrix within its values"
            );
        }
        Self {
            values,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// `rows` rows from `first` on.
    pub fn row_range(self, first: usize, rows: usize) -> Self {
        assert!(first + rows <= self.rows, "rows of the matrix");
        let start = (first * self.row_stride).min(self.values.len());
        Self {
            values: &self.values[start..],
            rows,
            ..self
        }
    }

    /// The transpose, without a copy.
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// The same matrix, if its numbers are `f32` already.
    pub(super) fn as_f32(self) -> Option<Matrix<'a, f32>> {
        Some(Matrix {
            values: E::as_f32(self.values)?,
            rows: self.rows,
            columns: self.columns,
            row_stride: self.row_stride,
            column_stride: self.column_stride,
        })
    }

    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }
}

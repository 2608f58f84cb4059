//! Row-major products for a library that is column-major.

use super::super::{Address, Factor, Product};

/// A matrix as a column-major library reads it: of a row-major one that is the transpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Layout {
    /// Rows as it lies in memory.
    pub(super) rows: usize,
    /// Columns as it lies in memory.
    pub(super) columns: usize,
    /// Values from one column to the next.
    pub(super) stride: usize,
    /// Whether its transpose is what is multiplied.
    pub(super) transposed: bool,
}

/// A product's factors and result, for a column-major library: `c^T = b^T a^T`. The memory stays what it
/// is; the factors change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Layouts {
    /// Of [`Product::b`], which comes first.
    pub(super) first: Layout,
    /// Of [`Product::a`].
    pub(super) second: Layout,
    /// Of [`Product::c`] and [`Product::d`].
    pub(super) result: Layout,
}

impl Layouts {
    pub(super) fn of(product: &Product) -> Self {
        let Product { m, n, k, .. } = *product;
        Self {
            first: factor(&product.b, k, n),
            second: factor(&product.a, m, k),
            result: Layout {
                rows: n,
                columns: m,
                stride: product.stride,
                transposed: false,
            },
        }
    }
}

/// A factor that has `rows` and `columns` after its transposition.
fn factor(factor: &Factor, rows: usize, columns: usize) -> Layout {
    // As it lies in memory, row by row.
    let (rows, columns) = if factor.transposed {
        (columns, rows)
    } else {
        (rows, columns)
    };
    Layout {
        rows: columns,
        columns: rows,
        stride: factor.stride,
        transposed: factor.transposed,
    }
}

/// The largest power of two, up to 256, that an address is a multiple of.
pub(super) fn alignment(address: Address) -> u32 {
    1 << address.trailing_zeros().min(8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::Precision;

    /// What a column-major library does with two matrices.
    fn column_major(layouts: &Layouts, first: &[f32], second: &[f32]) -> Vec<f32> {
        let at = |values: &[f32], layout: &Layout, row: usize, column: usize| {
            let (row, column) = if layout.transposed {
                (column, row)
            } else {
                (row, column)
            };
            assert!(row < layout.rows && column < layout.columns);
            values[column * layout.stride + row]
        };
        let terms = if layouts.first.transposed {
            layouts.first.rows
        } else {
            layouts.first.columns
        };
        let mut result = vec![f32::NAN; layouts.result.columns * layouts.result.stride];
        for row in 0..layouts.result.rows {
            for column in 0..layouts.result.columns {
                result[column * layouts.result.stride + row] = (0..terms)
                    .map(|term| {
                        at(first, &layouts.first, row, term)
                            * at(second, &layouts.second, term, column)
                    })
                    .sum();
            }
        }
        result
    }

    #[test]
    fn a_column_major_library_computes_row_major_products() {
        let (m, n, k) = (3, 5, 4);
        let a = |row: usize, term: usize| (10 * row + term) as f32;
        let b = |term: usize, column: usize| (7 * term) as f32 - column as f32;
        for (a_transposed, b_transposed) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            // Rows in memory are longer than what is used of them.
            let stored = |rows: usize, columns: usize, value: &dyn Fn(usize, usize) -> f32| {
                let mut values = vec![f32::NAN; rows * (columns + 2)];
                for row in 0..rows {
                    for column in 0..columns {
                        values[row * (columns + 2) + column] = value(row, column);
                    }
                }
                (values, columns + 2)
            };
            let (a_values, a_stride) = if a_transposed {
                stored(k, m, &|row, column| a(column, row))
            } else {
                stored(m, k, &a)
            };
            let (b_values, b_stride) = if b_transposed {
                stored(n, k, &|row, column| b(column, row))
            } else {
                stored(k, n, &b)
            };
            let factor = |stride, transposed| Factor {
                address: 0,
                stride,
                transposed,
            };
            let layouts = Layouts::of(&Product {
                m,
                n,
                k,
                a: factor(a_stride, a_transposed),
                b: factor(b_stride, b_transposed),
                precision: Precision::F32,
                c: 0,
                d: 0,
                stride: n + 1,
                alpha: 1.0,
                beta: 0.0,
            });
            let c = column_major(&layouts, &b_values, &a_values);
            for row in 0..m {
                for column in 0..n {
                    let expected: f32 = (0..k).map(|term| a(row, term) * b(term, column)).sum();
                    assert_eq!(c[row * (n + 1) + column], expected, "{row} {column}");
                }
            }
        }
    }

    #[test]
    fn alignments_end_at_256() {
        for (address, expected) in [
            (0, 256),
            (2, 2),
            (4, 4),
            (48, 16),
            (256, 256),
            (1 << 20, 256),
        ] {
            assert_eq!(alignment(address), expected, "{address}");
        }
    }
}

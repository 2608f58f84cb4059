//! Products of packed factors, on one thread or split into blocks of the output.

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
use super::matrix::Element as Source;
use super::matrix::Matrix;
use super::packed::{Factor, Form, Packed};
use super::part::Part;
use super::scratch::with_scratch;
use super::{Precision, portable};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::{
    grid::Grid,
    panels::Panels,
    part::LeftPart,
    tile::Source,
    tiled::{MOST_OPERANDS, Operands, Output, fill_grid, fill_grid_packed, fill_rows, multiply},
};

/// `out (+)= a b` of packed factors on the calling thread; rows of `out` start every `stride`
/// values.
///
/// # Panics
/// If the shapes do not fit, or the factors were packed in different precisions.
pub fn matmul_packed(
    out: &mut [f32],
    stride: usize,
    a: Factor<'_>,
    b: Factor<'_>,
    accumulate: bool,
) {
    matmul_part(out, stride, a, b, Part::all(b), accumulate);
}

/// `out (+)= a b` for a part of `b`.
///
/// # Panics
/// If the shapes do not fit, or the factors were packed in different precisions.
pub(crate) fn matmul_part(
    out: &mut [f32],
    stride: usize,
    a: Factor<'_>,
    b: Factor<'_>,
    part: Part,
    accumulate: bool,
) {
    matmul_sum(out, stride, [(a, b, part)], accumulate);
}

/// `out (+)= a b`, summed up over several pairs of factors with a part of `b` each: to the bit what adding one
/// product after another gives, which would read and write the sums each time.
///
/// # Panics
/// If the shapes do not fit, or the factors were packed in different precisions.
pub(crate) fn matmul_sum<const N: usize>(
    out: &mut [f32],
    stride: usize,
    pairs: [(Factor<'_>, Factor<'_>, Part); N],
    accumulate: bool,
) {
    let (m, n) = (pairs[0].0.width(), pairs[0].2.columns);
    for (a, b, part) in pairs {
        assert_eq!([a.width(), part.columns], [m, n], "products of one shape");
        assert!(
            part.first_column + n <= b.width() && part.first_term + a.terms() <= b.terms(),
            "part of the right factor"
        );
        assert!(
            part.first_column.is_multiple_of(32) && part.first_term.is_multiple_of(32),
            "parts start at whole tiles"
        );
    }
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        n <= stride && (m - 1) * stride + n <= out.len(),
        "product within its memory"
    );
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if let Some(operands) = operands(pairs) {
        let out = Output {
            values: out.as_mut_ptr(),
            stride,
        };
        // SAFETY: `out` was checked to hold the product, and is borrowed for it alone.
        unsafe { multiply(out, &operands, accumulate) };
        return;
    }
    for (i, (a, b, part)) in pairs.into_iter().enumerate() {
        let (a, b) = (dense(a), dense(b));
        let b = b.row_range(part.first_column, n).t();
        let b = b.row_range(part.first_term, a.columns);
        portable::matmul_serial(out, stride, a, b, accumulate || i > 0);
    }
}

/// The operands, if all are panels.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn operands<'a, const N: usize>(
    pairs: [(Factor<'a>, Factor<'a>, Part); N],
) -> Option<[Operands<'a>; N]> {
    const { assert!(N <= MOST_OPERANDS) };
    let operands = pairs.map(|(a, b, right)| {
        Some(Operands {
            a: a.panels()?,
            left: LeftPart::all(a),
            b: b.panels()?,
            right,
        })
    });
    operands
        .iter()
        .all(Option::is_some)
        .then(|| operands.map(Option::unwrap))
}

fn dense(factor: Factor<'_>) -> Matrix<'_> {
    match factor.0 {
        Form::Dense(matrix) => matrix,
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Form::Panels(_) => panic!("factors packed for different kernels"),
    }
}

/// `out (+)= a b` on the calling thread; rows of `out` start every `stride` values.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul_serial<E: Source, F: Source>(
    out: &mut [f32],
    stride: usize,
    a: Matrix<'_, E>,
    b: Matrix<'_, F>,
    accumulate: bool,
    precision: Precision,
) {
    with_scratch(|[packed_a, packed_b]| {
        let (a, b) = (packed_a.pack_a(a, precision), packed_b.pack_b(b, precision));
        matmul_packed(out, stride, a, b, accumulate);
    });
}

/// The right factor of a product over all threads.
pub enum Right<'a, F = f32> {
    /// Still to be packed.
    Matrix(Matrix<'a, F>),
    /// Packed before.
    Factor(Factor<'a>),
}

impl<'a, F> From<Matrix<'a, F>> for Right<'a, F> {
    fn from(matrix: Matrix<'a, F>) -> Self {
        Self::Matrix(matrix)
    }
}

impl<'a> From<Factor<'a>> for Right<'a> {
    fn from(factor: Factor<'a>) -> Self {
        Self::Factor(factor)
    }
}

/// `out = a b`, or `out += a b` if `accumulate`; `out` is dense and row-major. Runs on rayon's
/// threads; the result does not depend on how many there are.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul<'b, E: Source, F: Source>(
    out: &mut [f32],
    a: Matrix<'_, E>,
    b: impl Into<Right<'b, F>>,
    accumulate: bool,
    precision: Precision,
) {
    match b.into() {
        Right::Factor(b) => by_blocks(out, a, b, accumulate, precision),
        Right::Matrix(b) => {
            let mut packed = Packed::default();
            let b = packed.par_pack_b(b, precision);
            by_blocks(out, a, b, accumulate, precision);
        }
    }
}

/// `a b` in memory of its own, which is not filled before. Otherwise like [`matmul`].
///
/// # Panics
/// If the shapes do not fit.
pub fn product<E: Source>(a: Matrix<'_, E>, b: Factor<'_>, precision: Precision) -> Vec<f32> {
    let len = a.rows * b.width();
    match b.0 {
        Form::Dense(_) => {
            let mut out = vec![0.0; len];
            by_blocks(&mut out, a, b, false, precision);
            out
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Form::Panels(b) => {
            assert_eq!(a.columns, b.terms, "inner dimensions");
            if len == 0 {
                return Vec::new();
            }
            let mut out = Vec::with_capacity(len);
            let grid = Grid::new(a.rows, b.width);
            let output = Output {
                values: out.as_mut_ptr(),
                stride: b.width,
            };
            // SAFETY: the memory holds the product; every value of it is written.
            unsafe {
                fill_grid(output, &grid, a, b, false, precision);
                out.set_len(len);
            }
            out
        }
    }
}

/// `a b` for each of `bs`, to the bits of [`product`]; where `a` has many rows, they are packed once for all.
///
/// # Panics
/// If the shapes do not fit.
pub fn products<E: Source>(
    a: Matrix<'_, E>,
    bs: &[Factor<'_>],
    precision: Precision,
) -> Vec<Vec<f32>> {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if a.rows > 0
        && !bs.is_empty()
        && let Some(panels) = bs.iter().map(Factor::panels).collect::<Option<Vec<_>>>()
        && bs
            .iter()
            .all(|b| b.width() > 0 && Grid::new(a.rows, b.width()).is_rows())
    {
        bs.iter()
            .for_each(|b| assert_eq!(a.columns, b.terms(), "inner dimensions"));
        let mut products: Vec<Vec<f32>> = bs
            .iter()
            .map(|b| Vec::with_capacity(a.rows * b.width()))
            .collect();
        let outputs: Vec<_> = products
            .iter_mut()
            .zip(panels)
            .map(|(out, b)| {
                let output = Output {
                    values: out.as_mut_ptr(),
                    stride: b.width,
                };
                (output, b)
            })
            .collect();
        // SAFETY: the memory holds the products; every value of them is written.
        unsafe {
            fill_rows(&outputs, a, precision);
            for (out, b) in products.iter_mut().zip(bs) {
                out.set_len(a.rows * b.width());
            }
        }
        return products;
    }
    bs.iter().map(|b| product(a, *b, precision)).collect()
}

/// `sum += a b`, or `sum = a b` in memory of its own if there is no sum yet. Otherwise like
/// [`matmul`].
///
/// # Panics
/// If the shapes do not fit.
pub fn add_product<'b, E: Source, F: Source>(
    sum: &mut Option<Vec<f32>>,
    a: Matrix<'_, E>,
    b: impl Into<Right<'b, F>>,
    precision: Precision,
) {
    let mut add = |b: Factor<'_>| match sum {
        Some(sum) => by_blocks(sum, a, b, true, precision),
        None => *sum = Some(product(a, b, precision)),
    };
    match b.into() {
        Right::Factor(b) => add(b),
        Right::Matrix(b) => add(Packed::default().par_pack_b(b, precision)),
    }
}

/// `sum += a b`, or `sum = a b` in memory of its own if there is no sum yet, of factors that were packed before.
///
/// # Panics
/// If the shapes do not fit, or the factors were packed in different layouts.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) fn add_packed_product(sum: &mut Option<Vec<f32>>, a: &Panels, b: Factor<'_>) {
    let Form::Panels(b) = b.0 else {
        panic!("factors packed for different kernels")
    };
    assert_eq!(a.terms, b.terms, "inner dimensions");
    let (m, n) = (a.width, b.width);
    let is_new = sum.is_none();
    let sum = sum.get_or_insert_with(|| Vec::with_capacity(m * n));
    assert!(is_new || sum.len() == m * n, "values of the product");
    if m == 0 || n == 0 {
        return;
    }
    let out = Output {
        values: sum.as_mut_ptr(),
        stride: n,
    };
    // SAFETY: `sum` has room for the product, and is borrowed for it alone; every value is written.
    unsafe {
        fill_grid_packed(out, &Grid::new(m, n), a, b, !is_new);
        sum.set_len(m * n);
    }
}

fn by_blocks<E: Source>(
    out: &mut [f32],
    a: Matrix<'_, E>,
    b: Factor<'_>,
    accumulate: bool,
    precision: Precision,
) {
    let (m, n) = (a.rows, b.width());
    assert_eq!(out.len(), m * n, "values of the product");
    assert_eq!(a.columns, b.terms(), "inner dimensions");
    if m == 0 || n == 0 {
        return;
    }
    match b.0 {
        Form::Dense(b) => {
            let mut packed = Packed::default();
            let Form::Dense(a) = packed.pack_a(a, precision).0 else {
                panic!("factors packed for different kernels")
            };
            portable::matmul(out, a, b.t(), accumulate);
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Form::Panels(b) => {
            let grid = Grid::new(m, n);
            let out = Output {
                values: out.as_mut_ptr(),
                stride: n,
            };
            // SAFETY: `out` holds the product, and is borrowed for it alone.
            unsafe { fill_grid(out, &grid, a, b, accumulate, precision) };
        }
    }
}

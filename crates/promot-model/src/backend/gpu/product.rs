//! Matrix products, in the device's precision.

use std::cell::OnceCell;

use super::{
    Address, Argument, Factor, Gpu, GpuBuffer, GpuSlice, GpuTensor, Kernel, Module, Product,
};
use crate::gemm::Precision;

static MODULE: Module = Module {
    name: "cast",
    ptx: include_str!("cast.ptx"),
};

const TO_BF16: Kernel = Kernel {
    module: &MODULE,
    name: "to_bf16",
};

/// A factor of a product: some whole rows of a row-major matrix, or their transpose.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    values: Values<'a>,
    columns: usize,
    first_row: usize,
    rows: usize,
    transposed: bool,
}

#[derive(Clone, Copy)]
enum Values<'a> {
    Activations(&'a Activations<'a>),
    Terms(&'a GpuSlice),
    Tensor(&'a GpuTensor),
}

/// A matrix that products read and that is no [`GpuTensor`]. Its values as bf16 are made when a product
/// first wants them, and all products of it read the same.
pub(crate) struct Activations<'a> {
    slice: &'a GpuSlice,
    columns: usize,
    narrow: OnceCell<GpuBuffer>,
}

impl<'a> Activations<'a> {
    /// Rows of `columns` values.
    pub(crate) fn new(slice: &'a GpuSlice, columns: usize) -> Self {
        Self {
            slice,
            columns,
            narrow: OnceCell::new(),
        }
    }

    /// All of them, as a factor.
    pub(crate) fn rows(&self) -> Operand<'_> {
        Operand {
            values: Values::Activations(self),
            columns: self.columns,
            first_row: 0,
            rows: self.slice.len().checked_div(self.columns).unwrap_or(0),
            transposed: false,
        }
    }

    fn narrow(&self, gpu: &Gpu) -> &GpuSlice {
        self.narrow.get_or_init(|| gpu.to_bf16(self.slice)).as_ref()
    }
}

/// A matrix that only products read. A kernel writes it in the numbers that are multiplied: bf16 in that
/// precision, else `f32`.
pub(crate) struct Terms {
    buffer: GpuBuffer,
    rows: usize,
    columns: usize,
}

impl Terms {
    /// As an argument of a kernel.
    pub(crate) fn argument(&self) -> Argument {
        self.buffer.as_ref().argument()
    }

    /// All of them, as a factor.
    pub(crate) fn rows(&self) -> Operand<'_> {
        Operand {
            values: Values::Terms(self.buffer.as_ref()),
            columns: self.columns,
            first_row: 0,
            rows: self.rows,
            transposed: false,
        }
    }
}

impl<'a> Operand<'a> {
    /// A weight.
    pub(crate) fn weight(tensor: &'a GpuTensor) -> Self {
        let (rows, columns) = tensor.shape();
        Self {
            values: Values::Tensor(tensor),
            columns,
            first_row: 0,
            rows,
            transposed: false,
        }
    }

    /// Some of its rows, before transposition.
    pub(crate) fn part(self, first_row: usize, rows: usize) -> Self {
        assert!(first_row + rows <= self.rows, "rows of the operand");
        Self {
            first_row: self.first_row + first_row,
            rows,
            ..self
        }
    }

    /// Its transpose.
    pub(crate) fn t(self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self
        }
    }

    /// Rows and columns as the product sees them.
    pub(crate) fn shape(&self) -> (usize, usize) {
        if self.transposed {
            (self.columns, self.rows)
        } else {
            (self.rows, self.columns)
        }
    }
}

impl Gpu {
    /// `c = alpha * a b + beta * c`; `c` has as many rows as `a` and as many columns as `b`.
    pub(crate) fn multiply(
        &self,
        a: Operand<'_>,
        b: Operand<'_>,
        c: &mut GpuSlice,
        alpha: f32,
        beta: f32,
    ) {
        assert_eq!(c.len(), a.shape().0 * b.shape().1, "a product's result");
        self.multiply_into_rows(a, b, c, 0, alpha, beta);
    }

    /// As [`Gpu::multiply`], where the result is some of the rows of `c`, from `first_row` on.
    pub(crate) fn multiply_into_rows(
        &self,
        a: Operand<'_>,
        b: Operand<'_>,
        c: &mut GpuSlice,
        first_row: usize,
        alpha: f32,
        beta: f32,
    ) {
        let (m, n) = (a.shape().0, b.shape().1);
        assert!((first_row + m) * n <= c.len(), "rows for the result");
        let c = c.address_of(first_row * n);
        self.product(a, b, [c, c], alpha, beta);
    }

    /// `c + a b`.
    pub(crate) fn multiply_add(&self, a: Operand<'_>, b: Operand<'_>, c: &GpuSlice) -> GpuBuffer {
        assert_eq!(c.len(), a.shape().0 * b.shape().1, "a product's addend");
        let d = self.uninitialized(c.len());
        self.product(a, b, [c.address(), d.as_ref().address()], 1.0, 1.0);
        d
    }

    /// A [`Product`] with its `c` and `d`.
    fn product(&self, a: Operand<'_>, b: Operand<'_>, [c, d]: [Address; 2], alpha: f32, beta: f32) {
        let ((m, k), (b_rows, n)) = (a.shape(), b.shape());
        assert_eq!(k, b_rows, "a product's inner size");
        if m == 0 || n == 0 {
            return;
        }
        assert!(k > 0, "a product has terms");
        let factor = |operand: &Operand<'_>| Factor {
            address: operand.address(self),
            stride: operand.columns,
            transposed: operand.transposed,
        };
        let product = Product {
            m,
            n,
            k,
            a: factor(&a),
            b: factor(&b),
            precision: self.precision(),
            c,
            d,
            stride: n,
            alpha,
            beta,
        };
        self.ask(|driver| driver.product(&product));
    }

    /// Memory for a matrix that only products read, still to be written.
    pub(crate) fn terms(&self, rows: usize, columns: usize) -> Terms {
        let bytes = bytes_of_value(self.precision()) * rows * columns;
        Terms {
            buffer: self.uninitialized(bytes.div_ceil(4)),
            rows,
            columns,
        }
    }

    /// Values rounded to bf16, two in the place of one `f32`.
    pub(super) fn to_bf16(&self, values: &GpuSlice) -> GpuBuffer {
        let len = values.len();
        let narrow = self.uninitialized(len.div_ceil(2));
        let arguments = [
            narrow.as_ref().argument(),
            values.argument(),
            Argument::U64(len as u64),
        ];
        self.launch_over(TO_BF16, len.div_ceil(2), &arguments);
        narrow
    }
}

/// Bytes of a number that is multiplied.
fn bytes_of_value(precision: Precision) -> usize {
    match precision {
        Precision::F32 => 4,
        Precision::Bf16 => 2,
    }
}

impl Operand<'_> {
    /// Where the first of its rows is, in the numbers that are multiplied.
    fn address(&self, gpu: &Gpu) -> Address {
        let precision = gpu.precision();
        let matrix = match (self.values, precision) {
            (Values::Terms(terms), _) => terms,
            (Values::Activations(activations), Precision::F32) => activations.slice,
            (Values::Activations(activations), Precision::Bf16) => activations.narrow(gpu),
            (Values::Tensor(tensor), Precision::F32) => tensor.slice(),
            (Values::Tensor(tensor), Precision::Bf16) => tensor.narrow(),
        };
        let first = self.first_row * self.columns;
        matrix.address() + (bytes_of_value(precision) * first) as Address
    }
}

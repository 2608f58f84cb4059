//! Matrix products, in the device's precision.

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
    /// Read once: bf16 is made for this product only.
    Slice(&'a GpuSlice),
    /// Read often: bf16 is kept.
    Tensor(&'a GpuTensor),
}

impl<'a> Operand<'a> {
    /// All rows of activations of `columns`.
    pub(crate) fn rows_of(slice: &'a GpuSlice, columns: usize) -> Self {
        Self {
            values: Values::Slice(slice),
            columns,
            first_row: 0,
            rows: slice.len().checked_div(columns).unwrap_or(0),
            transposed: false,
        }
    }

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
    fn shape(&self) -> (usize, usize) {
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
        let (m, n) = (a.shape().0, b.shape().1);
        assert_eq!(c.len(), m * n, "a product's result");
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
        let ((m, k), (b_rows, n)) = (a.shape(), b.shape());
        assert_eq!(k, b_rows, "a product's inner size");
        assert!((first_row + m) * n <= c.len(), "rows for the result");
        if m == 0 || n == 0 {
            return;
        }
        assert!(k > 0, "a product has terms");
        let (a_narrow, b_narrow);
        let (a_values, b_values) = match self.precision() {
            Precision::F32 => (a.wide(), b.wide()),
            Precision::Bf16 => {
                (a_narrow, b_narrow) = (a.narrow(self), b.narrow(self));
                (a_narrow.address(&a), b_narrow.address(&b))
            }
        };
        let factor = |operand: &Operand<'_>, address| Factor {
            address,
            stride: operand.columns,
            transposed: operand.transposed,
        };
        let product = Product {
            m,
            n,
            k,
            a: factor(&a, a_values),
            b: factor(&b, b_values),
            precision: self.precision(),
            c: c.address_of(first_row * n),
            c_stride: n,
            alpha,
            beta,
        };
        self.ask(|driver| driver.product(&product));
    }

    /// Values rounded to bf16, two in the place of one `f32`.
    pub(super) fn to_bf16(&self, values: &GpuSlice) -> GpuBuffer {
        self.narrow_part(values, 0, values.len())
    }

    fn narrow_part(&self, values: &GpuSlice, first: usize, len: usize) -> GpuBuffer {
        let narrow = self.uninitialized(len.div_ceil(2));
        let arguments = [
            narrow.as_ref().argument(),
            Argument::Address(values.address_of(first)),
            Argument::U64(len as u64),
        ];
        self.launch_over(TO_BF16, len.div_ceil(2), &arguments);
        narrow
    }
}

/// bf16 values of an operand.
enum Narrow<'a> {
    /// Of its rows only.
    Rows(GpuBuffer),
    /// Of the whole tensor.
    Whole(&'a GpuSlice),
}

impl Narrow<'_> {
    /// Where the operand's first row is.
    fn address(&self, operand: &Operand<'_>) -> Address {
        match self {
            Self::Rows(buffer) => buffer.as_ref().address(),
            Self::Whole(slice) => {
                slice.address() + 2 * (operand.first_row * operand.columns) as Address
            }
        }
    }
}

impl<'a> Operand<'a> {
    fn wide(&self) -> Address {
        let slice = match self.values {
            Values::Slice(slice) => slice,
            Values::Tensor(tensor) => tensor.slice(),
        };
        slice.address_of(self.first_row * self.columns)
    }

    fn narrow(&self, gpu: &Gpu) -> Narrow<'a> {
        match self.values {
            Values::Slice(slice) => {
                let first = self.first_row * self.columns;
                Narrow::Rows(gpu.narrow_part(slice, first, self.rows * self.columns))
            }
            Values::Tensor(tensor) => Narrow::Whole(tensor.narrow()),
        }
    }
}

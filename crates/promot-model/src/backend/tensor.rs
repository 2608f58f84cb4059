//! The CPU's tensor: a dfdx tensor, the place of its gradient, and its packed forms.

use std::cell::OnceCell;
use std::ops::Deref;
use std::rc::Rc;

use dfdx::shapes::Rank0;
use dfdx::tensor::{Cpu, Gradients, Tensor};

use crate::gemm::{Factor, Matrix, Packed, Precision};

/// A dfdx matrix. Cloning shares all of it.
///
/// The packed forms are made when a product first wants them and live as long as the values: a
/// frozen weight is packed once, a tuned one once a step.
#[derive(Clone)]
pub struct HostTensor {
    values: Tensor<(usize, usize), f32, Cpu>,
    /// dfdx allocates a gradient of zeros as soon as it is asked for. The identity that gradients
    /// are kept under is that of a scalar, so that a gradient can also be moved in.
    key: Tensor<Rank0, f32, Cpu>,
    packed: Rc<PackedForms>,
    precision: Precision,
}

/// A weight as the right factor of `x wᵀ` and of `dy w`.
#[derive(Default)]
struct PackedForms {
    transposed: OnceCell<Packed>,
    straight: OnceCell<Packed>,
}

impl HostTensor {
    pub(super) fn new(
        values: Tensor<(usize, usize), f32, Cpu>,
        key: Tensor<Rank0, f32, Cpu>,
        precision: Precision,
    ) -> Self {
        Self {
            values,
            key,
            packed: Rc::default(),
            precision,
        }
    }

    /// This matrix as the right factor of a product.
    pub(crate) fn factor(&self) -> Factor<'_> {
        self.packed_once(self.matrix(), &self.packed.straight)
    }

    /// Its transpose as the right factor of a product.
    pub(crate) fn factor_t(&self) -> Factor<'_> {
        self.packed_once(self.matrix().t(), &self.packed.transposed)
    }

    fn packed_once<'a>(&'a self, matrix: Matrix<'a>, form: &'a OnceCell<Packed>) -> Factor<'a> {
        Factor::unpacked_b(matrix, self.precision).unwrap_or_else(|| {
            let pack = || {
                let mut packed = Packed::default();
                packed.par_pack_b(matrix, self.precision);
                packed
            };
            form.get_or_init(pack).factor()
        })
    }

    pub(crate) fn matrix(&self) -> Matrix<'_> {
        use dfdx::shapes::HasShape as _;
        let (rows, columns) = *self.values.shape();
        Matrix::new(super::bridge::values(&self.values), rows, columns)
    }

    pub(super) fn slot(&self) -> HostSlot {
        // dfdx's ghost (identity and shape without data) has no public name: a closure carries it.
        let ghost = self.key.ghost();
        HostSlot {
            find: Rc::new(move |gradients| {
                gradients
                    .get_or_alloc_mut(&ghost)
                    .expect("host memory for a number")
            }),
            len: self.matrix().shape().0 * self.matrix().shape().1,
        }
    }
}

impl Deref for HostTensor {
    type Target = Tensor<(usize, usize), f32, Cpu>;

    fn deref(&self) -> &Self::Target {
        &self.values
    }
}

type FindGradient = dyn for<'g> Fn(&'g mut Gradients<f32, Cpu>) -> &'g mut Vec<f32>;

/// The place of a gradient in the CPU's gradients.
#[derive(Clone)]
pub struct HostSlot {
    find: Rc<FindGradient>,
    len: usize,
}

impl HostSlot {
    /// The gradient; zeros at first.
    pub(super) fn get<'g>(&self, gradients: &'g mut Gradients<f32, Cpu>) -> &'g mut Vec<f32> {
        let gradient = (self.find)(gradients);
        if gradient.len() != self.len {
            *gradient = crate::ops::parallel::par_zeros(self.len);
        }
        gradient
    }

    /// Its memory, if anything was added to it yet.
    pub(super) fn existing<'g>(
        &self,
        gradients: &'g mut Gradients<f32, Cpu>,
    ) -> Option<&'g mut Vec<f32>> {
        let gradient = (self.find)(gradients);
        (gradient.len() == self.len).then_some(gradient)
    }

    pub(super) fn put(&self, gradients: &mut Gradients<f32, Cpu>, gradient: Vec<f32>) {
        assert_eq!(gradient.len(), self.len, "values of a gradient");
        *(self.find)(gradients) = gradient;
    }
}

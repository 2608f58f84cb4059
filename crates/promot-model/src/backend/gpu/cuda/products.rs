//! Matrix products by cuBLASLt.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::rc::Rc;

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys;
use cudarc::driver::sys::CUstream;

use super::super::{Address, GpuError, Product};
use super::context::Context;
use super::layout::{Layout, Layouts, alignment};
use crate::gemm::Precision;

/// What NVIDIA recommends for the GPUs that want most.
const WORKSPACE_BYTES: usize = 32 << 20;
/// Plans that are kept; all are made again when there are more, since lengths of batches vary.
const KEPT_PLANS: usize = 2048;

/// Looks for cuBLASLt, since the first call would panic where it is missing.
pub(super) fn look_for_library() -> Result<(), GpuError> {
    // SAFETY: loading a library runs its start-up code; this one is NVIDIA's.
    if unsafe { sys::is_culib_present() } {
        Ok(())
    } else {
        Err(GpuError::NoLibrary {
            library: "cuBLASLt".to_owned(),
            file: if cfg!(windows) {
                "cublasLt64_12.dll"
            } else {
                "libcublasLt.so.12"
            }
            .to_owned(),
        })
    }
}

/// What a plan is made for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    layouts: Layouts,
    narrow: bool,
    /// Of both factors, the addend and the result.
    alignments: [u32; 4],
}

/// A product of certain sizes, prepared: descriptions of the matrices, and the algorithm that the library
/// recommends.
struct Plan {
    description: Description,
    first: MatrixLayout,
    second: MatrixLayout,
    result: MatrixLayout,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

/// The library as one context uses it.
pub(super) struct Products {
    handle: Handle,
    workspace: Address,
    plans: RefCell<HashMap<Key, Rc<Plan>>>,
}

fn failed(doing: &str) -> impl FnOnce(CublasError) -> GpuError {
    move |error| GpuError::Failed {
        doing: format!("cuBLASLt: {doing}"),
        reason: format!("{:?}", error.0),
    }
}

impl Products {
    /// For the current context. The library must be there. Its workspace is the
    /// caller's to free.
    pub(super) fn open(context: &Context) -> Result<Self, GpuError> {
        context.current()?;
        Ok(Self {
            handle: Handle(result::create_handle().map_err(failed("starting"))?),
            workspace: context.allocate(WORKSPACE_BYTES)?,
            plans: RefCell::default(),
        })
    }

    /// Where the library keeps what a product needs for a while.
    pub(super) fn workspace(&self) -> Address {
        self.workspace
    }

    /// Multiplies in the current context.
    pub(super) fn multiply(&self, product: &Product, stream: CUstream) -> Result<(), GpuError> {
        let plan = self.plan(product)?;
        let (alpha, beta) = (product.alpha, product.beta);
        let device = |address: Address| address as *mut c_void;
        // SAFETY: handle, descriptions and layouts live as long as `self` and `plan`. The addresses are of
        // device memory that the caller has for matrices of these layouts, and of a workspace of that
        // size. The two factors are read by the host, before the call returns. The stream is the current
        // context's.
        let multiplied = unsafe {
            result::matmul(
                self.handle.0,
                plan.description.0,
                (&raw const alpha).cast(),
                (&raw const beta).cast(),
                device(product.b.address),
                plan.first.0,
                device(product.a.address),
                plan.second.0,
                device(product.c),
                plan.result.0,
                device(product.d),
                plan.result.0,
                &raw const plan.algorithm,
                device(self.workspace),
                WORKSPACE_BYTES,
                stream.cast(),
            )
        };
        multiplied.map_err(failed(&describe(product)))
    }

    /// How such products are computed.
    fn plan(&self, product: &Product) -> Result<Rc<Plan>, GpuError> {
        let key = Key {
            layouts: Layouts::of(product),
            narrow: product.precision == Precision::Bf16,
            alignments: [product.b.address, product.a.address, product.c, product.d].map(alignment),
        };
        let mut plans = self.plans.borrow_mut();
        if let Some(plan) = plans.get(&key) {
            return Ok(plan.clone());
        }
        if plans.len() >= KEPT_PLANS {
            plans.clear();
        }
        let plan = Plan::new(&self.handle, &key).map_err(failed(&describe(product)))?;
        let plan = Rc::new(plan);
        plans.insert(key, plan.clone());
        Ok(plan)
    }
}

fn describe(product: &Product) -> String {
    let Product { m, n, k, .. } = *product;
    format!("a product of {m}x{k} and {k}x{n}")
}

impl Plan {
    fn new(handle: &Handle, key: &Key) -> Result<Self, CublasError> {
        let factor_type = if key.narrow {
            sys::cudaDataType_t::CUDA_R_16BF
        } else {
            sys::cudaDataType_t::CUDA_R_32F
        };
        let Layouts {
            first,
            second,
            result: product,
        } = key.layouts;
        let description = Description::new(first.transposed, second.transposed)?;
        let first = MatrixLayout::new(&first, factor_type)?;
        let second = MatrixLayout::new(&second, factor_type)?;
        let product = MatrixLayout::new(&product, sys::cudaDataType_t::CUDA_R_32F)?;
        let preference = Preference::new(key.alignments)?;
        // SAFETY: all of them were just made and live until the end of this function at least.
        let best = unsafe {
            result::get_matmul_algo_heuristic(
                handle.0,
                description.0,
                first.0,
                second.0,
                product.0,
                product.0,
                preference.0,
            )
        }?;
        Ok(Self {
            description,
            first,
            second,
            result: product,
            algorithm: best.algo,
        })
    }
}

struct Handle(sys::cublasLtHandle_t);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it was created once, and nobody uses it after this.
        let _ = unsafe { result::destroy_handle(self.0) };
    }
}

/// What is multiplied how: sums in `f32`, and no numbers narrower than those of the factors.
struct Description(sys::cublasLtMatmulDesc_t);

impl Description {
    fn new(first_transposed: bool, second_transposed: bool) -> Result<Self, CublasError> {
        use sys::cublasLtMatmulDescAttributes_t::{
            CUBLASLT_MATMUL_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSB,
        };
        let compute = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let description = result::create_matmul_desc(compute, sys::cudaDataType_t::CUDA_R_32F)?;
        let description = Self(description);
        for (attribute, transposed) in [
            (CUBLASLT_MATMUL_DESC_TRANSA, first_transposed),
            (CUBLASLT_MATMUL_DESC_TRANSB, second_transposed),
        ] {
            // cublasOperation_t: 0 is as it is, 1 is transposed.
            let operation = i32::from(transposed);
            // SAFETY: the description was just made; the value is as long as is said.
            unsafe {
                result::set_matmul_desc_attribute(
                    description.0,
                    attribute,
                    (&raw const operation).cast(),
                    size_of_val(&operation),
                )
            }?;
        }
        Ok(description)
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: it was created once, and nobody uses it after this.
        let _ = unsafe { result::destroy_matmul_desc(self.0) };
    }
}

struct MatrixLayout(sys::cublasLtMatrixLayout_t);

impl MatrixLayout {
    fn new(layout: &Layout, values: sys::cudaDataType_t) -> Result<Self, CublasError> {
        let (rows, columns) = (layout.rows as u64, layout.columns as u64);
        let made = result::create_matrix_layout(values, rows, columns, layout.stride as i64)?;
        Ok(Self(made))
    }
}

impl Drop for MatrixLayout {
    fn drop(&mut self) {
        // SAFETY: it was created once, and nobody uses it after this.
        let _ = unsafe { result::destroy_matrix_layout(self.0) };
    }
}

/// What an algorithm may count on.
struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    fn new([first, second, addend, product]: [u32; 4]) -> Result<Self, CublasError> {
        use sys::cublasLtMatmulPreferenceAttributes_t::{
            CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
        };
        let preference = Self(result::create_matmul_pref()?);
        preference.set(
            CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
            &(WORKSPACE_BYTES as u64),
        )?;
        for (attribute, alignment) in [
            (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, first),
            (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, second),
            (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, addend),
            (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, product),
        ] {
            preference.set(attribute, &alignment)?;
        }
        Ok(preference)
    }

    fn set<T>(
        &self,
        attribute: sys::cublasLtMatmulPreferenceAttributes_t,
        value: &T,
    ) -> Result<(), CublasError> {
        let bytes = size_of::<T>();
        // SAFETY: the preference is there, and the value is as long as is said.
        unsafe {
            let value = std::ptr::from_ref(value).cast();
            result::set_matmul_pref_attribute(self.0, attribute, value, bytes)
        }
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: it was created once, and nobody uses it after this.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}

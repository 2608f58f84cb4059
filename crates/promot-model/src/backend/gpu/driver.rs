//! What the second device asks of the machine: memory, copies, launches and matrix products.
//!
//! [`CudaDriver`](super::CudaDriver) asks a GPU for them. Tests ask an emulator, which runs the same
//! kernels as C++ on the CPU, so that everything above this trait is executed without a GPU.

use std::ffi::c_void;

use super::GpuError;
use crate::gemm::Precision;

/// An address in device memory.
pub type Address = u64;

/// A file of kernels, compiled.
#[derive(Debug)]
pub struct Module {
    /// Name of its source file, without the ending.
    pub name: &'static str,
    /// What NVRTC made of the source, for compute capability 8.0 and later.
    pub ptx: &'static str,
}

/// A kernel of a module.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// Where it is.
    pub module: &'static Module,
    /// What it is called there.
    pub name: &'static str,
}

/// One argument of a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument {
    /// Where a tensor is.
    Address(Address),
    /// A size, an index or a flag.
    U32(u32),
    /// A 64-bit number.
    U64(u64),
    /// A number.
    F32(f32),
}

impl Argument {
    /// Where the value itself lies, as launches want it.
    pub fn as_ptr(&self) -> *const c_void {
        match self {
            Self::Address(value) | Self::U64(value) => std::ptr::from_ref(value).cast(),
            Self::U32(value) => std::ptr::from_ref(value).cast(),
            Self::F32(value) => std::ptr::from_ref(value).cast(),
        }
    }
}

/// One kernel on a grid of blocks of threads.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    /// Which kernel.
    pub kernel: Kernel,
    /// Blocks in each direction, none of them 0.
    pub grid: [u32; 3],
    /// Threads of a block: whole warps of 32.
    pub threads: u32,
    /// Dynamic shared memory of a block.
    pub shared_bytes: u32,
    /// In the order of the kernel's parameters.
    pub arguments: &'a [Argument],
}

/// One factor of a [`Product`], row-major.
#[derive(Clone, Copy, Debug)]
pub struct Factor {
    /// Where its first number is.
    pub address: Address,
    /// Values from one row to the next, as it lies in memory.
    pub stride: usize,
    /// Whether its transpose is what is multiplied.
    pub transposed: bool,
}

/// `d = alpha * a b + beta * c`, where `a` is `(m, k)` and `b` is `(k, n)` after transposition and `c`
/// and `d` are `(m, n)`, in `f32` and row-major, with the same strides.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Terms of each sum; not 0.
    pub k: usize,
    /// The left factor.
    pub a: Factor,
    /// The right factor.
    pub b: Factor,
    /// The numbers of both factors; sums are made in `f32` all the same.
    pub precision: Precision,
    /// What is added; it may be where the result goes.
    pub c: Address,
    /// Where the result goes.
    pub d: Address,
    /// Values from one row of the result to the next.
    pub stride: usize,
    /// What the product is multiplied with.
    pub alpha: f32,
    /// What is added is multiplied with this; with 0 it is not read.
    pub beta: f32,
}

/// A device as the backend uses it. All work is done in the order in which it was asked for.
pub trait Driver {
    /// What the device is called.
    fn name(&self) -> String;
    /// Operations a second that its hardware can do at most in products of a precision, if that is known.
    fn peak(&self, precision: Precision) -> Option<f64> {
        let _ = precision;
        None
    }
    /// Memory with undefined contents, aligned to 256 bytes. `bytes` is not 0.
    fn allocate(&self, bytes: usize) -> Result<Address, GpuError>;
    /// Whether freed memory is kept for the next who asks instead of being given back: where asking is
    /// slow.
    fn keeps_freed_memory(&self) -> bool {
        true
    }
    /// Gives memory back that [`Driver::allocate`] gave.
    fn free(&self, address: Address);
    /// Fills memory with zero bytes.
    fn clear(&self, address: Address, bytes: usize) -> Result<(), GpuError>;
    /// Copies host memory to the device.
    fn copy_to_device(&self, to: Address, from: &[u8]) -> Result<(), GpuError>;
    /// Copies device memory to the host, and waits for it.
    fn copy_to_host(&self, to: &mut [u8], from: Address) -> Result<(), GpuError>;
    /// Copies within the device.
    fn copy(&self, to: Address, from: Address, bytes: usize) -> Result<(), GpuError>;
    /// Runs a kernel.
    fn launch(&self, launch: &Launch<'_>) -> Result<(), GpuError>;
    /// Multiplies two matrices.
    fn product(&self, product: &Product) -> Result<(), GpuError>;
    /// Waits until all work is done.
    fn synchronize(&self) -> Result<(), GpuError>;
}

//! A GPU of this machine, through NVIDIA's own libraries.
//!
//! The libraries are looked for when a GPU is asked for, and only then: a program with this in it runs
//! on machines without them. The kernels' PTX is in the program. The driver compiles it for the GPU at
//! hand the first time and keeps what it made in a cache of its own (`CUDA_CACHE_PATH`, by default
//! `~/.nv/ComputeCache`). Nothing is compiled from source when the program runs.

mod context;
mod layout;
mod machine;
mod modules;
mod peak;
mod products;

use cudarc::driver::result;

use self::context::{Context, failed};
use self::machine::Machine;
use self::modules::Modules;
use self::peak::Units;
use self::products::Products;
use super::{Address, Driver, Gpu, GpuError, Launch, Product};
use crate::gemm::Precision;

pub use self::machine::{DeviceInfo, devices, first_usable};

/// A [`Driver`] that asks a GPU. All its work is in one stream, so it is done in order.
pub struct CudaDriver {
    // Dropped in this order: what lives in the context before the context.
    products: Products,
    modules: Modules,
    context: Context,
    name: String,
    units: Units,
}

impl CudaDriver {
    /// The GPU of an index, as [`devices`] counts them.
    ///
    /// # Errors
    /// [`GpuError::NoDriver`] and [`GpuError::NoLibrary`] where NVIDIA's libraries are missing,
    /// [`GpuError::NoDevice`] if there are not so many GPUs, [`GpuError::Unsupported`] if GPU or driver
    /// are older than what the kernels need, and whatever the driver says.
    pub fn open(index: usize) -> Result<Self, GpuError> {
        let machine = Machine::look()?;
        let info = machine.device(index)?;
        info.check()?;
        products::look_for_library()?;
        let context = Context::open(machine.handle(index)?)?;
        Ok(Self {
            products: Products::open(&context)?,
            modules: Modules::default(),
            context,
            name: info.name,
            units: machine.units(index)?,
        })
    }
}

impl Gpu {
    /// A GPU of this machine, as [`devices`] counts them.
    ///
    /// # Errors
    /// Those of [`CudaDriver::open`].
    pub fn open(index: usize, precision: Precision) -> Result<Self, GpuError> {
        Ok(Self::new(Box::new(CudaDriver::open(index)?), precision))
    }
}

impl Drop for CudaDriver {
    fn drop(&mut self) {
        // Fields give back what they have in the context that is current, which this makes it. Errors were
        // told before, or nobody asks any more.
        let _ = self.context.synchronize();
        self.context.free(self.products.workspace());
    }
}

impl Driver for CudaDriver {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn peak(&self, precision: Precision) -> Option<f64> {
        self.units.peak(precision)
    }

    fn allocate(&self, bytes: usize) -> Result<Address, GpuError> {
        self.context.allocate(bytes)
    }

    fn free(&self, address: Address) {
        // Kernels that were asked for may still use it. An error of theirs is told by what is asked next.
        let _ = self.context.synchronize();
        self.context.free(address);
    }

    fn clear(&self, address: Address, bytes: usize) -> Result<(), GpuError> {
        let stream = self.context.current()?;
        // SAFETY: the caller's range lies in memory that was allocated in this context, and the stream is
        // this context's.
        unsafe { result::memset_d8_async(address, 0, bytes, stream) }
            .map_err(failed("filling memory"))
    }

    fn copy_to_device(&self, to: Address, from: &[u8]) -> Result<(), GpuError> {
        let stream = self.context.current()?;
        // SAFETY: the caller's range lies in memory of this context. Host memory that is not page-locked
        // is copied aside before the call returns; where a device reads it in place instead,
        // `host_memory_was_read` waits. So `from` is not needed afterwards.
        unsafe { result::memcpy_htod_async(to, from, stream) }
            .map_err(failed("copying to the device"))?;
        self.context.host_memory_was_read()
    }

    fn copy_to_host(&self, to: &mut [u8], from: Address) -> Result<(), GpuError> {
        let stream = self.context.current()?;
        // SAFETY: the caller's range lies in memory of this context.
        let started = unsafe { result::memcpy_dtoh_async(to, from, stream) }
            .map_err(failed("copying to the host"));
        // Also after an error: nothing writes to `to` once this returns.
        self.context.synchronize().and(started)
    }

    fn copy(&self, to: Address, from: Address, bytes: usize) -> Result<(), GpuError> {
        let stream = self.context.current()?;
        // SAFETY: the caller's ranges lie in memory of this context.
        unsafe { result::memcpy_dtod_async(to, from, bytes, stream) }
            .map_err(failed("copying on the device"))
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<(), GpuError> {
        self.modules.launch(launch, self.context.current()?)
    }

    fn product(&self, product: &Product) -> Result<(), GpuError> {
        self.products.multiply(product, self.context.current()?)
    }

    fn synchronize(&self) -> Result<(), GpuError> {
        self.context.synchronize()
    }
}

#[cfg(test)]
mod tests;

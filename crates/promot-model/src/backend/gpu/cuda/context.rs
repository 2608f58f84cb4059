//! A GPU's context: its memory, and the stream that all work goes through.

use cudarc::driver::result::{self, DriverError, stream::StreamKind};
use cudarc::driver::sys::{CUcontext, CUdevice, CUdevice_attribute, CUresult, CUstream};

use super::super::{Address, GpuError};

/// What the driver says went wrong while doing something.
pub(super) fn failed(doing: &str) -> impl FnOnce(DriverError) -> GpuError {
    move |error| GpuError::Failed {
        doing: doing.to_owned(),
        reason: describe(error),
    }
}

/// An error's name and meaning.
pub(super) fn describe(error: DriverError) -> String {
    let text = |text: Result<&std::ffi::CStr, DriverError>| {
        text.map(|text| text.to_string_lossy().into_owned()).ok()
    };
    match (text(error.error_name()), text(error.error_string())) {
        (Some(name), Some(meaning)) => format!("{meaning} ({name})"),
        _ => format!("{:?}", error.0),
    }
}

/// The primary context of a device, which other libraries of the process would use, too.
pub(super) struct Context {
    device: CUdevice,
    context: CUcontext,
    stream: CUstream,
    /// Whether the device reads ordinary host memory itself, through the host's page tables.
    reads_host_memory: bool,
}

impl Context {
    /// `device` is one that the driver gave.
    pub(super) fn open(device: CUdevice) -> Result<Self, GpuError> {
        let attribute =
            CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES;
        // SAFETY: the device is one that the driver gave.
        let reads_host_memory = unsafe { result::device::get_attribute(device, attribute) }
            .map_err(failed("asking what the device can do"))?
            != 0;
        // SAFETY: as above; `drop` releases it.
        let context =
            unsafe { result::primary_ctx::retain(device) }.map_err(failed("opening the device"))?;
        let mut opened = Self {
            device,
            context,
            stream: result::stream::null(),
            reads_host_memory,
        };
        opened.current()?;
        opened.stream =
            result::stream::create(StreamKind::NonBlocking).map_err(failed("making a stream"))?;
        Ok(opened)
    }

    /// Makes this the context of the calling thread, which another one may have become since, and returns
    /// its stream.
    pub(super) fn current(&self) -> Result<CUstream, GpuError> {
        // SAFETY: the context is retained as long as this is there.
        unsafe { result::ctx::set_current(self.context) }.map_err(failed("using the device"))?;
        Ok(self.stream)
    }

    pub(super) fn synchronize(&self) -> Result<(), GpuError> {
        let stream = self.current()?;
        // SAFETY: the stream was made by `open` and is destroyed by `drop` only.
        unsafe { result::stream::synchronize(stream) }.map_err(failed("computing"))
    }

    /// Makes sure that host memory that a copy was started from is not read any more.
    pub(super) fn host_memory_was_read(&self) -> Result<(), GpuError> {
        if self.reads_host_memory {
            self.synchronize()?;
        }
        Ok(())
    }

    /// Memory with undefined contents. The driver aligns it to 256 bytes at least.
    pub(super) fn allocate(&self, bytes: usize) -> Result<Address, GpuError> {
        self.current()?;
        // SAFETY: nobody reads the memory before it is written: it is device memory, which only kernels
        // and copies see.
        match unsafe { result::malloc_sync(bytes) } {
            Ok(address) => Ok(address),
            Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                let (free, total) =
                    result::mem_get_info().map_err(failed("asking for free memory"))?;
                Err(GpuError::OutOfMemory { bytes, free, total })
            }
            Err(error) => Err(failed("asking for memory")(error)),
        }
    }

    /// Gives memory back that [`Context::allocate`] gave and that no work uses any more.
    pub(super) fn free(&self, address: Address) {
        if self.current().is_ok() {
            // SAFETY: `allocate` gave it, and callers free it once. After an error of the device the
            // driver refuses, and the memory goes with the process.
            let _ = unsafe { result::free_sync(address) };
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.current().is_ok() && !self.stream.is_null() {
            // SAFETY: `open` made the stream, and nobody uses it after this.
            let _ = unsafe { result::stream::destroy(self.stream) };
        }
        // SAFETY: `open` retained the context of this device once.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

//! Which GPUs this machine has, and whether they can be used.

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUdevice, CUdevice_attribute, CUresult};

use super::super::GpuError;
use super::context::{Context, failed};
use super::peak::Units;
use super::products;

/// The kernels' PTX is for this compute capability and later ones: bf16 on tensor cores came with it.
const LEAST_CAPABILITY: (u32, u32) = (8, 0);
/// The oldest CUDA whose drivers understand the kernels' PTX, as the driver writes versions.
const LEAST_DRIVER: u32 = 12_010;

/// A GPU of this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceInfo {
    /// Its number, from 0.
    pub index: usize,
    /// What it is called.
    pub name: String,
    /// Major and minor compute capability.
    pub compute_capability: (u32, u32),
    /// Bytes of memory.
    pub memory: usize,
    /// Major and minor version of CUDA that the driver is for.
    pub driver: (u32, u32),
}

impl DeviceInfo {
    /// Whether the kernels run on it.
    ///
    /// # Errors
    /// [`GpuError::Unsupported`] says what is too old.
    pub fn check(&self) -> Result<(), GpuError> {
        let (major, minor) = self.driver;
        if 1000 * major + 10 * minor < LEAST_DRIVER {
            return Err(GpuError::Unsupported {
                name: self.name.clone(),
                reason: format!(
                    "its driver is for CUDA {major}.{minor}, and the kernels need one for CUDA 12.1 or \
                     later (530 or later); update the driver"
                ),
            });
        }
        let (major, minor) = self.compute_capability;
        if self.compute_capability < LEAST_CAPABILITY {
            return Err(GpuError::Unsupported {
                name: self.name.clone(),
                reason: format!(
                    "its compute capability is {major}.{minor}, and the kernels need 8.0 or later \
                     (Ampere)"
                ),
            });
        }
        Ok(())
    }

    /// How many bytes of its memory nobody uses. This opens the device for a moment.
    ///
    /// # Errors
    /// Whatever the driver says, for example that another process has the device to itself.
    pub fn free_memory(&self) -> Result<usize, GpuError> {
        let context = Context::open(Machine::look()?.handle(self.index)?)?;
        context.current()?;
        let (free, _) = result::mem_get_info().map_err(failed("asking for free memory"))?;
        Ok(free)
    }
}

/// All GPUs of this machine.
///
/// # Errors
/// [`GpuError::NoDriver`] if there is no driver, and whatever it says. No GPUs are no error.
pub fn devices() -> Result<Vec<DeviceInfo>, GpuError> {
    let machine = Machine::look()?;
    (0..machine.count)
        .map(|index| machine.device(index))
        .collect()
}

/// The first GPU that the kernels run on, if all that they need is there.
///
/// # Errors
/// Why there is none: the reason of the first GPU if none can be used.
pub fn first_usable() -> Result<DeviceInfo, GpuError> {
    let devices = devices()?;
    products::look_for_library()?;
    let mut refused = None;
    for device in devices {
        match device.check() {
            Ok(()) => return Ok(device),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or(GpuError::NoDevice { index: 0, count: 0 }))
}

/// The driver, and how many GPUs it has.
pub(super) struct Machine {
    count: usize,
    driver: (u32, u32),
}

impl Machine {
    /// Looks for the driver and starts it.
    pub(super) fn look() -> Result<Self, GpuError> {
        // SAFETY: loading a library runs its start-up code; this one is NVIDIA's driver. Without this
        // question the first call would panic where it is missing.
        if !unsafe { sys::is_culib_present() } {
            return Err(GpuError::NoDriver {
                library: if cfg!(windows) {
                    "nvcuda.dll"
                } else {
                    "libcuda.so.1"
                }
                .to_owned(),
            });
        }
        let count = match result::init() {
            Ok(()) => result::device::get_count().map_err(failed("counting GPUs"))?,
            Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => 0,
            Err(error) => return Err(failed("starting the NVIDIA driver")(error)),
        };
        let mut version = 0;
        // SAFETY: the driver writes one number to it.
        unsafe { sys::cuDriverGetVersion(&raw mut version) }
            .result()
            .map_err(failed("asking for the driver's version"))?;
        let version = u32::try_from(version).unwrap_or(0);
        Ok(Self {
            count: usize::try_from(count).unwrap_or(0),
            driver: (version / 1000, version % 1000 / 10),
        })
    }

    /// The driver's handle of a GPU.
    pub(super) fn handle(&self, index: usize) -> Result<CUdevice, GpuError> {
        let missing = GpuError::NoDevice {
            index,
            count: self.count,
        };
        match i32::try_from(index) {
            Ok(ordinal) if index < self.count => {
                result::device::get(ordinal).map_err(failed("looking for the device"))
            }
            _ => Err(missing),
        }
    }

    fn attribute(&self, index: usize, attribute: CUdevice_attribute) -> Result<u32, GpuError> {
        // SAFETY: the handle is one that the driver gave.
        let value = unsafe { result::device::get_attribute(self.handle(index)?, attribute) };
        let value = value.map_err(failed("asking what the device can do"))?;
        Ok(u32::try_from(value).unwrap_or(0))
    }

    /// What computes on a GPU.
    pub(super) fn units(&self, index: usize) -> Result<Units, GpuError> {
        let multiprocessors = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let kilohertz = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE;
        Ok(Units {
            capability: self.device(index)?.compute_capability,
            multiprocessors: self.attribute(index, multiprocessors)?,
            clock: 1e3 * f64::from(self.attribute(index, kilohertz)?),
        })
    }

    /// What a GPU is.
    pub(super) fn device(&self, index: usize) -> Result<DeviceInfo, GpuError> {
        let handle = self.handle(index)?;
        let attribute = |attribute| self.attribute(index, attribute);
        let major = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let asking = "asking what the device is";
        Ok(DeviceInfo {
            index,
            name: result::device::get_name(handle).map_err(failed(asking))?,
            compute_capability: (major, minor),
            // SAFETY: the handle is one that the driver gave.
            memory: unsafe { result::device::total_mem(handle) }.map_err(failed(asking))?,
            driver: self.driver,
        })
    }
}

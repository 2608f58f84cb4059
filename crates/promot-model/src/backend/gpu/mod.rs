//! The second device: one NVIDIA GPU, or what a test puts in its place.
//!
//! Memory, gradients and tape are here; kernels are beside each op. What the machine has to do is
//! behind [`Driver`]. An error of the machine does not unwind through a pass: the first one is kept,
//! everything asked for afterwards is left undone, and [`Device::check`] tells, which training and
//! decoding ask before they use or store a result.

mod cuda;
mod driver;
#[cfg(test)]
pub(crate) mod emulated;
mod error;
mod memory;
mod product;
mod ptx;
mod tape;
mod tensor;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

pub use cuda::{CudaDriver, DeviceInfo, devices, first_usable};
pub use driver::{Address, Argument, Driver, Factor, Kernel, Launch, Module, Product};
pub use error::GpuError;
pub(crate) use product::{Activations, Operand, Terms};
pub use tape::{GpuGradients, GpuTape};
pub use tensor::{GpuBuffer, GpuSlice, GpuSlot, GpuTensor};

use self::memory::Pool;
use super::{Device, DeviceError, Shape};
use crate::gemm::Precision;

/// A GPU as a [`Device`]. Cloning shares it.
#[derive(Clone)]
pub struct Gpu(Rc<State>);

struct State {
    driver: Box<dyn Driver>,
    precision: Precision,
    pool: RefCell<Pool>,
    /// The first error; nothing is asked of the driver after it.
    error: RefCell<Option<GpuError>>,
    next_identity: Cell<u64>,
    /// Offsets and the like that were copied to the device lately: all layers of a pass share them.
    indices: RefCell<Vec<KeptIndices>>,
}

impl Drop for State {
    fn drop(&mut self) {
        // Buffers cannot give their memory back themselves any more.
        for (_, buffer) in self.indices.take() {
            if let Some(address) = Rc::into_inner(buffer).and_then(GpuBuffer::into_address) {
                self.driver.free(address);
            }
        }
        self.pool.borrow_mut().give_all_back(&*self.driver);
    }
}

/// An array on the host, and on the device.
type KeptIndices = (Arc<[usize]>, Rc<GpuBuffer>);

/// How many arrays of indices are kept on the device for the next op that wants them.
const KEPT_INDICES: usize = 16;

impl Gpu {
    /// A device that `driver` works for, with matrix products and attention in a given precision.
    pub fn new(driver: Box<dyn Driver>, precision: Precision) -> Self {
        Self(Rc::new(State {
            driver,
            precision,
            pool: RefCell::default(),
            error: RefCell::default(),
            next_identity: Cell::new(0),
            indices: RefCell::default(),
        }))
    }

    /// The precision of matrix products and attention.
    pub fn precision(&self) -> Precision {
        self.0.precision
    }

    /// What the device is called.
    pub fn name(&self) -> String {
        self.0.driver.name()
    }

    /// Operations a second that the hardware can do at most in products of the device's precision, if that
    /// is known.
    pub fn peak(&self) -> Option<f64> {
        self.0.driver.peak(self.0.precision)
    }

    /// The most bytes of device memory that were ever held at once for tensors, those included that were
    /// free and kept for the next. What the driver and its libraries need is not counted.
    pub fn peak_memory(&self) -> usize {
        self.0.pool.borrow().most_held()
    }

    /// Asks the driver for something, unless it failed before.
    fn ask<T>(&self, doing: impl FnOnce(&dyn Driver) -> Result<T, GpuError>) -> Option<T> {
        if self.0.error.borrow().is_some() {
            return None;
        }
        match doing(&*self.0.driver) {
            Ok(result) => Some(result),
            Err(error) => {
                *self.0.error.borrow_mut() = Some(error);
                None
            }
        }
    }

    fn new_identity(&self) -> u64 {
        let identity = self.0.next_identity.get();
        self.0.next_identity.set(identity + 1);
        identity
    }

    /// Runs a kernel; nothing where the grid has no block.
    pub(crate) fn launch(
        &self,
        kernel: Kernel,
        grid: [usize; 3],
        threads: u32,
        shared_bytes: usize,
        arguments: &[Argument],
    ) {
        if grid.contains(&0) {
            return;
        }
        let as_u32 = |size: usize| u32::try_from(size).expect("a size below 2^32");
        let launch = Launch {
            kernel,
            grid: grid.map(as_u32),
            threads,
            shared_bytes: as_u32(shared_bytes),
            arguments,
        };
        self.ask(|driver| driver.launch(&launch));
    }

    /// Runs a kernel that handles `len` values, one or several a thread, in blocks of 256 threads.
    pub(crate) fn launch_over(&self, kernel: Kernel, len: usize, arguments: &[Argument]) {
        const THREADS: usize = 256;
        // More blocks than the largest device runs at once gain nothing: threads take several values.
        let blocks = len.div_ceil(THREADS).min(4096);
        self.launch(kernel, [blocks, 1, 1], THREADS as u32, 0, arguments);
    }

    /// Memory whose contents are still to be written.
    pub(crate) fn uninitialized(&self, len: usize) -> GpuBuffer {
        GpuBuffer::new(self, len)
    }

    /// Indices as 32-bit numbers on the device. Those of one array are copied once as long as they are
    /// asked for again soon.
    pub(crate) fn indices(&self, indices: &Arc<[usize]>) -> Rc<GpuBuffer> {
        let mut kept = self.0.indices.borrow_mut();
        if let Some(at) = kept
            .iter()
            .position(|(array, _)| Arc::ptr_eq(array, indices))
        {
            let entry = kept.remove(at);
            let buffer = entry.1.clone();
            kept.push(entry);
            return buffer;
        }
        let values: Vec<u32> = indices.iter().map(|&index| index_u32(index)).collect();
        let buffer = Rc::new(self.upload_u32(&values));
        if kept.len() == KEPT_INDICES {
            kept.remove(0);
        }
        kept.push((indices.clone(), buffer.clone()));
        buffer
    }

    /// 32-bit numbers on the device.
    pub(crate) fn upload_u32(&self, values: &[u32]) -> GpuBuffer {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_ne_bytes())
            .collect();
        self.upload_bytes(&bytes)
    }

    /// A whole number of 32-bit numbers on the device.
    fn upload_bytes(&self, bytes: &[u8]) -> GpuBuffer {
        let buffer = self.uninitialized(bytes.len() / 4);
        if !bytes.is_empty() {
            let address = buffer.as_ref().address();
            self.ask(|driver| driver.copy_to_device(address, bytes));
        }
        buffer
    }

    /// 64-bit numbers of the device, each of which takes two places of `slice`.
    pub(crate) fn download_f64(&self, slice: &GpuSlice) -> Vec<f64> {
        let bytes = self.download_bytes(slice);
        let values = bytes.as_chunks::<8>().0.iter();
        values.map(|&value| f64::from_ne_bytes(value)).collect()
    }

    /// 32-bit numbers of the device.
    pub(crate) fn download_u32(&self, slice: &GpuSlice) -> Vec<u32> {
        let bytes = self.download_bytes(slice);
        let values = bytes.as_chunks::<4>().0.iter();
        values.map(|&value| u32::from_ne_bytes(value)).collect()
    }

    /// The bytes of `slice`; zeros if the device failed.
    fn download_bytes(&self, slice: &GpuSlice) -> Vec<u8> {
        let mut bytes = vec![0; 4 * slice.len()];
        if !slice.is_empty() {
            self.ask(|driver| driver.copy_to_host(&mut bytes, slice.address()));
        }
        bytes
    }

    /// Copies all of `values` to the places of `slice` from `first` on.
    pub(crate) fn copy_into(&self, slice: &mut GpuSlice, first: usize, values: &GpuSlice) {
        assert!(first + values.len() <= slice.len(), "places for the copy");
        if !values.is_empty() {
            let (to, bytes) = (slice.address_of(first), 4 * values.len());
            self.ask(|driver| driver.copy(to, values.address(), bytes));
        }
    }

    /// A copy of some values.
    pub(crate) fn copy_of(&self, slice: &GpuSlice) -> GpuBuffer {
        let buffer = self.uninitialized(slice.len());
        if !slice.is_empty() {
            let to = buffer.as_ref().address();
            self.ask(|driver| driver.copy(to, slice.address(), 4 * slice.len()));
        }
        buffer
    }
}

/// An index as kernels read it.
pub(crate) fn index_u32(index: usize) -> u32 {
    u32::try_from(index).expect("an index below 2^32")
}

impl Device for Gpu {
    type Slice = GpuSlice;
    type Buffer = GpuBuffer;
    type Tensor = GpuTensor;
    type Slot = GpuSlot;
    type Tape = GpuTape;
    type Gradients = GpuGradients;

    fn tensor(&self, buffer: GpuBuffer, shape: Shape) -> GpuTensor {
        GpuTensor::new(self, buffer, shape)
    }

    fn shape(tensor: &GpuTensor) -> Shape {
        tensor.shape()
    }

    fn slice(tensor: &GpuTensor) -> &GpuSlice {
        tensor.slice()
    }

    fn slot(tensor: &GpuTensor) -> GpuSlot {
        tensor.slot()
    }

    fn zeros(&self, len: usize) -> GpuBuffer {
        let buffer = self.uninitialized(len);
        if len > 0 {
            let address = buffer.as_ref().address();
            self.ask(|driver| driver.clear(address, 4 * len));
        }
        buffer
    }

    fn upload(&self, values: Vec<f32>) -> GpuBuffer {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_ne_bytes())
            .collect();
        self.upload_bytes(&bytes)
    }

    fn download(&self, slice: &GpuSlice) -> Vec<f32> {
        let bytes = self.download_bytes(slice);
        let values = bytes.as_chunks::<4>().0.iter();
        values.map(|&value| f32::from_ne_bytes(value)).collect()
    }

    fn check(&self) -> Result<(), DeviceError> {
        self.ask(|driver| driver.synchronize());
        match &*self.0.error.borrow() {
            Some(error) => Err(DeviceError::Gpu(error.clone())),
            None => Ok(()),
        }
    }

    fn kernels(&self) -> String {
        format!("cuda-{} ({})", self.precision().name(), self.name())
    }

    fn new_tape(&self, gradients: GpuGradients) -> GpuTape {
        GpuTape::new(gradients)
    }

    fn record(tape: &mut GpuTape, backward: impl FnOnce(&mut GpuGradients) + 'static) {
        tape.push(Box::new(backward));
    }

    fn run_backward(&self, tape: GpuTape) -> GpuGradients {
        tape.run()
    }

    fn take_gradient(gradients: &mut GpuGradients, slot: &GpuSlot) -> GpuBuffer {
        gradients.take(slot)
    }

    fn take_existing_gradient(gradients: &mut GpuGradients, slot: &GpuSlot) -> Option<GpuBuffer> {
        gradients.take_existing(slot)
    }

    fn put_gradient(gradients: &mut GpuGradients, slot: &GpuSlot, gradient: GpuBuffer) {
        gradients.put(slot, gradient);
    }

    fn add_gradient(gradients: &mut GpuGradients, slot: &GpuSlot, add: impl FnOnce(&mut GpuSlice)) {
        let mut gradient = gradients.take(slot);
        add(gradient.as_mut());
        gradients.put(slot, gradient);
    }

    fn add_gradient_buffer(&self, gradients: &mut GpuGradients, slot: &GpuSlot, more: GpuBuffer) {
        match gradients.take_existing(slot) {
            Some(mut gradient) => {
                crate::ops::add::Kernels::add_assign(self, gradient.as_mut(), more.as_ref());
                gradients.put(slot, gradient);
            }
            None => gradients.put(slot, more),
        }
    }
}

//! Tensors in GPU memory.

use std::cell::OnceCell;
use std::rc::{Rc, Weak};

use super::memory::Pool;
use super::{Address, Argument, Gpu, State};
use crate::backend::{Device as _, Shape};

/// Values in GPU memory.
#[derive(Debug)]
pub struct GpuSlice {
    address: Address,
    len: usize,
}

impl GpuSlice {
    /// Where the first value is.
    pub fn address(&self) -> Address {
        self.address
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// As an argument of a kernel.
    pub(crate) fn argument(&self) -> Argument {
        Argument::Address(self.address)
    }

    /// Where the value at `index` is.
    pub(crate) fn address_of(&self, index: usize) -> Address {
        assert!(index <= self.len, "an index of the slice");
        self.address + 4 * index as Address
    }
}

/// GPU memory that is owned; it is used again when this is dropped.
pub struct GpuBuffer {
    slice: GpuSlice,
    /// What was asked of the driver; 0 if there is no memory.
    size: usize,
    /// Not shared: the device itself keeps buffers. Its memory ends with it.
    device: Weak<State>,
}

impl GpuBuffer {
    pub(super) fn new(gpu: &Gpu, len: usize) -> Self {
        // Who does not keep memory gives exactly what is asked for, and can tell who goes beyond it.
        let size = match gpu.0.driver.keeps_freed_memory() {
            true => Pool::size_class(4 * len),
            false => 4 * len,
        };
        let taken = if len == 0 {
            None
        } else {
            gpu.ask(|driver| gpu.0.pool.borrow_mut().take(size, driver))
        };
        Self {
            slice: GpuSlice {
                address: taken.map_or(0, |(_, address)| address),
                len,
            },
            size: taken.map_or(0, |(size, _)| size),
            device: Rc::downgrade(&gpu.0),
        }
    }
}

impl GpuBuffer {
    /// The memory, if there is any, which is no longer given back.
    pub(super) fn into_address(mut self) -> Option<Address> {
        let size = std::mem::take(&mut self.size);
        (size > 0).then_some(self.slice.address)
    }
}

impl Drop for GpuBuffer {
    fn drop(&mut self) {
        if self.size > 0
            && let Some(device) = self.device.upgrade()
        {
            let mut pool = device.pool.borrow_mut();
            pool.put(self.size, self.slice.address, &*device.driver);
        }
    }
}

impl AsRef<GpuSlice> for GpuBuffer {
    fn as_ref(&self) -> &GpuSlice {
        &self.slice
    }
}

impl AsMut<GpuSlice> for GpuBuffer {
    fn as_mut(&mut self) -> &mut GpuSlice {
        &mut self.slice
    }
}

/// A matrix in GPU memory. Cloning shares it.
#[derive(Clone)]
pub struct GpuTensor(Rc<Matrix>);

struct Matrix {
    gpu: Gpu,
    buffer: GpuBuffer,
    shape: Shape,
    identity: u64,
    /// The values as bf16, made when a product first wants them.
    narrow: OnceCell<GpuBuffer>,
}

impl GpuTensor {
    pub(super) fn new(gpu: &Gpu, buffer: GpuBuffer, shape: Shape) -> Self {
        let len = buffer.slice.len();
        assert_eq!(len, shape.0 * shape.1, "values for shape {shape:?}");
        Self(Rc::new(Matrix {
            gpu: gpu.clone(),
            buffer,
            shape,
            identity: gpu.new_identity(),
            narrow: OnceCell::new(),
        }))
    }

    /// Rows and columns.
    pub fn shape(&self) -> Shape {
        self.0.shape
    }

    /// The values.
    pub fn slice(&self) -> &GpuSlice {
        &self.0.buffer.slice
    }

    /// The values as bf16.
    pub(super) fn narrow(&self) -> &GpuSlice {
        let gpu = &self.0.gpu;
        let narrow = self.0.narrow.get_or_init(|| gpu.to_bf16(self.slice()));
        narrow.as_ref()
    }

    pub(super) fn slot(&self) -> GpuSlot {
        GpuSlot {
            identity: self.0.identity,
            len: self.slice().len(),
            gpu: self.0.gpu.clone(),
        }
    }
}

/// The place of a tensor's gradient.
#[derive(Clone)]
pub struct GpuSlot {
    identity: u64,
    len: usize,
    gpu: Gpu,
}

impl GpuSlot {
    pub(super) fn identity(&self) -> u64 {
        self.identity
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn zeros(&self) -> GpuBuffer {
        self.gpu.zeros(self.len)
    }
}

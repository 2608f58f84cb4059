//! Arrays in the emulator's memory, and launches on them.
#![allow(dead_code)] // Each test program uses some of it.

use std::ffi::c_void;

use promot_cuda_emulator::{Memory, Schedule, launch};

/// The schedules that every correct kernel is run under.
pub(crate) const SCHEDULES: [Schedule; 5] = [
    Schedule(0),
    Schedule(1),
    Schedule(2),
    Schedule(3),
    Schedule(4),
];

/// Values of one type in the emulator's memory.
pub(crate) struct Array<T> {
    memory: Memory,
    address: u64,
    len: usize,
    of: std::marker::PhantomData<T>,
}

impl<T: Copy> Array<T> {
    /// Values that nobody has written.
    pub(crate) fn unwritten(len: usize) -> Self {
        let memory = Memory::allocate(len * size_of::<T>());
        let address = memory.address();
        Self {
            memory,
            address,
            len,
            of: std::marker::PhantomData,
        }
    }

    /// A copy of some values.
    pub(crate) fn of(values: &[T]) -> Self {
        let array = Self::unwritten(values.len());
        // SAFETY: the memory is large enough and aligned to 16 bytes.
        unsafe {
            (array.address as *mut T).copy_from_nonoverlapping(values.as_ptr(), values.len())
        };
        array
    }

    /// What is there now.
    pub(crate) fn values(&self) -> Vec<T> {
        // SAFETY: the memory holds as many values, all of whose bytes are written (as poison at first);
        // tests use types for which all bytes are valid.
        unsafe { std::slice::from_raw_parts(self.address as *const T, self.len) }.to_vec()
    }

    /// As an argument of a kernel: where the address lies.
    pub(crate) fn argument(&self) -> *const c_void {
        std::ptr::from_ref(&self.address).cast()
    }
}

/// A number as an argument of a kernel.
pub(crate) fn number<T>(value: &T) -> *const c_void {
    std::ptr::from_ref(value).cast()
}

/// Runs one block.
pub(crate) fn run_block(
    kernel: &str,
    threads: u32,
    shared_bytes: u32,
    arguments: &[*const c_void],
    schedule: Schedule,
) -> Result<(), String> {
    launch(
        kernel,
        [1, 1, 1],
        threads,
        shared_bytes,
        arguments,
        schedule,
    )
}

/// Small numbers without a pattern, which bf16 holds exactly.
pub(crate) fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) % 129
    };
    (0..len).map(|_| (next() as f32 - 64.0) / 32.0).collect()
}

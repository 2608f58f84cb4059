//! A GPU that is not there: kernels run as C++ on the CPU, products by the CPU's engine.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use half::bf16;
use promot_cuda_emulator::{Memory, Schedule};

use super::{Address, Argument, Driver, Factor, Gpu, GpuError, Launch, Product, ptx};
use crate::gemm::{Matrix, Precision, matmul};

/// Orders of warps and lanes that every test runs under.
pub(crate) const SCHEDULES: [Schedule; 4] = [Schedule(0), Schedule(1), Schedule(2), Schedule(3)];

/// Switches the emulated device off in the tests of ops where it is set to `off`: under valgrind, which
/// does not know fibers, and where only the CPU's kernels are asked for.
const VARIABLE: &str = "PROMOT_EMULATOR";

/// [`SCHEDULES`], or none of them where the environment says so; then that is said on standard error.
pub(crate) fn schedules() -> &'static [Schedule] {
    if std::env::var_os(VARIABLE).is_none_or(|value| value != "off") {
        return &SCHEDULES;
    }
    eprintln!("skipped: the emulated device ({VARIABLE}=off)");
    &[]
}

/// An emulated device.
pub(crate) fn emulated(precision: Precision, schedule: Schedule) -> Gpu {
    Gpu::new(Box::new(Emulator::new(schedule)), precision)
}

/// Works for a device that is emulated.
pub(crate) struct Emulator {
    schedule: Schedule,
    memory: RefCell<HashMap<Address, Memory>>,
    allocations: Rc<Cell<usize>>,
}

impl Emulator {
    pub(crate) fn new(schedule: Schedule) -> Self {
        Self {
            schedule,
            memory: RefCell::default(),
            allocations: Rc::default(),
        }
    }

    /// How many pieces of memory are in use, also after this is gone.
    pub(crate) fn allocations(&self) -> Rc<Cell<usize>> {
        self.allocations.clone()
    }
}

impl Driver for Emulator {
    fn name(&self) -> String {
        "emulator".to_owned()
    }

    fn allocate(&self, bytes: usize) -> Result<Address, GpuError> {
        let memory = Memory::allocate(bytes);
        let address = memory.address();
        self.memory.borrow_mut().insert(address, memory);
        self.allocations.set(self.allocations.get() + 1);
        Ok(address)
    }

    /// What is used after it was freed must not be there any more.
    fn keeps_freed_memory(&self) -> bool {
        false
    }

    fn free(&self, address: Address) {
        let freed = self.memory.borrow_mut().remove(&address);
        assert!(freed.is_some(), "memory is freed once");
        self.allocations.set(self.allocations.get() - 1);
    }

    fn clear(&self, address: Address, bytes: usize) -> Result<(), GpuError> {
        // SAFETY: the address is that of at least so many bytes of emulated memory.
        unsafe { std::ptr::write_bytes(address as *mut u8, 0, bytes) };
        Ok(())
    }

    fn copy_to_device(&self, to: Address, from: &[u8]) -> Result<(), GpuError> {
        // SAFETY: as in `clear`; host and emulated memory do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to as *mut u8, from.len()) };
        Ok(())
    }

    fn copy_to_host(&self, to: &mut [u8], from: Address) -> Result<(), GpuError> {
        // SAFETY: as in `copy_to_device`.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn copy(&self, to: Address, from: Address, bytes: usize) -> Result<(), GpuError> {
        // SAFETY: both are emulated memory of at least so many bytes.
        unsafe { std::ptr::copy(from as *const u8, to as *mut u8, bytes) };
        Ok(())
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<(), GpuError> {
        check_against_ptx(launch)?;
        let arguments: Vec<_> = launch.arguments.iter().map(Argument::as_ptr).collect();
        promot_cuda_emulator::launch(
            launch.kernel.name,
            launch.grid,
            launch.threads,
            launch.shared_bytes,
            &arguments,
            self.schedule,
        )
        .map_err(|reason| GpuError::Failed {
            doing: format!("kernel {}", launch.kernel.name),
            reason,
        })
    }

    fn product(&self, product: &Product) -> Result<(), GpuError> {
        let Product { m, n, k, .. } = *product;
        let a = read(&product.a, (m, k), product.precision);
        let b = read(&product.b, (k, n), product.precision);
        let matrix = |values, factor: &Factor, (rows, columns): (usize, usize)| {
            if factor.transposed {
                Matrix::new(values, columns, rows).t()
            } else {
                Matrix::new(values, rows, columns)
            }
        };
        let (a, b) = (
            matrix(&a, &product.a, (m, k)),
            matrix(&b, &product.b, (k, n)),
        );
        let mut out = vec![0.0; m * n];
        // What was rounded to bf16 stays as it is: the products are exact in f32.
        matmul(&mut out, a, b, false, Precision::F32);
        for (row, out) in out.chunks_exact(n).enumerate() {
            for (column, out) in out.iter().enumerate() {
                // SAFETY: addend and result have `m` rows of `n` values, `stride` apart.
                unsafe {
                    let at = row * product.stride + column;
                    let addend = if product.beta == 0.0 {
                        0.0
                    } else {
                        product.beta * *(product.c as *const f32).add(at)
                    };
                    *(product.d as *mut f32).add(at) = product.alpha * out + addend;
                }
            }
        }
        Ok(())
    }

    fn synchronize(&self) -> Result<(), GpuError> {
        Ok(())
    }
}

/// Whether the arguments are those of the kernel that a GPU would run.
fn check_against_ptx(launch: &Launch<'_>) -> Result<(), GpuError> {
    thread_local! {
        static PARAMETERS: RefCell<HashMap<&'static str, Vec<usize>>> = RefCell::default();
    }
    PARAMETERS.with_borrow_mut(|known| {
        let parameters = match known.entry(launch.kernel.name) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => place.insert(ptx::parameters(launch.kernel)?),
        };
        ptx::check_arguments(launch, parameters)
    })
}

/// A factor's numbers as they lie in memory, row by row; `shape` is that after transposition.
fn read(factor: &Factor, (rows, columns): (usize, usize), precision: Precision) -> Vec<f32> {
    let (rows, columns) = if factor.transposed {
        (columns, rows)
    } else {
        (rows, columns)
    };
    let mut values = Vec::with_capacity(rows * columns);
    for first in (0..rows).map(|row| row * factor.stride) {
        for index in first..first + columns {
            // SAFETY: a factor's rows lie `stride` values apart in emulated memory.
            values.push(unsafe {
                match precision {
                    Precision::F32 => *(factor.address as *const f32).add(index),
                    Precision::Bf16 => (*(factor.address as *const bf16).add(index)).to_f32(),
                }
            });
        }
    }
    values
}

/// An emulator whose memory ends after some allocations.
pub(crate) struct Broken {
    emulator: Emulator,
    left: Cell<usize>,
}

impl Broken {
    pub(crate) fn after(allocations: usize) -> Self {
        Self {
            emulator: Emulator::new(SCHEDULES[0]),
            left: Cell::new(allocations),
        }
    }
}

impl Driver for Broken {
    fn name(&self) -> String {
        self.emulator.name()
    }

    fn allocate(&self, bytes: usize) -> Result<Address, GpuError> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(GpuError::OutOfMemory {
                bytes,
                free: 0,
                total: 0,
            });
        };
        self.left.set(left);
        self.emulator.allocate(bytes)
    }

    fn keeps_freed_memory(&self) -> bool {
        self.emulator.keeps_freed_memory()
    }

    fn free(&self, address: Address) {
        self.emulator.free(address);
    }

    fn clear(&self, address: Address, bytes: usize) -> Result<(), GpuError> {
        self.emulator.clear(address, bytes)
    }

    fn copy_to_device(&self, to: Address, from: &[u8]) -> Result<(), GpuError> {
        self.emulator.copy_to_device(to, from)
    }

    fn copy_to_host(&self, to: &mut [u8], from: Address) -> Result<(), GpuError> {
        self.emulator.copy_to_host(to, from)
    }

    fn copy(&self, to: Address, from: Address, bytes: usize) -> Result<(), GpuError> {
        self.emulator.copy(to, from, bytes)
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<(), GpuError> {
        self.emulator.launch(launch)
    }

    fn product(&self, product: &Product) -> Result<(), GpuError> {
        self.emulator.product(product)
    }

    fn synchronize(&self) -> Result<(), GpuError> {
        self.emulator.synchronize()
    }
}

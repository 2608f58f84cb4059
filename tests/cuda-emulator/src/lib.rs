//! For tests: runs the CUDA kernels of promot-model on the CPU, and finds what a GPU would not tell.
//!
//! Every kernel (`*.cu`) is compiled as C++ and found by its name. A block's threads are fibers. What
//! goes wrong is found, or made visible:
//!
//! - A barrier that not all threads reach, a warp operation that not all lanes reach, a misaligned row
//!   for `ldmatrix`, misaligned access, an index beyond a local array and the like, and a launch that no
//!   GPU would take are errors of [`launch`].
//! - A missing barrier gives other results under another [`Schedule`].
//! - Shared and device memory that nobody has written reads as NaN.
//! - Access behind the end of shared or device memory ends the program with a signal, after a message.
//!
//! Built with `PROMOT_EMULATOR_RACES=1` in the environment it finds races as well, and with
//! `PROMOT_EMULATOR_SANITIZE=address` it does so with AddressSanitizer; `README.md` has more.

mod entry;
mod memory;

use std::ffi::{CStr, c_char, c_void};

pub use memory::Memory;

/// Whether this was built with AddressSanitizer, which then ends the program where memory is misused.
pub const ADDRESS_SANITIZER: bool = cfg!(address_sanitizer);

/// Whether this was built so that [`launch`] finds races for shared and device memory.
pub const FINDS_RACES: bool = cfg!(races);

/// The order in which warps and lanes run: 0 forward, 1 reversed, every other number seeds an order
/// that is drawn anew at each step. The same number always gives the same order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule(pub u32);

/// Runs a kernel on a grid of blocks of `threads` threads, each with `shared_bytes` of shared memory,
/// and returns when all of it has run.
///
/// `arguments` are, in the order of the kernel's parameters, where its arguments lie, as CUDA wants
/// them too.
///
/// # Errors
///
/// What is wrong with the launch, or what a block did wrong, with the kernel's name and the block.
///
/// # Safety of the arguments
///
/// The kernel reads and writes what its arguments say, and nothing checks them: they must be of the
/// types of its parameters, and addresses among them must be those of [`Memory`] that is large enough.
/// Access behind the end of a [`Memory`] ends the program.
pub fn launch(
    kernel: &str,
    grid: [u32; 3],
    threads: u32,
    shared_bytes: u32,
    arguments: &[*const c_void],
    schedule: Schedule,
) -> Result<(), String> {
    let mut message = [0 as c_char; 1024];
    // SAFETY: name, grid, arguments and message are valid for the lengths given. That the arguments
    // fit the kernel is asked of the caller.
    let done = unsafe {
        (entry::entry())(
            kernel.as_ptr().cast(),
            kernel.len(),
            grid.as_ptr(),
            threads,
            shared_bytes,
            arguments.as_ptr(),
            u32::try_from(arguments.len()).expect("few arguments"),
            schedule.0,
            message.as_mut_ptr(),
            message.len(),
        )
    };
    if done {
        return Ok(());
    }
    // SAFETY: the emulator left a text there that ends with a zero.
    let message = unsafe { CStr::from_ptr(message.as_ptr()) };
    Err(message.to_string_lossy().into_owned())
}

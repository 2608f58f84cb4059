//! Whose kernels run: those that this crate was built with, or those of another library. So mistakes can
//! be planted in kernels without building the tests anew (`tests/cuda/mutants.py`).

use std::env;
use std::ffi::{CString, c_char, c_void};
use std::os::unix::ffi::OsStringExt as _;
use std::sync::OnceLock;

/// Names a library whose kernels run in the place of this crate's.
const VARIABLE: &str = "PROMOT_EMULATED_KERNELS";

/// `promot_emulator_launch` of `launch.cpp`.
pub(crate) type Entry = unsafe extern "C" fn(
    name: *const c_char,
    name_len: usize,
    grid: *const u32,
    threads: u32,
    shared_bytes: u32,
    arguments: *const *const c_void,
    argument_count: u32,
    schedule: u32,
    message: *mut c_char,
    message_len: usize,
) -> bool;

unsafe extern "C" {
    fn promot_emulator_launch(
        name: *const c_char,
        name_len: usize,
        grid: *const u32,
        threads: u32,
        shared_bytes: u32,
        arguments: *const *const c_void,
        argument_count: u32,
        schedule: u32,
        message: *mut c_char,
        message_len: usize,
    ) -> bool;
}

/// What launches kernels.
///
/// # Panics
/// If the variable names something else than such a library: other kernels than those asked for must
/// not run.
pub(crate) fn entry() -> Entry {
    static ENTRY: OnceLock<Entry> = OnceLock::new();
    *ENTRY.get_or_init(|| match env::var_os(VARIABLE) {
        None => promot_emulator_launch,
        Some(path) => {
            let path = CString::new(path.into_vec()).expect("a path without zero bytes");
            // SAFETY: both strings end with zeros; the library stays loaded.
            let symbol = unsafe {
                let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
                assert!(!library.is_null(), "{VARIABLE}: {path:?} cannot be loaded");
                libc::dlsym(library, c"promot_emulator_launch".as_ptr())
            };
            assert!(!symbol.is_null(), "{VARIABLE}: {path:?} holds no emulator");
            // SAFETY: the library was built of the same sources, where this is the symbol's type.
            unsafe { std::mem::transmute::<*mut c_void, Entry>(symbol) }
        }
    })
}

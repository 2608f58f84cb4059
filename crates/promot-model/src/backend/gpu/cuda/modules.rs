//! Kernels as the driver has them: compiled for the GPU when they are first used, and kept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{CString, c_void};

use cudarc::driver::result;
use cudarc::driver::sys::{self, CUfunction, CUjit_option, CUmodule, CUstream};

use super::super::ptx::{check_arguments, parameters};
use super::super::{Argument, GpuError, Kernel, Launch, Module};
use super::context::{describe, failed};

/// Dynamic shared memory that every kernel may have; more has to be asked for.
const PLAIN_SHARED_BYTES: u32 = 48 * 1024;

/// Modules by name, and kernels by theirs, which no two modules share.
#[derive(Default)]
pub(super) struct Modules {
    modules: RefCell<HashMap<&'static str, CUmodule>>,
    functions: RefCell<HashMap<&'static str, Function>>,
}

struct Function {
    handle: CUfunction,
    /// Sizes of its parameters.
    parameters: Vec<usize>,
    /// Dynamic shared memory that it may have.
    shared_bytes: u32,
}

impl Modules {
    /// Runs a kernel in the current context.
    pub(super) fn launch(&self, launch: &Launch<'_>, stream: CUstream) -> Result<(), GpuError> {
        let mut functions = self.functions.borrow_mut();
        let function = match functions.entry(launch.kernel.name) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => place.insert(self.find(launch.kernel)?),
        };
        check_arguments(launch, &function.parameters)?;
        function.allow_shared(launch)?;
        let mut arguments: Vec<*mut c_void> = launch
            .arguments
            .iter()
            .map(|argument| Argument::as_ptr(argument).cast_mut())
            .collect();
        let [x, y, z] = launch.grid;
        // SAFETY: the function is of a module that is loaded in this context, and the stream is this
        // context's. There is an argument of the right size for each parameter; the driver copies them
        // before it returns and writes to none. That kernels stay within the memory that they are given
        // is their own duty and that of who launches them; tests execute them with guarded memory.
        let launched = unsafe {
            result::launch_kernel(
                function.handle,
                (x, y, z),
                (launch.threads, 1, 1),
                launch.shared_bytes,
                stream,
                &mut arguments,
            )
        };
        launched.map_err(failed(&format!("kernel {}", launch.kernel.name)))
    }

    /// A kernel of a module, which is loaded first.
    fn find(&self, kernel: Kernel) -> Result<Function, GpuError> {
        let mut modules = self.modules.borrow_mut();
        let name = kernel.module.name;
        let module = match modules.get(name) {
            Some(&module) => module,
            None => {
                let module = load(kernel.module)?;
                modules.insert(name, module);
                module
            }
        };
        let kernel_name = c_string(kernel.name);
        // SAFETY: the module is loaded as long as this is there.
        let handle = unsafe { result::module::get_function(module, kernel_name) }
            .map_err(failed(&format!("looking for kernel {}", kernel.name)))?;
        Ok(Function {
            handle,
            parameters: parameters(kernel)?,
            shared_bytes: PLAIN_SHARED_BYTES,
        })
    }
}

impl Function {
    /// Lets the kernel have as much dynamic shared memory as a launch wants.
    fn allow_shared(&mut self, launch: &Launch<'_>) -> Result<(), GpuError> {
        if launch.shared_bytes <= self.shared_bytes {
            return Ok(());
        }
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let bytes = i32::try_from(launch.shared_bytes).unwrap_or(i32::MAX);
        // SAFETY: the function is of a module that is loaded.
        unsafe { result::function::set_function_attribute(self.handle, attribute, bytes) }
            .map_err(failed(&format!(
                "shared memory of kernel {}",
                launch.kernel.name
            )))?;
        self.shared_bytes = launch.shared_bytes;
        Ok(())
    }
}

/// Has the driver compile a module's PTX for the GPU of the current context.
fn load(module: &Module) -> Result<CUmodule, GpuError> {
    const LOG_BYTES: usize = 4096;
    let ptx = c_string(module.ptx);
    let mut log = vec![0u8; LOG_BYTES];
    let mut options = [
        CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
        CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
    ];
    // A number goes in the place of the pointer.
    let mut values = [
        log.as_mut_ptr().cast::<c_void>(),
        std::ptr::without_provenance_mut(LOG_BYTES),
    ];
    let mut handle = std::ptr::null_mut();
    // SAFETY: the PTX ends with a zero byte, there are two options and two values, and the log's memory
    // is as large as the second value says.
    let loaded = unsafe {
        sys::cuModuleLoadDataEx(
            &raw mut handle,
            ptx.as_ptr().cast(),
            options.len() as u32,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    loaded.result().map_err(|error| {
        let end = log.iter().position(|&byte| byte == 0).unwrap_or(LOG_BYTES);
        let log = String::from_utf8_lossy(&log[..end]);
        GpuError::Failed {
            doing: format!("compiling {}.ptx for the device", module.name),
            reason: format!("{} {}", describe(error), log.trim())
                .trim_end()
                .to_owned(),
        }
    })?;
    Ok(handle)
}

/// Names of kernels and PTX are texts of this program, without zero bytes.
fn c_string(text: &str) -> CString {
    CString::new(text).expect("no zero byte in a text of this program")
}

impl Drop for Modules {
    fn drop(&mut self) {
        for (_, module) in self.modules.get_mut().drain() {
            // SAFETY: `load` loaded it, and no kernel of it runs any more: the driver waits before.
            let _ = unsafe { result::module::unload(module) };
        }
    }
}

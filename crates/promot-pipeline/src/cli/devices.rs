//! `devices`: what models can compute on here.

use std::fmt::Write as _;

use promot_model::backend::gpu::{DeviceInfo, devices as gpus, first_usable};
use promot_model::backend::{DeviceError, Gpu};
use promot_model::gemm::{Precision, kernel_name};
use promot_pipeline::run::RunError;

use super::failure::Failure;
use super::output::print;

/// Lists the CPU and the GPUs. That there is none is no error.
pub(crate) fn devices() -> Result<(), Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut text = format!(
        "cpu      {threads} thread{}, kernels {} (f32) and {} (bf16)\n",
        if threads == 1 { "" } else { "s" },
        kernel_name(Precision::F32),
        kernel_name(Precision::Bf16)
    );
    match gpus() {
        Ok(gpus) => {
            for gpu in &gpus {
                let _ = writeln!(text, "cuda:{:<3} {}", gpu.index, describe(gpu));
            }
            if gpus.is_empty() {
                text.push_str("no GPU: the NVIDIA driver is here and finds none\n");
            } else if let Err(reason) = first_usable() {
                let _ = writeln!(text, "no GPU can be used: {reason}");
            }
        }
        Err(reason) => {
            let _ = writeln!(text, "no GPU: {reason}");
        }
    }
    print(&text)
}

fn describe(gpu: &DeviceInfo) -> String {
    let gib = |bytes: usize| bytes as f64 / f64::from(1 << 30);
    let (major, minor) = gpu.compute_capability;
    let free = match gpu.free_memory() {
        Ok(free) => format!("{:.1} of {:.1} GiB free", gib(free), gib(gpu.memory)),
        Err(error) => format!("{:.1} GiB ({error})", gib(gpu.memory)),
    };
    let mut text = format!("{}, compute capability {major}.{minor}, {free}", gpu.name);
    let (major, minor) = gpu.driver;
    let _ = write!(text, ", driver for CUDA {major}.{minor}");
    if let Err(reason) = gpu.check() {
        let _ = write!(text, "\n         {reason}");
    }
    text
}

/// The GPU of an index, to compute in `precision`.
pub(crate) fn open_gpu(index: usize, precision: Precision) -> Result<Gpu, Failure> {
    let opened = Gpu::open(index, precision).map_err(DeviceError::from);
    Ok(opened.map_err(RunError::from)?)
}

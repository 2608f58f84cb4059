//! `selftest`: whether a device computes what the CPU computes, and how fast.

use std::fmt::Write as _;

use promot_model::backend::{Backend, DeviceError, Host};
use promot_model::gemm::Precision;
use promot_model::selftest::{Check, Speed, intrinsics, ops, speeds, steps};
use promot_pipeline::plan::ComputeDevice;

use super::args::SelftestArgs;
use super::devices::open_gpu;
use super::failure::Failure;
use super::output::{print, tell};

/// Checks a device and measures it. Each line is printed when it is known.
pub(crate) fn selftest(args: &SelftestArgs) -> Result<(), Failure> {
    let found = args.device.find();
    if let Some(note) = &found.note {
        tell(note);
    }
    let mut failures = 0;
    for precision in [Precision::F32, Precision::Bf16] {
        failures += match found.device {
            ComputeDevice::Cpu => {
                let host = Host::with_precision(precision);
                title(&found.device.to_string(), precision)?;
                check(&host, precision)? + measure(&host, None, false)?
            }
            ComputeDevice::Cuda(index) => {
                let gpu = open_gpu(index, precision)?;
                title(&format!("{}, {}", found.device, gpu.name()), precision)?;
                let wrong = print_checks("instructions", &intrinsics(&gpu)?)?;
                wrong + check(&gpu, precision)? + measure(&gpu, gpu.peak(), true)?
            }
        };
    }
    if failures > 0 {
        return Err(Failure::Failed(anyhow::anyhow!(
            "{failures} checks of {} failed; the first one says most",
            found.device
        )));
    }
    print("all checks passed\n")
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        Self::Failed(anyhow::Error::new(error))
    }
}

fn title(device: &str, precision: Precision) -> Result<(), Failure> {
    print(&format!("{device}, precision {}\n", precision.name()))
}

fn check<B: Backend>(device: &B, precision: Precision) -> Result<usize, Failure> {
    let of_ops = print_checks("ops, forward and backward", &ops(device, precision)?)?;
    Ok(of_ops + print_checks("whole models", &steps(device, precision)?)?)
}

/// Prints checks and returns how many failed.
fn print_checks(kind: &str, checks: &[Check]) -> Result<usize, Failure> {
    let mut text = format!("  {kind}\n");
    for check in checks {
        let outcome = if check.passed() { "ok" } else { "WRONG" };
        let _ = writeln!(
            text,
            "    {outcome:5} {:52} {:8.1e}, at most {:.0e}",
            check.name, check.error, check.tolerance
        );
    }
    print(&text)?;
    Ok(checks.iter().filter(|check| !check.passed()).count())
}

/// Prints speeds, and which share of the peak they are where that is known; they cannot fail.
fn measure<B: Backend>(device: &B, peak: Option<f64>, large: bool) -> Result<usize, Failure> {
    let mut text = "  speed, forward and backward\n".to_owned();
    for speed in speeds(device, large)? {
        let Speed { name, seconds, .. } = &speed;
        let share = |peak| format!(", {:.0}% of the peak", 100.0 * speed.rate() / peak);
        let _ = writeln!(
            text,
            "    {name:58} {:9.3} ms, {:.3} TFLOP/s{}",
            1e3 * seconds,
            speed.rate() / 1e12,
            peak.map_or_else(String::new, share)
        );
    }
    print(&text)?;
    Ok(0)
}

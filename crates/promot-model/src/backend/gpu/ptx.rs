//! What the PTX of the kernels says of their parameters.

use super::{Argument, GpuError, Kernel, Launch};

/// The sizes of a kernel's parameters in bytes, in order.
///
/// # Errors
/// [`GpuError::Failed`] if the module has no such kernel, or one of another kind than plain numbers and
/// addresses.
pub(super) fn parameters(kernel: Kernel) -> Result<Vec<usize>, GpuError> {
    parameter_bytes(kernel.module.ptx, kernel.name).ok_or_else(|| {
        let module = kernel.module.name;
        failed(kernel, format!("there is no such kernel in {module}.ptx"))
    })
}

/// Whether a launch has the arguments that its kernel has parameters for: as many, and of the same sizes.
/// The driver does not ask, it reads what it finds.
///
/// # Errors
/// [`GpuError::Failed`] says what does not fit.
pub(super) fn check_arguments(launch: &Launch<'_>, parameters: &[usize]) -> Result<(), GpuError> {
    if launch
        .arguments
        .iter()
        .map(size)
        .eq(parameters.iter().copied())
    {
        return Ok(());
    }
    let arguments: Vec<usize> = launch.arguments.iter().map(size).collect();
    Err(failed(
        launch.kernel,
        format!("arguments of {arguments:?} bytes for parameters of {parameters:?} bytes"),
    ))
}

fn failed(kernel: Kernel, reason: String) -> GpuError {
    GpuError::Failed {
        doing: format!("kernel {}", kernel.name),
        reason,
    }
}

fn size(argument: &Argument) -> usize {
    match argument {
        Argument::Address(_) | Argument::U64(_) => 8,
        Argument::U32(_) | Argument::F32(_) => 4,
    }
}

/// The sizes of a kernel's parameters; `None` if there is no such kernel, or one of another kind than
/// plain numbers and addresses.
fn parameter_bytes(ptx: &str, kernel: &str) -> Option<Vec<usize>> {
    // `.entry name(` and then a line `.param .u64 name_param_0,` for each.
    let start = ptx.split(".entry ").skip(1).find_map(|entry| {
        let rest = entry.strip_prefix(kernel)?.trim_start();
        rest.strip_prefix('(')
    })?;
    let (list, _) = start.split_once(')')?;
    list.split(',')
        .map(str::trim)
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| {
            let kind = parameter
                .strip_prefix(".param")?
                .split_whitespace()
                .next()?;
            match kind {
                ".u64" | ".b64" | ".s64" => Some(8),
                ".u32" | ".b32" | ".s32" | ".f32" => Some(4),
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Module;
    use super::*;

    static MODULE: Module = Module {
        name: "some",
        ptx: "\
.version 8.0
.visible .entry scale_all(
\t.param .u64 scale_all_param_0
)
{ ret; }
.visible .entry scale(
\t.param .u64 scale_param_0,
\t.param .u32 scale_param_1,
\t.param .f32 scale_param_2
)
{ ret; }
.visible .entry nothing()
{ ret; }
",
    };

    fn launch(name: &'static str, arguments: &[Argument]) -> Result<(), String> {
        let launch = Launch {
            kernel: Kernel {
                module: &MODULE,
                name,
            },
            grid: [1, 1, 1],
            threads: 32,
            shared_bytes: 0,
            arguments,
        };
        parameters(launch.kernel)
            .and_then(|parameters| check_arguments(&launch, &parameters))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_fit_parameters_by_number_and_size() {
        let (address, count, factor) = (Argument::Address(0), Argument::U32(1), Argument::F32(1.0));
        assert_eq!(launch("scale", &[address, count, factor]), Ok(()));
        assert_eq!(launch("scale_all", &[Argument::U64(1)]), Ok(()));
        assert_eq!(launch("nothing", &[]), Ok(()));
        let message =
            "GPU: kernel scale: arguments of [8, 4] bytes for parameters of [8, 4, 4] bytes";
        assert_eq!(launch("scale", &[address, count]), Err(message.to_owned()));
        assert!(launch("scale", &[address, address, factor]).is_err());
        assert!(launch("scale", &[]).is_err());
        let message = "GPU: kernel scal: there is no such kernel in some.ptx";
        assert_eq!(launch("scal", &[]), Err(message.to_owned()));
    }
}

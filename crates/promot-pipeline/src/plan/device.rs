//! Where a pipeline's models compute.

use std::fmt;
use std::str::FromStr;

use promot_model::backend::gpu::first_usable;

use crate::diagnostic::{Diagnostics, nearest};
use crate::spec::Fields;

/// What a file or the command line asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceRequest {
    /// The CPU.
    #[default]
    Cpu,
    /// The GPU of an index.
    Cuda(usize),
    /// The first GPU that can be used, or else the CPU.
    Auto,
}

/// A device that a plan is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ComputeDevice {
    /// The CPU.
    #[default]
    Cpu,
    /// The GPU of an index, as `promot-pipeline devices` lists them.
    Cuda(usize),
}

impl ComputeDevice {
    /// What results depend on: devices of a kind count as the same.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda(_) => "cuda",
        }
    }
}

impl fmt::Display for ComputeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// A device that was asked for as `auto`, or by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundDevice {
    /// The device.
    pub device: ComputeDevice,
    /// What `auto` came to, and why; none if the device was named.
    pub note: Option<String>,
}

impl DeviceRequest {
    /// The device to use here. Only `auto` looks at the machine.
    pub fn find(self) -> FoundDevice {
        let device = match self {
            Self::Cpu => ComputeDevice::Cpu,
            Self::Cuda(index) => ComputeDevice::Cuda(index),
            Self::Auto => {
                let (device, why) = match first_usable() {
                    Ok(found) => (ComputeDevice::Cuda(found.index), found.name),
                    Err(reason) => (ComputeDevice::Cpu, reason.to_string()),
                };
                let note = Some(format!("device auto: {device} ({why})"));
                return FoundDevice { device, note };
            }
        };
        FoundDevice { device, note: None }
    }
}

/// A name that is no device's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDevice {
    /// The name that may have been meant, or those there are.
    pub hint: String,
}

impl fmt::Display for UnknownDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hint)
    }
}

impl std::error::Error for UnknownDevice {}

const NAMES: [&str; 3] = ["cpu", "cuda", "auto"];

impl FromStr for DeviceRequest {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        match text {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => return Ok(Self::Cuda(0)),
            "auto" => return Ok(Self::Auto),
            _ => {}
        }
        if let Some(index) = text.strip_prefix("cuda:") {
            return index.parse().map(Self::Cuda).map_err(|_| UnknownDevice {
                hint: "expected cuda:N with a number that `promot-pipeline devices` lists"
                    .to_owned(),
            });
        }
        // One letter away from `cpu`, and not what is meant.
        let near = if text.eq_ignore_ascii_case("gpu") {
            Some("cuda")
        } else {
            nearest(text, &NAMES)
        };
        Err(UnknownDevice {
            hint: near.map_or_else(
                || "expected one of cpu, cuda, cuda:N, auto".to_owned(),
                |near| format!("did you mean `{near}`?"),
            ),
        })
    }
}

/// The pipeline's `device`.
pub(super) fn device(fields: &mut Fields<'_>, diagnostics: &mut Diagnostics) -> FoundDevice {
    let request = match fields.text("device", diagnostics) {
        Some((text, place)) => text.parse().unwrap_or_else(|unknown: UnknownDevice| {
            diagnostics.push(
                place,
                format!("unknown device `{text}`"),
                Some(unknown.hint),
            );
            DeviceRequest::default()
        }),
        None => DeviceRequest::default(),
    };
    request.find()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices() {
        assert_eq!("cpu".parse(), Ok(DeviceRequest::Cpu));
        assert_eq!("cuda".parse(), Ok(DeviceRequest::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceRequest::Cuda(3)));
        assert_eq!("auto".parse(), Ok(DeviceRequest::Auto));
        let hint = |text: &str| text.parse::<DeviceRequest>().unwrap_err().hint;
        assert_eq!(hint("gpu"), "did you mean `cuda`?");
        assert_eq!(hint("cudda"), "did you mean `cuda`?");
        assert!(hint("cuda:").contains("cuda:N") && hint("cuda:-1").contains("cuda:N"));
        assert!(hint("tensor-processor").contains("expected one of cpu"));
    }

    #[test]
    fn a_device_that_is_named_is_taken_and_auto_says_what_it_took() {
        let found = DeviceRequest::Cuda(7).find();
        assert_eq!((found.device, found.note), (ComputeDevice::Cuda(7), None));
        let found = DeviceRequest::Auto.find();
        let note = found.note.unwrap();
        assert!(
            note.starts_with(&format!("device auto: {} (", found.device)),
            "{note}"
        );
    }
}

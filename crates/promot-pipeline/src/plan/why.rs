//! Whether a stage's artifact is there, and if not, which line made it so.

use std::collections::BTreeMap;

use super::Stage;
use super::device::ComputeDevice;
use super::key::DEVICE;

/// Whether a stage has to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Staleness {
    /// Its artifact is in the store.
    Cached,
    /// It has to run, for these reasons.
    Run(Vec<String>),
}

/// Compares a stage with the facts of its last run, if there was one.
pub fn staleness(
    stage: &Stage,
    is_stored: bool,
    last: Option<&BTreeMap<String, String>>,
) -> Staleness {
    if is_stored {
        return Staleness::Cached;
    }
    let Some(last) = last else {
        return Staleness::Run(vec!["never run".to_owned()]);
    };
    let mut reasons = Vec::new();
    for (path, now) in &stage.facts {
        match last.get(path) {
            Some(before) if before == now => {}
            _ if path.starts_with("input ") => {
                reasons.push(format!("`{}` changed", &path["input ".len()..]));
            }
            Some(before) => {
                reasons.push(format!("{path}: {} -> {}", shorten(before), shorten(now)))
            }
            None if path == DEVICE => {
                reasons.push(format!("{path}: {} -> {now}", ComputeDevice::Cpu))
            }
            None => reasons.push(format!("{path}: now {}", shorten(now))),
        }
    }
    for (path, before) in last {
        if stage.facts.contains_key(path) {
            continue;
        }
        reasons.push(match path.as_str() {
            DEVICE => format!("{path}: {before} -> {}", ComputeDevice::Cpu),
            _ => format!("{path}: no more"),
        });
    }
    if reasons.is_empty() {
        reasons.push("its artifact is not in the store".to_owned());
    }
    Staleness::Run(reasons)
}

/// Digests are too long to read.
fn shorten(value: &str) -> &str {
    if value.len() == 64 {
        &value[..12]
    } else {
        value
    }
}

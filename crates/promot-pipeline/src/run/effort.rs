//! How long a stage took on what machine: noted beside artifacts and never in them, since no result
//! depends on it.

use std::time::Instant;

use promot_model::backend::threads;
use serde::{Deserialize, Serialize};

/// What a stage took. Of a stage that was interrupted it is what its last run took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// Wall time in seconds.
    pub seconds: f64,
    /// CPU threads.
    pub threads: usize,
    /// The CPU's name, as the system tells it, or else its architecture.
    pub processor: String,
}

impl Effort {
    /// Of what began at `started` and is done now, on this machine.
    pub(super) fn since(started: Instant) -> Self {
        Self {
            seconds: started.elapsed().as_secs_f64(),
            threads: threads(),
            processor: processor(),
        }
    }
}

/// Linux names the processor in a file; elsewhere its architecture has to do.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = text.lines().find_map(model_name);
    named.unwrap_or(std::env::consts::ARCH).to_owned()
}

fn model_name(line: &str) -> Option<&str> {
    let (key, value) = line.split_once(':')?;
    (key.trim_end() == "model name" && !value.trim().is_empty()).then(|| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_processors_name() {
        let text = "processor\t: 0\nmodel\t\t: 143\nmodel name\t: Intel(R) Xeon(R): 8481C\n";
        assert_eq!(
            text.lines().find_map(model_name),
            Some("Intel(R) Xeon(R): 8481C")
        );
        assert_eq!("model name\t: ".lines().find_map(model_name), None);
        assert!(!processor().is_empty());
    }
}

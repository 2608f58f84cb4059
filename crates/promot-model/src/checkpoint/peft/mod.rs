//! Adapters in PEFT's layout.

mod files;
mod lora;
mod prompt;

use std::path::Path;

use serde::Deserialize;

pub use lora::{copy_lora, load_lora, save_lora};
pub use prompt::{copy_prompt, load_prompt, save_prompt};

use super::CheckpointError;
use crate::lora::Lora;
use crate::prompt::SoftPrompt;

/// What an adapter directory holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Adapter {
    /// Rows that stand before every input (`PROMPT_TUNING`).
    Prompt(SoftPrompt),
    /// Low-rank changes of weights (`LORA`).
    Lora(Lora),
}

#[derive(Clone, Copy)]
enum Kind {
    Prompt,
    Lora,
}

#[derive(Deserialize)]
struct KindOnly {
    peft_type: String,
}

/// Reads an adapter from a PEFT directory; `peft_type` says which kind it is.
///
/// # Errors
/// If a file is missing or damaged, or the adapter is of another kind.
pub fn load_adapter(directory: &Path) -> Result<Adapter, CheckpointError> {
    match kind(directory)? {
        Kind::Prompt => load_prompt(directory).map(Adapter::Prompt),
        Kind::Lora => load_lora(directory).map(Adapter::Lora),
    }
}

/// Writes the adapter of one PEFT directory to another, with every key of PEFT's; `base_name` is what
/// the base model is called from now on.
///
/// # Errors
/// As [`load_adapter`], and if the file system refuses.
pub fn copy_adapter(
    from: &Path,
    base_name: Option<&str>,
    to: &Path,
) -> Result<(), CheckpointError> {
    match kind(from)? {
        Kind::Prompt => copy_prompt(from, base_name, to),
        Kind::Lora => copy_lora(from, base_name, to),
    }
}

fn kind(directory: &Path) -> Result<Kind, CheckpointError> {
    let KindOnly { peft_type } = files::read_config(directory)?;
    match peft_type.as_str() {
        "PROMPT_TUNING" => Ok(Kind::Prompt),
        "LORA" => Ok(Kind::Lora),
        other => {
            let message = format!("peft_type is {other}, expected PROMPT_TUNING or LORA");
            Err(files::config_error(directory, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn another_kind_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("adapter_config.json");
        fs::write(&path, r#"{"peft_type": "IA3"}"#).unwrap();
        let error = load_adapter(directory.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("peft_type is IA3, expected PROMPT_TUNING or LORA"),
            "{error}"
        );
    }
}

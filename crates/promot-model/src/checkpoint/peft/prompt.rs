//! Soft prompts in PEFT's prompt-tuning layout.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::{CheckpointError, NamedTensors};
use super::files::{self, Base, PEFT_VERSION, config_error, read_config, read_tensors};
use crate::arch::ModelConfig;
use crate::prompt::SoftPrompt;

const TENSOR: &str = "prompt_embeddings";

/// The keys that PEFT's `PromptTuningConfig` writes.
#[derive(Serialize)]
struct AdapterConfigOut<'a> {
    auto_mapping: Option<()>,
    base_model_name_or_path: Option<&'a str>,
    inference_mode: bool,
    modules_to_save: Option<()>,
    num_attention_heads: Option<usize>,
    num_layers: Option<usize>,
    num_transformer_submodules: usize,
    num_virtual_tokens: usize,
    peft_type: &'static str,
    peft_version: &'static str,
    prompt_tuning_init: &'static str,
    prompt_tuning_init_text: Option<()>,
    revision: Option<()>,
    task_type: Option<&'a str>,
    token_dim: usize,
    tokenizer_kwargs: Option<()>,
    tokenizer_name_or_path: Option<()>,
}

#[derive(Deserialize)]
struct AdapterConfigIn {
    peft_type: String,
    num_virtual_tokens: usize,
    #[serde(default)]
    token_dim: Option<usize>,
}

/// Writes a soft prompt as `adapter_config.json` and `adapter_model.safetensors`.
///
/// # Errors
/// If the file system refuses; files that were there stay whole.
pub fn save_prompt(
    prompt: &SoftPrompt,
    base: &ModelConfig,
    base_name: &str,
    directory: &Path,
) -> Result<(), CheckpointError> {
    write(prompt, &Base::new(base, base_name), directory)
}

/// Writes the soft prompt of one PEFT adapter directory to another, with every key of PEFT's and
/// only the rows that are used; `base_name` is what the base model is called from now on.
///
/// # Errors
/// As [`load_prompt`] and [`save_prompt`].
pub fn copy_prompt(from: &Path, base_name: Option<&str>, to: &Path) -> Result<(), CheckpointError> {
    let prompt = load_prompt(from)?;
    write(&prompt, &Base::of_adapter(from, base_name)?, to)
}

fn write(prompt: &SoftPrompt, base: &Base, directory: &Path) -> Result<(), CheckpointError> {
    let config = AdapterConfigOut {
        auto_mapping: None,
        base_model_name_or_path: base.base_model_name_or_path.as_deref(),
        inference_mode: true,
        modules_to_save: None,
        num_attention_heads: base.num_attention_heads,
        num_layers: base.num_layers,
        // Of an encoder-decoder the encoder's input only: the decoder has no prompt of its own.
        num_transformer_submodules: 1,
        num_virtual_tokens: prompt.length(),
        peft_type: "PROMPT_TUNING",
        peft_version: PEFT_VERSION,
        prompt_tuning_init: "RANDOM",
        prompt_tuning_init_text: None,
        revision: None,
        task_type: base.task_type.as_deref(),
        token_dim: prompt.d_model(),
        tokenizer_kwargs: None,
        tokenizer_name_or_path: None,
    };
    let dims = vec![prompt.length(), prompt.d_model()];
    let tensors = NamedTensors::from([(TENSOR.to_owned(), (prompt.values().to_vec(), dims))]);
    files::write(directory, &config, &tensors)
}

/// Reads a soft prompt from a PEFT adapter directory.
///
/// PEFT writes `[2n, d]` where encoder and decoder have a prompt each; the encoder's `n` rows come
/// first and are the ones used.
///
/// # Errors
/// If a file is missing, damaged or has a value that is not finite, or the adapter is not a soft prompt.
pub fn load_prompt(directory: &Path) -> Result<SoftPrompt, CheckpointError> {
    let config: AdapterConfigIn = read_config(directory)?;
    if config.peft_type != "PROMPT_TUNING" {
        let message = format!("peft_type is {}, expected PROMPT_TUNING", config.peft_type);
        return Err(config_error(directory, message));
    }
    read_tensors(directory, |tensors| prompt_in(&tensors, &config))
}

fn prompt_in(
    tensors: &NamedTensors,
    config: &AdapterConfigIn,
) -> Result<SoftPrompt, CheckpointError> {
    let missing = || CheckpointError::MissingTensor {
        name: TENSOR.to_owned(),
    };
    let (values, dims) = tensors.get(TENSOR).ok_or_else(missing)?;
    let length = config.num_virtual_tokens;
    match *dims.as_slice() {
        [rows, width]
            if (rows == length || Some(rows) == length.checked_mul(2))
                && config.token_dim.is_none_or(|token_dim| token_dim == width) =>
        {
            Ok(SoftPrompt::new(values[..length * width].to_vec(), width))
        }
        _ => Err(CheckpointError::Shape {
            name: TENSOR.to_owned(),
            found: dims.clone(),
            expected: vec![length, config.token_dim.unwrap_or(0)],
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn config() -> ModelConfig {
        let json = br#"{"vocab_size": 12, "d_model": 4, "d_kv": 2, "d_ff": 8, "num_layers": 1,
            "num_heads": 2}"#;
        ModelConfig::from_json(json).unwrap()
    }

    fn prompt(rows: usize) -> SoftPrompt {
        SoftPrompt::new((0..rows * 4).map(|i| i as f32 * 0.5).collect(), 4)
    }

    #[test]
    fn a_prompt_comes_back_with_the_same_bits() {
        let directory = tempfile::tempdir().unwrap();
        save_prompt(&prompt(3), &config(), "base", directory.path()).unwrap();
        assert_eq!(load_prompt(directory.path()).unwrap(), prompt(3));
    }

    #[test]
    fn of_two_prompts_the_encoders_is_read() {
        let directory = tempfile::tempdir().unwrap();
        save_prompt(&prompt(6), &config(), "base", directory.path()).unwrap();
        let path = directory.path().join("adapter_config.json");
        let text = fs::read_to_string(&path).unwrap();
        let halved = text.replace("\"num_virtual_tokens\": 6", "\"num_virtual_tokens\": 3");
        fs::write(&path, halved).unwrap();
        assert_eq!(load_prompt(directory.path()).unwrap(), prompt(3));
    }

    #[test]
    fn a_copy_has_another_base_all_of_pefts_keys_and_the_encoders_rows_only() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        save_prompt(&prompt(6), &config(), "base", from.path()).unwrap();
        // As PEFT writes it for an encoder and a decoder, without what it left to be inferred.
        let old = r#"{"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3, "num_layers": null,
            "base_model_name_or_path": "base", "task_type": "SEQ_2_SEQ_LM"}"#;
        fs::write(from.path().join("adapter_config.json"), old).unwrap();
        for (name, expected) in [(None, "base"), (Some("other/model"), "other/model")] {
            copy_prompt(from.path(), name, to.path()).unwrap();
            assert_eq!(load_prompt(to.path()).unwrap(), prompt(3));
            let written: serde_json::Value = read_config(to.path()).unwrap();
            assert_eq!(written["base_model_name_or_path"], expected);
            assert_eq!(written["task_type"], "SEQ_2_SEQ_LM");
            assert_eq!(written["num_transformer_submodules"], 1);
            assert_eq!(written.as_object().unwrap().len(), 17);
        }
    }

    #[test]
    fn a_prompt_that_is_not_finite_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let prompt = SoftPrompt::new(vec![1.0, f32::INFINITY, 0.0, f32::NAN], 4);
        save_prompt(&prompt, &config(), "base", directory.path()).unwrap();
        let error = load_prompt(directory.path()).unwrap_err();
        let path = directory.path().join("adapter_model.safetensors");
        assert_eq!(
            error.to_string(),
            format!(
                "{}: tensor prompt_embeddings has values that are NaN or infinite, 2 of 4",
                path.display()
            )
        );
        assert!(error.hint().is_some());
    }

    #[test]
    fn another_adapter_and_another_length_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        save_prompt(&prompt(3), &config(), "base", directory.path()).unwrap();
        let path = directory.path().join("adapter_config.json");
        let text = fs::read_to_string(&path).unwrap();
        for (from, to, expected) in [
            ("PROMPT_TUNING", "LORA", "peft_type is LORA"),
            (
                "\"num_virtual_tokens\": 3",
                "\"num_virtual_tokens\": 5",
                "[3, 4], expected [5, 4]",
            ),
            (
                "\"token_dim\": 4",
                "\"token_dim\": 8",
                "[3, 4], expected [3, 8]",
            ),
        ] {
            fs::write(&path, text.replace(from, to)).unwrap();
            let error = load_prompt(directory.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

//! `config.json` of any architecture: which one it is, and what can be wrong with it.

use promot_core::without_bom;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{LlamaConfig, T5Config};

/// Why a configuration cannot be used.
#[derive(Debug, Error, PartialEq)]
pub enum ConfigError {
    /// Not JSON, a missing key, or a value of the wrong type.
    #[error("config.json: {0}")]
    Json(String),
    /// A value that no model can have, or none that is supported.
    #[error("config.json: {key} is {value}, {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it is set to.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
}

/// What a `config.json` says.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, ConfigError> {
    serde_json::from_slice(without_bom(json)).map_err(|error| ConfigError::Json(error.to_string()))
}

/// No model has a dimension near this; it keeps products of sizes from a file within `usize`.
const MAX_SIZE: usize = 1 << 24;

/// Checks sizes that must be at least 1.
pub(super) fn check_sizes(sizes: &[(&'static str, usize)]) -> Result<(), ConfigError> {
    match sizes
        .iter()
        .find(|&&(_, size)| size == 0 || size > MAX_SIZE)
    {
        Some(&(key, size)) => Err(ConfigError::Value {
            key,
            value: size.to_string(),
            expected: "expected a number from 1 to 16777216",
        }),
        None => Ok(()),
    }
}

/// Checks what is added to the mean square in RMS normalisation.
pub(super) fn check_epsilon(key: &'static str, epsilon: f32) -> Result<(), ConfigError> {
    if epsilon > 0.0 && epsilon < 1.0 {
        return Ok(());
    }
    Err(ConfigError::Value {
        key,
        value: epsilon.to_string(),
        expected: "expected a number between 0 and 1",
    })
}

/// Checks the id of a token.
pub(super) fn check_id(key: &'static str, id: u32, vocab_size: usize) -> Result<(), ConfigError> {
    if (id as usize) < vocab_size {
        return Ok(());
    }
    Err(ConfigError::Value {
        key,
        value: id.to_string(),
        expected: "expected an id below vocab_size",
    })
}

/// The configuration of a model of one of the architectures.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelConfig {
    /// T5, T5 v1.1 and mT5.
    T5(T5Config),
    /// Llama and models of its shape.
    Llama(LlamaConfig),
}

#[derive(Deserialize)]
struct TypeOnly {
    /// Absent in some old T5 configurations.
    #[serde(default)]
    model_type: Option<String>,
}

impl ModelConfig {
    /// Reads and checks a `config.json`; `model_type` says which architecture it is of.
    ///
    /// # Errors
    /// If it is not one, of another architecture, or describes a model that cannot be.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        let TypeOnly { model_type } = parse(json)?;
        match model_type.as_deref() {
            None | Some("t5" | "mt5") => T5Config::from_json(json).map(Self::T5),
            Some("llama") => LlamaConfig::from_json(json).map(Self::Llama),
            Some(other) => Err(ConfigError::Value {
                key: "model_type",
                value: other.to_owned(),
                expected: "expected t5, mt5 or llama",
            }),
        }
    }

    /// As `config.json`, with a final newline.
    pub fn to_json(&self) -> String {
        match self {
            Self::T5(config) => config.to_json(),
            Self::Llama(config) => config.to_json(),
        }
    }

    /// Width of the residual stream (D).
    pub fn d_model(&self) -> usize {
        match self {
            Self::T5(config) => config.d_model,
            Self::Llama(config) => config.hidden_size,
        }
    }

    /// Rows of the embedding table and of the head (V).
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::T5(config) => config.vocab_size,
            Self::Llama(config) => config.vocab_size,
        }
    }

    /// Attention heads (H).
    pub fn num_heads(&self) -> usize {
        match self {
            Self::T5(config) => config.num_heads,
            Self::Llama(config) => config.num_attention_heads,
        }
    }

    /// Layers; of an encoder-decoder the encoder's.
    pub fn num_layers(&self) -> usize {
        match self {
            Self::T5(config) => config.num_layers,
            Self::Llama(config) => config.num_hidden_layers,
        }
    }

    /// Whether inputs are encoded apart from what is generated.
    pub fn is_encoder_decoder(&self) -> bool {
        matches!(self, Self::T5(_))
    }

    /// The token that ends a sequence.
    pub fn eos_token_id(&self) -> u32 {
        match self {
            Self::T5(config) => config.eos_token_id,
            Self::Llama(config) => config.eos_token_id.first(),
        }
    }
}

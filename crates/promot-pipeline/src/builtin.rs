//! Models that are part of the program.

use promot_core::{Digest, Digester};

/// A model's files.
pub struct BuiltinModel {
    name: &'static str,
    /// The content of `config.json`.
    pub config: &'static [u8],
    /// The content of `model.safetensors`.
    pub weights: &'static [u8],
    /// The content of `tokenizer.json`.
    pub tokenizer: &'static [u8],
}

/// Made by `pipelines/pretrain-mini-t5.yaml`.
static MODELS: [BuiltinModel; 1] = [BuiltinModel {
    name: "mini-t5",
    config: include_bytes!("../assets/mini-t5/config.json"),
    weights: include_bytes!("../assets/mini-t5/model.safetensors"),
    tokenizer: include_bytes!("../assets/mini-t5/tokenizer.json"),
}];

/// The model called `name`.
pub fn find(name: &str) -> Option<&'static BuiltinModel> {
    MODELS.iter().find(|model| model.name == name)
}

/// Names of all built-in models.
pub fn names() -> Vec<&'static str> {
    MODELS.iter().map(|model| model.name).collect()
}

impl BuiltinModel {
    /// Digest of all files.
    pub fn digest(&self) -> Digest {
        Digester::new()
            .field("config.json", self.config)
            .field("tokenizer.json", self.tokenizer)
            .field("weights", self.weights)
            .finish()
    }
}

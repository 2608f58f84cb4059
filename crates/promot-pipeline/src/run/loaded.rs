//! Models with their tokenizers, from wherever they are.

use std::path::Path;
use std::sync::Arc;

use promot_data::tokenizer::{TextLayout, Tokenizer};
use promot_model::arch::{Model, ModelConfig};
use promot_model::backend::{Backend, Device};
use promot_model::checkpoint::{load_model, load_model_from_bytes};

use super::error::RunError;
use crate::builtin;
use crate::plan::BaseModel;

/// A model and the tokenizer it was trained with.
pub struct LoadedModel<D: Device> {
    /// The model.
    pub model: Model<D>,
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
}

impl<D: Device> Clone for LoadedModel<D> {
    /// Shares the memory of all tensors.
    fn clone(&self) -> Self {
        Self {
            model: self.model.clone(),
            tokenizer: self.tokenizer.clone(),
        }
    }
}

impl<B: Backend> LoadedModel<B> {
    /// The model in a directory with `config.json`, weights and `tokenizer.json`, on
    /// `device`.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the tokenizer has ids that the model has no embeddings for.
    pub fn from_directory(directory: &Path, device: &B) -> Result<Self, RunError> {
        let model = load_model(device, directory)?;
        let path = directory.join("tokenizer.json");
        match Tokenizer::from_file(&path, text_layout(&model.config())) {
            Ok(tokenizer) => Self::new(model, tokenizer),
            Err(source) => Err(RunError::Tokenizer { path, source }),
        }
    }

    /// `builtin:NAME`, or a directory as [`LoadedModel::from_directory`] reads it.
    ///
    /// # Errors
    /// If there is no such model, or it cannot be read.
    pub fn named(name: &str, device: &B) -> Result<Self, RunError> {
        match name.strip_prefix("builtin:") {
            Some(builtin) if builtin::find(builtin).is_none() => Err(RunError::mismatch(
                format!("unknown built-in model `{builtin}`"),
                format!("there is builtin:{}", builtin::names().join(", builtin:")),
            )),
            Some(builtin) => Self::builtin(builtin, device),
            None => Self::from_directory(Path::new(name), device),
        }
    }

    fn builtin(name: &str, device: &B) -> Result<Self, RunError> {
        let files = builtin::find(name).expect("the caller has checked the name");
        let model = load_model_from_bytes(device, files.config, files.weights)?;
        let tokenizer = Tokenizer::from_bytes(files.tokenizer, text_layout(&model.config()));
        Self::new(model, tokenizer.expect("a tokenizer of our own"))
    }

    fn new(model: Model<B>, tokenizer: Tokenizer) -> Result<Self, RunError> {
        let (ids, rows) = (tokenizer.vocab_size(), model.config().vocab_size());
        if ids > rows {
            let last = ids - 1;
            return Err(RunError::mismatch(
                format!("the tokenizer has ids up to {last}, the model only {rows} embeddings"),
                "tokenizer.json must be the one that the model was trained with",
            ));
        }
        Ok(Self {
            model,
            tokenizer: Arc::new(tokenizer),
        })
    }
}

/// How a model wants its text.
fn text_layout(config: &ModelConfig) -> TextLayout {
    if config.is_encoder_decoder() {
        TextLayout::EncoderDecoder
    } else {
        TextLayout::DecoderOnly {
            eos: config.eos_token_id(),
        }
    }
}

/// The pretrained model of a plan, on `device`. One of the hub has to be there
/// already ([`super::fetch_inputs`]).
///
/// # Errors
/// As [`LoadedModel::from_directory`].
pub fn load_base<B: Backend>(base: &BaseModel, device: &B) -> Result<LoadedModel<B>, RunError> {
    match base {
        BaseModel::Builtin { name, .. } => LoadedModel::builtin(name, device),
        BaseModel::Directory { path, .. } => LoadedModel::from_directory(path, device),
        BaseModel::Hub { snapshot, .. } => {
            LoadedModel::from_directory(snapshot.directory(), device)
        }
    }
}

#[cfg(test)]
mod tests {
    use promot_model::backend::Host;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_tokenizer_with_an_id_beyond_the_embeddings_is_refused() {
        let files = builtin::find("mini-t5").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        };
        write("config.json", files.config);
        write("model.safetensors", files.weights);
        let mut tokenizer: Value = serde_json::from_slice(files.tokenizer).unwrap();
        let vocab = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        let rows = vocab.len();
        let last = vocab.values_mut().find(|id| **id == rows - 1).unwrap();
        // As many tokens as before.
        *last = (rows + 7).into();
        let load = || LoadedModel::from_directory(directory.path(), &Host::new());
        write("tokenizer.json", files.tokenizer);
        assert!(load().is_ok());
        write("tokenizer.json", tokenizer.to_string().as_bytes());
        assert_eq!(
            load().err().unwrap().to_string(),
            format!(
                "the tokenizer has ids up to {}, the model only {rows} embeddings",
                rows + 7
            )
        );
    }
}

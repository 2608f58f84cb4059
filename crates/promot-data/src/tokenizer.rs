//! Text to token ids and back, by the `tokenizers` crate, with T5's special tokens.

use std::path::{Path, PathBuf};

use thiserror::Error;
use tokenizers::Tokenizer as Inner;

mod train;

pub use train::{TrainTokenizerError, train_mini};

/// Why a tokenizer cannot be used.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The bytes are no `tokenizer.json`.
    #[error("not a tokenizer.json: {0}")]
    Format(String),
    /// A token that training and evaluation need is missing.
    #[error("the vocabulary has no token {token}")]
    MissingToken {
        /// The token.
        token: &'static str,
    },
}

impl TokenizerError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => {
                "a model directory needs the tokenizer.json that its model was trained with"
            }
            Self::Format(_) => {
                "save it with transformers' save_pretrained or the tokenizers library"
            }
            Self::MissingToken { .. } => {
                "use a T5 or mT5 tokenizer: it needs <pad>, </s> and the sentinels <extra_id_0> and <extra_id_1>"
            }
        }
    }
}

/// A tokenizer with T5's special tokens.
pub struct Tokenizer {
    inner: Inner,
    pad: u32,
    eos: u32,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// If it cannot be read, is none, or lacks a special token.
    pub fn from_file(path: &Path) -> Result<Self, TokenizerError> {
        let bytes = std::fs::read(path).map_err(|source| TokenizerError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(&bytes)
    }

    /// Reads the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// If it is none, or lacks a special token.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let inner =
            Inner::from_bytes(bytes).map_err(|error| TokenizerError::Format(error.to_string()))?;
        Self::new(inner)
    }

    fn new(inner: Inner) -> Result<Self, TokenizerError> {
        let id = |token: &'static str| {
            inner
                .token_to_id(token)
                .ok_or(TokenizerError::MissingToken { token })
        };
        let (pad, eos) = (id("<pad>")?, id("</s>")?);
        id("<extra_id_0>")?;
        id("<extra_id_1>")?;
        Ok(Self { inner, pad, eos })
    }

    /// Token ids of `text`, the end-of-sequence token last.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let encoding = self.inner.encode_fast(text, false);
        // Encoding fails only for inputs other than text, such as pairs of the wrong kind.
        let mut ids = encoding.expect("text can be encoded").get_ids().to_vec();
        ids.push(self.eos);
        ids
    }

    /// The text of token ids; padding and end-of-sequence tokens are left out, sentinels stay.
    pub fn decode(&self, ids: &[u32]) -> String {
        let kept: Vec<u32> = ids
            .iter()
            .copied()
            .filter(|&id| id != self.pad && id != self.eos)
            .collect();
        self.inner
            .decode(&kept, false)
            .expect("ids can be decoded")
            .trim()
            .to_owned()
    }

    /// The end-of-sequence token.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// How many ids there are: a model needs at least so many embeddings.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// How many special tokens stand at the start of the vocabulary.
    pub fn num_leading_special(&self) -> usize {
        let special = |id: u32| {
            self.inner
                .id_to_token(id)
                .is_some_and(|token| token.starts_with('<') && token.ends_with('>'))
        };
        (0..self.vocab_size() as u32)
            .take_while(|&id| special(id))
            .count()
    }

    /// The content of a `tokenizer.json`.
    pub fn to_json(&self) -> String {
        self.inner.to_string(true).expect("a tokenizer serialises")
    }
}

//! Text to token ids and back, by the `tokenizers` crate, as the model at hand wants its text.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use promot_core::without_bom;
use serde_json::{Map, Value};
use thiserror::Error;
use tokenizers::Tokenizer as Inner;

use crate::contained::contained;

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
                "a T5 or mT5 model needs its own tokenizer, with <pad>, </s> and the sentinels <extra_id_0> and <extra_id_1>"
            }
        }
    }
}

/// How a model wants its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextLayout {
    /// Input and target are encoded apart, each ends with `</s>`: T5.
    EncoderDecoder,
    /// The target follows the input after a space, and ends with a token of the model's: Llama.
    DecoderOnly {
        /// The token.
        eos: u32,
    },
}

/// A tokenizer, and how its model wants text.
pub struct Tokenizer {
    inner: Inner,
    layout: TextLayout,
    eos: u32,
    /// Tokens that are no text: padding and the end of a sequence.
    silent: Vec<u32>,
    ends: Vec<u32>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// If it cannot be read, is none, or lacks a special token.
    pub fn from_file(path: &Path, layout: TextLayout) -> Result<Self, TokenizerError> {
        let bytes = std::fs::read(path).map_err(|source| TokenizerError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(&bytes, layout)
    }

    /// Reads the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// If it is none, or lacks a special token.
    pub fn from_bytes(bytes: &[u8], layout: TextLayout) -> Result<Self, TokenizerError> {
        let inner = parse(bytes).map_err(TokenizerError::Format)?;
        match layout {
            TextLayout::EncoderDecoder => {
                let id = |token: &'static str| {
                    let id = inner.token_to_id(token);
                    id.ok_or(TokenizerError::MissingToken { token })
                };
                let (pad, eos) = (id("<pad>")?, id("</s>")?);
                id("<extra_id_0>")?;
                id("<extra_id_1>")?;
                Ok(Self {
                    inner,
                    layout,
                    eos,
                    silent: vec![pad, eos],
                    ends: Vec::new(),
                })
            }
            TextLayout::DecoderOnly { eos } => {
                let ends = with_line_break(&inner);
                Ok(Self {
                    inner,
                    layout,
                    eos,
                    silent: vec![eos],
                    ends,
                })
            }
        }
    }

    /// Token ids of an input: with the end-of-sequence token for an encoder, otherwise with what the
    /// tokenizer itself puts before a text. Never empty.
    pub fn encode_input(&self, text: &str) -> Vec<u32> {
        match self.layout {
            TextLayout::EncoderDecoder => self.ended(self.ids(text, false)),
            TextLayout::DecoderOnly { .. } => {
                let ids = self.ids(text, true);
                if ids.is_empty() { vec![self.eos] } else { ids }
            }
        }
    }

    /// Token ids of what a model is to say after an input, the end-of-sequence token last.
    pub fn encode_target(&self, text: &str) -> Vec<u32> {
        self.ended(match self.layout {
            TextLayout::EncoderDecoder => self.ids(text, false),
            // As between the input and the answer of a worked example.
            TextLayout::DecoderOnly { .. } => self.ids(&format!(" {text}"), false),
        })
    }

    fn ids(&self, text: &str, special: bool) -> Vec<u32> {
        // Encoding fails only for inputs other than text, such as pairs of the wrong kind.
        let encoding = self.inner.encode_fast(text, special);
        encoding.expect("text can be encoded").get_ids().to_vec()
    }

    fn ended(&self, mut ids: Vec<u32>) -> Vec<u32> {
        ids.push(self.eos);
        ids
    }

    /// The text of token ids; padding and end-of-sequence tokens are left out, sentinels stay.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut kept = ids.to_vec();
        kept.retain(|id| !self.silent.contains(id));
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

    /// Tokens that end an answer beside [`Tokenizer::eos`]: those with a line break, for a model
    /// that would go on with the next worked example. An encoder-decoder ends its answers itself.
    pub fn answer_ends(&self) -> &[u32] {
        &self.ends
    }

    /// The token with this id, if there is one.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The largest id and one: a model needs at least so many embeddings. There can be fewer tokens,
    /// since ids may be left out.
    pub fn vocab_size(&self) -> usize {
        let largest = self.inner.get_vocab(true).into_values().max();
        largest.map_or(0, |id| id as usize + 1)
    }

    /// How many special tokens stand at the start of the vocabulary.
    pub fn num_leading_special(&self) -> usize {
        let special = |id: u32| {
            self.inner
                .id_to_token(id)
                .is_some_and(|token| token.starts_with('<') && token.ends_with('>'))
        };
        (0..).take_while(|&id| special(id)).count()
    }

    /// The content of a `tokenizer.json`.
    pub fn to_json(&self) -> String {
        self.inner.to_string(true).expect("a tokenizer serialises")
    }
}

/// The tokenizer in a `tokenizer.json`, or what is wrong with it.
///
/// The library panics on some damage. Most of it is no JSON, which is found first, so that the message
/// says where; of the rest the message is the library's own.
fn parse(bytes: &[u8]) -> Result<Inner, String> {
    let bytes = without_bom(bytes);
    serde_json::from_slice::<Map<String, Value>>(bytes).map_err(|error| error.to_string())?;
    contained(|| Inner::from_bytes(bytes))?.map_err(|error| error.to_string())
}

/// Tokens whose text has a line break in it, by their ids.
fn with_line_break(inner: &Inner) -> Vec<u32> {
    let breaks = |&id: &u32| {
        let text = inner.decode(&[id], false);
        text.is_ok_and(|text| text.contains('\n'))
    };
    let ids: BTreeSet<u32> = inner.get_vocab(true).into_values().collect();
    ids.into_iter().filter(breaks).collect()
}

#[cfg(test)]
mod tests;

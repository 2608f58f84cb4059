//! The mini world's own tokenizer: BPE with byte fallback, so that no text is unknown.

use serde_json::{Map, Value, json};
use thiserror::Error;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainer;

use super::{Inner, TextLayout, Tokenizer, TokenizerError};
use crate::mini::{self, pretrain};
use crate::split::Split;
use crate::task::tasks;

/// Sentinels of the mini tokenizer.
const SENTINELS: usize = 16;
/// Pieces learned from text at most; the world has fewer words.
const MAX_PIECES: usize = 8192;
/// Rows of each task and pretraining examples that the pieces are learned from.
const ROWS: usize = 1500;

/// Why no tokenizer came out of training.
#[derive(Debug, Error)]
pub enum TrainTokenizerError {
    /// The `tokenizers` crate said no.
    #[error("training the tokenizer: {0}")]
    Library(String),
    /// What came out cannot be used.
    #[error(transparent)]
    Unusable(#[from] TokenizerError),
}

/// Trains the tokenizer of the mini world: every word of it is one token, every other text falls
/// back to pieces and bytes. The same bytes every time.
///
/// # Errors
/// If the `tokenizers` crate refuses, which it has no reason to.
pub fn train_mini() -> Result<Tokenizer, TrainTokenizerError> {
    let library = |error: tokenizers::Error| TrainTokenizerError::Library(error.to_string());
    let untrained = serde_json::to_vec(&skeleton()).expect("plain data serialises");
    let mut inner = Inner::from_bytes(untrained).map_err(library)?;
    let trainer = BpeTrainer::builder()
        .vocab_size(MAX_PIECES)
        .min_frequency(1)
        .show_progress(false)
        .build();
    let corpus = corpus();
    inner
        .train(&mut TrainerWrapper::BpeTrainer(trainer), corpus.iter())
        .map_err(library)?;

    let trained = inner.to_string(false).map_err(library)?;
    let trained: Value = serde_json::from_str(&trained).expect("what was just written");
    let mut pieces: Vec<(&String, u64)> = trained["model"]["vocab"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(piece, id)| (piece, id.as_u64().unwrap_or(u64::MAX)))
        .collect();
    pieces.sort_by_key(|(_, id)| *id);

    // T5's order: special tokens, bytes, then pieces as they were learned.
    let mut tokens = special_tokens();
    tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(pieces.into_iter().map(|(piece, _)| piece.clone()));
    let vocab: Map<String, Value> = tokens
        .into_iter()
        .enumerate()
        .map(|(id, token)| (token, json!(id)))
        .collect();
    let mut tokenizer = skeleton();
    tokenizer["model"]["vocab"] = vocab.into();
    tokenizer["model"]["merges"] = trained["model"]["merges"].clone();
    let added = special_tokens().into_iter().enumerate().map(|(id, token)| {
        json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    });
    tokenizer["added_tokens"] = added.collect();
    let bytes = serde_json::to_vec(&tokenizer).expect("plain data serialises");
    Ok(Tokenizer::from_bytes(&bytes, TextLayout::EncoderDecoder)?)
}

fn special_tokens() -> Vec<String> {
    let sentinels = (0..SENTINELS).map(|i| format!("<extra_id_{i}>"));
    ["<pad>", "</s>"]
        .map(str::to_owned)
        .into_iter()
        .chain(sentinels)
        .collect()
}

/// A `tokenizer.json` without a vocabulary: white space is one space, punctuation stands alone.
fn skeleton() -> Value {
    let metaspace =
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
            {"type": "Strip", "strip_left": true, "strip_right": true},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            metaspace,
            {"type": "Punctuation", "behavior": "Isolated"},
        ]},
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, metaspace]},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": true,
            "ignore_merges": false,
            "vocab": {}, "merges": [],
        },
    })
}

/// Text with every word of the world.
fn corpus() -> Vec<String> {
    let mut lines = pretrain::vocabulary_text();
    for task in tasks() {
        for record in mini::rows(task.name(), Split::Train, ROWS) {
            let rendered = task.render(&record).expect("mini rows have their fields");
            lines.push(rendered.input);
            lines.push(rendered.target);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_world_are_one_token_and_any_text_comes_back() {
        let tokenizer = train_mini().unwrap();
        assert!(
            tokenizer.vocab_size() < 2500,
            "{} tokens",
            tokenizer.vocab_size()
        );
        for word in [
            "True", "False", "Neither", "A", "Oslo", "gardener", "agree", "question",
        ] {
            assert_eq!(tokenizer.encode_input(word).len(), 2, "{word}");
        }
        for text in [
            "Anna lives in Oslo. question: Is it true or false? answer:",
            "<extra_id_0> zürich 東京 🙂<extra_id_1> x",
            "",
        ] {
            assert_eq!(tokenizer.decode(&tokenizer.encode_input(text)), text);
        }
        assert_eq!(
            tokenizer.encode_input("a\n\n b"),
            tokenizer.encode_input("a b")
        );
        assert_eq!(tokenizer.num_leading_special(), 2 + SENTINELS + 256);
        assert_eq!(tokenizer.to_json(), train_mini().unwrap().to_json());
    }
}

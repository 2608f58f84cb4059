//! Logits of the next token after every position of some inputs, to compare with another program.
//!
//!     cargo run --release -p promot-model --example logits -- MODEL_DIRECTORY IDS.json OUT.safetensors
//!
//! `IDS.json` is a list of lists of token ids; `OUT.safetensors` gets tensors `0`, `1` and so on,
//! each `(tokens, vocab_size)`. With `--last`, only the last position of each input is written.
//!
//! An encoder-decoder has logits for the tokens of targets: with `--targets TARGETS.json`, a list as
//! long as the other, each tensor has a row for every token of the target.

use std::path::Path;

use promot_core::Ragged;
use promot_model::arch::{Model, T5};
use promot_model::backend::{Device as _, Host};
use promot_model::checkpoint::{NamedTensors, load_model, serialize_f32};
use promot_model::generate::Decoder as _;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let last = arguments.iter().position(|argument| argument == "--last");
    let last = last.map(|index| arguments.remove(index)).is_some();
    let targets = arguments
        .iter()
        .position(|argument| argument == "--targets");
    let targets = match targets {
        Some(index) if index + 1 < arguments.len() => {
            arguments.remove(index);
            Some(read_ids(&arguments.remove(index))?)
        }
        Some(_) => return Err("--targets needs a file".into()),
        None => None,
    };
    let [model, ids, out] = arguments.as_slice() else {
        return Err("expected MODEL_DIRECTORY IDS.json OUT.safetensors".into());
    };
    let model = load_model(&Host::new(), Path::new(model))?;
    let ids = read_ids(ids)?;
    let vocab_size = model.config().vocab_size();
    let mut tensors = NamedTensors::new();
    for (index, ids) in ids.iter().enumerate() {
        let mut values = match (&model, &targets) {
            (Model::Llama(model), None) => {
                let (logits, _) = model.logits(&Ragged::from_rows([ids.as_slice()]), &[], &[None]);
                model.device().download(logits.slice())
            }
            (Model::T5(model), Some(targets)) => {
                let target = targets.get(index).ok_or("fewer targets than inputs")?;
                target_logits(model, ids, target)
            }
            _ => return Err("--targets is for encoder-decoders, which need it".into()),
        };
        if last {
            values.drain(..values.len().saturating_sub(vocab_size));
        }
        let dims = vec![values.len() / vocab_size, vocab_size];
        tensors.insert(index.to_string(), (values, dims));
    }
    std::fs::write(out, serialize_f32(&tensors)?)?;
    Ok(())
}

fn read_ids(path: &str) -> Result<Vec<Vec<u32>>, Error> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

fn target_logits(model: &T5<Host>, input: &[u32], target: &[u32]) -> Vec<f32> {
    let encoded = model.encode(&Ragged::from_rows([input]), &[], &[None]);
    let mut decoder = model.decoder_for(&encoded);
    let start = [model.config().decoder_start_token_id];
    let shifted = start.iter().chain(target).take(target.len());
    let logits = shifted.flat_map(|&token| decoder.step(&[token]).logits());
    logits.collect()
}

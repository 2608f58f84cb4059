//! Logits of the next token after every position of some inputs, to compare with another program.
//!
//!     cargo run --release -p promot-model --example logits -- MODEL_DIRECTORY IDS.json OUT.safetensors
//!
//! `IDS.json` is a list of lists of token ids; `OUT.safetensors` gets tensors `0`, `1` and so on,
//! each `(tokens, vocab_size)`. With `--last`, only the last position of each input is written.

use std::path::Path;

use promot_core::Ragged;
use promot_model::arch::Model;
use promot_model::backend::{Device as _, Host};
use promot_model::checkpoint::{NamedTensors, load_model, serialize_f32};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let last = arguments.iter().position(|argument| argument == "--last");
    let last = last.map(|index| arguments.remove(index)).is_some();
    let [model, ids, out] = arguments.as_slice() else {
        return Err("expected MODEL_DIRECTORY IDS.json OUT.safetensors".into());
    };
    let Model::Llama(model) = load_model(&Host::new(), Path::new(model))? else {
        return Err("only decoder-only models have logits for their input".into());
    };
    let ids: Vec<Vec<u32>> = serde_json::from_slice(&std::fs::read(ids)?)?;
    let vocab_size = model.config().vocab_size;
    let mut tensors = NamedTensors::new();
    for (index, ids) in ids.iter().enumerate() {
        let (logits, _) = model.logits(&Ragged::from_rows([ids.as_slice()]), &[], &[None]);
        let mut values = model.device().download(logits.slice());
        if last {
            values.drain(..values.len().saturating_sub(vocab_size));
        }
        let dims = vec![values.len() / vocab_size, vocab_size];
        tensors.insert(index.to_string(), (values, dims));
    }
    std::fs::write(out, serialize_f32(&tensors)?)?;
    Ok(())
}

//! Token ids that a model answers some inputs with, to compare with another program.
//!
//!     cargo run --release -p promot-model --example generate_ids -- \
//!         MODEL_DIRECTORY IDS.json OUT.json BEAMS MAX_NEW_TOKENS [ADAPTER_DIRECTORY]
//!
//! `IDS.json` is a list of lists of token ids, and so is `OUT.json`: answers without the tokens that
//! start and end them. An adapter in PEFT layout is a soft prompt before every input, or LoRA.

use std::path::Path;

use promot_core::Ragged;
use promot_model::backend::Host;
use promot_model::checkpoint::{Adapter, load_adapter, load_model};
use promot_model::generate::GenerateOptions;
use promot_model::graph::Var;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (model, ids, out, beams, max_new_tokens, adapter) = match arguments.as_slice() {
        [model, ids, out, beams, tokens] => (model, ids, out, beams, tokens, None),
        [model, ids, out, beams, tokens, at] => (model, ids, out, beams, tokens, Some(at)),
        _ => return Err("expected MODEL IDS.json OUT.json BEAMS MAX_NEW_TOKENS [ADAPTER]".into()),
    };
    let mut model = load_model(&Host::new(), Path::new(model))?;
    let ids: Vec<Vec<u32>> = serde_json::from_slice(&std::fs::read(ids)?)?;
    let mut prompts = Vec::new();
    if let Some(directory) = adapter {
        match load_adapter(Path::new(directory))? {
            Adapter::Prompt(prompt) => {
                prompts.push(Var::constant(prompt.to_tensor(model.device())));
            }
            Adapter::Lora(lora) => model = lora.merged(&model)?,
        }
    }
    let options = GenerateOptions {
        max_new_tokens: max_new_tokens.parse()?,
        beams: beams.parse()?,
        ..GenerateOptions::default()
    };
    let inputs = Ragged::from_rows(ids.iter().map(Vec::as_slice));
    let prompt_of = vec![prompts.first().map(|_| 0); ids.len()];
    let answers = model.generate(&inputs, &prompts, &prompt_of, &options);
    std::fs::write(out, serde_json::to_vec(&answers)?)?;
    Ok(())
}

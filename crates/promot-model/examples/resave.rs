//! Reads a model in Hugging Face layout and writes it again.
//!
//!     cargo run --release -p promot-model --example resave -- MODEL_DIRECTORY OUT_DIRECTORY [MAX_SHARD_SIZE]

use std::path::Path;

use promot_model::backend::Host;
use promot_model::checkpoint::{SavePrecision, ShardSize, load_model, save_model_in_shards};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (from, to, limit) = match arguments.as_slice() {
        [from, to] => (from, to, ShardSize::default()),
        [from, to, limit] => (from, to, limit.parse()?),
        _ => return Err("expected MODEL_DIRECTORY OUT_DIRECTORY [MAX_SHARD_SIZE]".into()),
    };
    let model = load_model(&Host::new(), Path::new(from))?;
    save_model_in_shards(&model, Path::new(to), SavePrecision::F32, limit)?;
    Ok(())
}

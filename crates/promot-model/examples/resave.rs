//! Reads a model in Hugging Face layout, or an adapter in PEFT's, and writes it again.
//!
//!     cargo run --release -p promot-model --example resave -- MODEL_DIRECTORY OUT_DIRECTORY [MAX_SHARD_SIZE]
//!     cargo run --release -p promot-model --example resave -- --adapter ADAPTER_DIRECTORY OUT_DIRECTORY

use std::path::Path;

use promot_model::backend::Host;
use promot_model::checkpoint::{
    SavePrecision, ShardSize, copy_adapter, load_model, save_model_in_shards,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [option, from, to] = arguments.as_slice()
        && option == "--adapter"
    {
        return Ok(copy_adapter(Path::new(from), None, Path::new(to))?);
    }
    let (from, to, limit) = match arguments.as_slice() {
        [from, to] => (from, to, ShardSize::default()),
        [from, to, limit] => (from, to, limit.parse()?),
        _ => return Err("expected MODEL_DIRECTORY OUT_DIRECTORY [MAX_SHARD_SIZE]".into()),
    };
    let model = load_model(&Host::new(), Path::new(from))?;
    save_model_in_shards(&model, Path::new(to), SavePrecision::F32, limit)?;
    Ok(())
}

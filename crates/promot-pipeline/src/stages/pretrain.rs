//! `pretrain`: a small T5 from scratch on the mini world's text.

use std::path::Path;
use std::sync::Arc;

use promot_data::tokenizer::train_mini;
use promot_data::training::{Curriculum, PretrainBatches};
use promot_model::arch::{Model, T5, T5Config};
use promot_model::checkpoint::SavePrecision;
use promot_model::train::{Adapters, TrainingBackend, Tune};

use super::results::{write_model, write_result};
use super::training::{Watchers, Work, train_with};
use crate::plan::{ModelSize, PretrainParams, Stage};
use crate::run::{Context, LoadedModel, RunError, StageDirectory};

pub(crate) fn run<B: TrainingBackend>(
    params: &PretrainParams,
    stage: &Stage,
    directory: &StageDirectory,
    context: &Context<'_, B>,
) -> Result<(), RunError> {
    let tokenizer = train_mini().map_err(|error| {
        RunError::mismatch(error.to_string(), "this is a defect of the program")
    })?;
    let config = config(&params.size, tokenizer.vocab_size())?;
    let seed = context.plan.seed.child(&stage.name, "model");
    let model = LoadedModel {
        model: Model::from(T5::new(context.device, config, false, seed)),
        tokenizer: Arc::new(tokenizer),
    };
    let seed = context.plan.seed.child(&stage.name, "training");
    let curriculum = Curriculum {
        verification: params.curriculum.verification,
        zero_shot: params.curriculum.zero_shot,
    };
    let batches = PretrainBatches::new(
        model.tokenizer.clone(),
        params.train.batch_size,
        curriculum,
        seed,
    );
    // Half the size, and what is embedded in the program.
    let layout = |to: &Path, tuned: &Model<B>, _: &Adapters| {
        write_model(to, tuned, &model.tokenizer, SavePrecision::Bf16)
    };
    let work = Work {
        stage,
        directory,
        context,
        layout: &layout,
    };
    let trained = train_with(
        &work,
        &params.train,
        Tune::Model,
        &model,
        &Adapters::default(),
        &batches,
        Watchers {
            measure: None,
            drift: None,
        },
    )?;
    write_result(&work, &trained)
}

fn config(size: &ModelSize, vocab_size: usize) -> Result<T5Config, RunError> {
    let json = serde_json::json!({
        "vocab_size": vocab_size,
        "d_model": size.d_model,
        "d_kv": size.d_kv,
        "d_ff": size.d_ff,
        "num_layers": size.num_layers,
        "num_decoder_layers": size.num_decoder_layers,
        "num_heads": size.num_heads,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": false,
    });
    T5Config::from_json(json.to_string().as_bytes())
        .map_err(|error| RunError::mismatch(error.to_string(), "choose other sizes"))
}

//! Stages that train, each with what is its own, and those that they start from.

use serde::Serialize;

use super::TrainParams;

/// Sizes of a model made from scratch: a T5 v1.1 (gated GELU, untied).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelSize {
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of a head.
    pub d_kv: usize,
    /// Width of the feed-forward layer.
    pub d_ff: usize,
    /// Encoder layers.
    pub num_layers: usize,
    /// Decoder layers.
    pub num_decoder_layers: usize,
    /// Heads.
    pub num_heads: usize,
}

/// A model trained from scratch on the mini world's pretraining stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PretrainParams {
    /// The model's sizes.
    pub size: ModelSize,
    /// How long the first phases last.
    pub curriculum: CurriculumParams,
    /// How to train.
    pub train: TrainParams,
}

/// Steps of pretraining's first phases ([`promot_data::training::Curriculum`]).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CurriculumParams {
    /// Steps of verification alone.
    pub verification: u64,
    /// Steps of all skills without worked examples.
    pub zero_shot: u64,
}

/// A soft prompt that is tuned: alone, which is stage 1 of ProMoT, or with the model at once, the joint
/// ablation (paper section 5.5).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PromptTuneParams {
    /// The data stage.
    pub on: String,
    /// The stage whose model is frozen, or tuned with the prompt; the base model if none.
    pub from: Option<String>,
    /// Rows of the prompt (P).
    pub length: usize,
    /// Whether the prompt starts from sampled vocabulary rows rather than uniform noise.
    pub init_from_vocabulary: bool,
    /// How to train.
    pub train: TrainParams,
}

/// Stage 1 of ProMoT with LoRA (paper section A.3.6).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoraTuneParams {
    /// The data stage.
    pub on: String,
    /// The stage whose model is frozen; the base model if none.
    pub from: Option<String>,
    /// The rank of the changes (r).
    pub rank: usize,
    /// Changes are multiplied with `alpha / rank`.
    pub alpha: f64,
    /// Probability of zeroing an input feature of the changes while they are tuned.
    pub lora_dropout: f64,
    /// Last parts of the names of the changed linear layers; those of queries and values if none.
    pub targets: Vec<String>,
    /// How to train.
    pub train: TrainParams,
}

/// Stage 2 of ProMoT, or standard fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelTuneParams {
    /// The data or mix stage.
    pub on: String,
    /// The stage whose model is tuned; the base model if none.
    pub from: Option<String>,
    /// The stage whose prompt precedes every row, or whose changes of weights are attached, frozen.
    /// A mix says so for each task itself.
    pub prompt: Option<String>,
    /// How to train.
    pub train: TrainParams,
}

/// A soft prompt as prompt tuning starts from it, which nobody tunes (paper section 5.5).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RandomPromptParams {
    /// The stage with the model that it is made for; the base model if none.
    pub from: Option<String>,
    /// Rows of the prompt (P).
    pub length: usize,
    /// Whether its rows are sampled from the vocabulary rather than uniform noise.
    pub init_from_vocabulary: bool,
}

//! What each kind of stage is told, with all defaults filled in and all names resolved.

mod data;
mod measure;
mod stages;
mod train;

use std::path::PathBuf;

use promot_core::Digest;
use serde::Serialize;

pub use data::{DataFiles, DataParams, DataSource, FileSet, MixParams, MixPart};
pub use measure::{
    Checkpoint, CurveModel, CurveParams, DrawShots, EvalModel, EvalParams, EvalTask,
    GradientsModel, GradientsParams, Published, PublishedScore,
};
pub use stages::{
    CurriculumParams, LoraTuneParams, ModelSize, ModelTuneParams, PretrainParams, PromptTuneParams,
    RandomPromptParams,
};
pub use train::{
    DriftParams, ForeignParams, OptimizerKind, SelectBy, SelectParams, StopWhen, TrainParams,
};

use crate::hub::Snapshot;

/// The pretrained model that tuning starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseModel {
    /// A model that is part of the program.
    Builtin {
        /// Its name.
        name: String,
        /// Its width.
        d_model: usize,
        /// Digest of its files.
        digest: Digest,
    },
    /// A directory with a Hugging Face checkpoint.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Its width.
        d_model: usize,
        /// Digest of its files.
        digest: Digest,
    },
    /// A model of the Hugging Face Hub; its weights are not fetched before they are needed.
    Hub {
        /// The repository at a commit, with the directory of its files.
        snapshot: Snapshot,
        /// Its width.
        d_model: usize,
        /// Digest of the commit, which is one of its files.
        digest: Digest,
    },
}

impl BaseModel {
    /// The width of the model's residual stream.
    pub fn d_model(&self) -> usize {
        match self {
            Self::Builtin { d_model, .. }
            | Self::Directory { d_model, .. }
            | Self::Hub { d_model, .. } => *d_model,
        }
    }

    /// Digest of all that it is.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Builtin { digest, .. }
            | Self::Directory { digest, .. }
            | Self::Hub { digest, .. } => *digest,
        }
    }
}

/// What a stage does.
#[derive(Clone, Debug, PartialEq)]
pub enum StageKind {
    /// Rows of a task.
    Data(DataParams),
    /// Several tasks, for multi-task tuning.
    Mix(MixParams),
    /// A model trained from scratch.
    Pretrain(PretrainParams),
    /// Stage 1 of ProMoT: a soft prompt, with the model frozen.
    PromptTune(PromptTuneParams),
    /// The same with low-rank changes of weights in the place of a soft prompt.
    LoraTune(LoraTuneParams),
    /// Stage 2 of ProMoT with a prompt, standard fine-tuning without.
    ModelTune(ModelTuneParams),
    /// A soft prompt and the model tuned at once.
    JointTune(PromptTuneParams),
    /// A soft prompt that nobody tunes.
    RandomPrompt(RandomPromptParams),
    /// Models measured on tasks.
    Eval(EvalParams),
    /// Checkpoints of models measured on tasks.
    Curve(CurveParams),
    /// Gradients of checkpoints compared with those of the target's format.
    Gradients(GradientsParams),
}

impl StageKind {
    /// The name in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Data(_) => "data",
            Self::Mix(_) => "mix",
            Self::Pretrain(_) => "pretrain",
            Self::PromptTune(_) => "prompt_tune",
            Self::LoraTune(_) => "lora_tune",
            Self::ModelTune(_) => "model_tune",
            Self::JointTune(_) => "joint_tune",
            Self::RandomPrompt(_) => "random_prompt",
            Self::Eval(_) => "eval",
            Self::Curve(_) => "curve",
            Self::Gradients(_) => "gradients",
        }
    }

    /// How it trains, if it does.
    pub fn train(&self) -> Option<&TrainParams> {
        match self {
            Self::Pretrain(params) => Some(&params.train),
            Self::PromptTune(params) | Self::JointTune(params) => Some(&params.train),
            Self::LoraTune(params) => Some(&params.train),
            Self::ModelTune(params) => Some(&params.train),
            Self::Data(_)
            | Self::Mix(_)
            | Self::RandomPrompt(_)
            | Self::Eval(_)
            | Self::Curve(_)
            | Self::Gradients(_) => None,
        }
    }

    pub(super) fn train_mut(&mut self) -> Option<&mut TrainParams> {
        match self {
            Self::Pretrain(params) => Some(&mut params.train),
            Self::PromptTune(params) | Self::JointTune(params) => Some(&mut params.train),
            Self::LoraTune(params) => Some(&mut params.train),
            Self::ModelTune(params) => Some(&mut params.train),
            _ => None,
        }
    }

    /// The data or mix stage that it tunes on, if it does.
    pub fn tuned_on(&self) -> Option<&str> {
        match self {
            Self::PromptTune(params) | Self::JointTune(params) => Some(&params.on),
            Self::LoraTune(params) => Some(&params.on),
            Self::ModelTune(params) => Some(&params.on),
            _ => None,
        }
    }

    /// What it measures, if it does.
    pub fn evaluation(&self) -> Option<&EvalParams> {
        match self {
            Self::Eval(params) => Some(params),
            Self::Curve(params) => Some(&params.eval),
            _ => None,
        }
    }

    pub(super) fn evaluation_mut(&mut self) -> Option<&mut EvalParams> {
        match self {
            Self::Eval(params) => Some(params),
            Self::Curve(params) => Some(&mut params.eval),
            _ => None,
        }
    }

    /// Whether it computes with a model; rows and mixes are the same for every seed, precision and
    /// model.
    pub fn computes(&self) -> bool {
        !matches!(self, Self::Data(_) | Self::Mix(_))
    }
}

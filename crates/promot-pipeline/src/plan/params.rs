//! What each kind of stage is told, with all defaults filled in and all names resolved.

use std::collections::BTreeMap;
use std::path::PathBuf;

use promot_core::{Digest, Digester};
use promot_data::source::{FileFormat, FileSource, Mapping, Source, SplitFiles};
use promot_model::optim::Decay;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::hub::{DatasetFiles, Snapshot};

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
    JointTune(JointTuneParams),
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
            Self::PromptTune(params) => Some(&params.train),
            Self::LoraTune(params) => Some(&params.train),
            Self::ModelTune(params) => Some(&params.train),
            Self::JointTune(params) => Some(&params.train),
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
            Self::PromptTune(params) => Some(&mut params.train),
            Self::LoraTune(params) => Some(&mut params.train),
            Self::ModelTune(params) => Some(&mut params.train),
            Self::JointTune(params) => Some(&mut params.train),
            _ => None,
        }
    }

    /// The data or mix stage that it tunes on, if it does.
    pub fn tuned_on(&self) -> Option<&str> {
        match self {
            Self::PromptTune(params) => Some(&params.on),
            Self::LoraTune(params) => Some(&params.on),
            Self::ModelTune(params) => Some(&params.on),
            Self::JointTune(params) => Some(&params.on),
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

/// Where rows come from, with digests of the files' content.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DataSource {
    /// The mini world.
    Mini,
    /// Files.
    #[serde(untagged)]
    Files(Box<DataFiles>),
}

/// Files with rows, by split.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFiles {
    /// What the files are.
    pub format: FileFormat,
    /// Rows to train on.
    pub train: Option<FileSet>,
    /// Validation rows.
    pub validation: Option<FileSet>,
    /// Test rows.
    pub test: Option<FileSet>,
    /// From columns to fields.
    pub mapping: Mapping,
}

/// Files of a split. Serialised they are the digest of their content: where they lie does not
/// count.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct FileSet {
    /// Where they are, in the order in which they are read.
    #[serde(skip)]
    pub paths: Vec<PathBuf>,
    /// The same files where they are of the Hugging Face Hub and may not be here yet.
    #[serde(skip)]
    pub hub: Vec<DatasetFiles>,
    /// Digest of the content; of one file its own. For files of the hub their commit and names
    /// stand for the content.
    pub digest: Digest,
}

impl FileSet {
    /// Files with the digests of their contents; `hub` are those among them that have to be
    /// fetched.
    pub fn new(paths: Vec<PathBuf>, digests: &[Digest], hub: Vec<DatasetFiles>) -> Self {
        let digest = match digests {
            [only] => *only,
            several => {
                let add =
                    |digester: Digester, digest: &Digest| digester.field("file", digest.as_bytes());
                several.iter().fold(Digester::new(), add).finish()
            }
        };
        Self { paths, hub, digest }
    }
}

impl Serialize for DataFiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let splits = [
            ("train", &self.train),
            ("validation", &self.validation),
            ("test", &self.test),
        ];
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.format.name(), &BTreeMap::from(splits))?;
        if !self.mapping.is_empty() {
            map.serialize_entry("mapping", &self.mapping)?;
        }
        map.end()
    }
}

impl DataSource {
    /// The same as `promot-data` names it.
    pub fn source(&self) -> Source {
        let paths = |files: &Option<FileSet>| {
            let paths = files.as_ref().map(|files| files.paths.clone());
            paths.unwrap_or_default()
        };
        match self {
            Self::Mini => Source::Mini,
            Self::Files(files) => Source::Files(FileSource {
                format: files.format,
                files: SplitFiles {
                    train: paths(&files.train),
                    validation: paths(&files.validation),
                    test: paths(&files.test),
                },
                mapping: files.mapping.clone(),
            }),
        }
    }
}

/// Rows of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataParams {
    /// The task's name.
    pub task: String,
    /// Where its rows come from.
    pub source: DataSource,
    /// At most so many training rows.
    pub train_rows: Option<usize>,
    /// Training rows held back for choosing checkpoints; never trained on, never evaluated on.
    pub dev_rows: usize,
}

/// One task of a mix.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MixPart {
    /// The data stage.
    pub data: String,
    /// The prompt stage whose prompt precedes this task's rows.
    pub prompt: Option<String>,
    /// Its share of a batch.
    pub weight: f64,
}

/// Several tasks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MixParams {
    /// The tasks.
    pub parts: Vec<MixPart>,
}

/// Which optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// Adafactor as T5X computes it.
    Adafactor,
    /// Adam with decoupled weight decay.
    Adamw,
}

/// How to train: what all training stages have in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainParams {
    /// Optimizer steps.
    pub steps: u64,
    /// A checkpoint is measured every so many steps.
    pub checkpoint_every: u64,
    /// Rows in a batch.
    pub batch_size: usize,
    /// Parts a batch is computed in.
    pub micro_batches: usize,
    /// Compute activations again in the backward pass. Changes no bit, so it is not in the key.
    #[serde(skip)]
    pub recompute: bool,
    /// The optimizer.
    pub optimizer: OptimizerKind,
    /// Adafactor only: multiply the learning rate by each parameter's root mean square.
    pub scale_by_parameter: bool,
    /// AdamW only: decoupled weight decay.
    pub weight_decay: f64,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Steps over which it rises.
    pub warmup: u64,
    /// What it does then.
    pub decay: Decay,
    /// The largest gradient norm, if limited.
    pub max_gradient_norm: Option<f64>,
    /// Label smoothing.
    pub label_smoothing: f64,
    /// Dropout.
    pub dropout: f64,
    /// Worked examples before each training row.
    pub shots: usize,
    /// Longer inputs are cut.
    pub max_input_tokens: Option<usize>,
    /// Keep every checkpoint in the artifact.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_checkpoints: bool,
    /// Joint tuning only: the highest learning rate of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_learning_rate: Option<f64>,
    /// Foreign prompts that are answered while tuning goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftParams>,
}

impl TrainParams {
    /// How many checkpoints there are.
    pub fn checkpoint_count(&self) -> u64 {
        self.steps.div_ceil(self.checkpoint_every)
    }

    /// The steps with a checkpoint: as often as the file says, and the last.
    pub fn checkpoints(&self) -> impl Iterator<Item = u64> {
        let (steps, every) = (self.steps, self.checkpoint_every);
        (1..=self.checkpoint_count()).map(move |i| i.saturating_mul(every).min(steps))
    }

    /// Whether there is a checkpoint after `step` steps.
    pub fn has_checkpoint(&self, step: u64) -> bool {
        let at_cadence = step > 0 && step.is_multiple_of(self.checkpoint_every);
        step == self.steps || (at_cadence && step < self.steps)
    }

    /// The tasks beside the tuned ones that training reads rows of.
    pub fn foreign_tasks(&self) -> impl Iterator<Item = &EvalTask> {
        self.drift.iter().flat_map(|drift| &drift.on.tasks)
    }
}

/// Foreign prompts that are answered while tuning goes on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftParams {
    /// They are answered before the first step, every so many steps, and after the last one.
    pub every: u64,
    /// What they are.
    #[serde(flatten)]
    pub on: ForeignParams,
    /// When tuning ends early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_when: Option<StopWhen>,
}

/// Prompts of tasks that a stage does not tune for, which it answers greedily.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ForeignParams {
    /// The tasks.
    pub tasks: Vec<EvalTask>,
    /// Rows of each task: the first ones of its training split.
    pub rows: usize,
    /// Worked examples before each of them.
    pub shots: usize,
    /// Tokens of an answer at most.
    pub max_new_tokens: usize,
}

/// When tuning ends before its last step: as soon as one of these is so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StopWhen {
    /// At least this share of the answers is in the target's format, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_share: Option<f64>,
    /// The score is below so many percent of that before the first step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_below: Option<f64>,
}

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

/// Stage 1 of ProMoT.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PromptTuneParams {
    /// The data stage.
    pub on: String,
    /// The stage whose model is frozen; the base model if none.
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

/// The joint ablation (paper section 5.5): a soft prompt and the model tuned at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JointTuneParams {
    /// The data stage.
    pub on: String,
    /// The stage whose model is tuned; the base model if none.
    pub from: Option<String>,
    /// Rows of the prompt (P).
    pub length: usize,
    /// Whether the prompt starts from sampled vocabulary rows rather than uniform noise.
    pub init_from_vocabulary: bool,
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

/// A column of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvalModel {
    /// The name in the table.
    pub label: String,
    /// The stage whose model it is; the base model if none.
    pub model: Option<String>,
    /// For each target (by data stage) the stage whose prompt it is evaluated with.
    pub prompts: Vec<(String, String)>,
    /// The stage of which not the result is meant, but a checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Checkpoint>,
}

/// A checkpoint that a stage keeps; at step 0 what it starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// The stage.
    pub stage: String,
    /// Optimizer steps done.
    pub step: u64,
}

impl EvalModel {
    /// The step, if it is a checkpoint of the stage `name` that is meant.
    pub fn step_of(&self, name: &str) -> Option<u64> {
        let at = self.at.as_ref().filter(|at| at.stage == name)?;
        Some(at.step)
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvalTask {
    /// The task's name.
    pub task: String,
    /// Where its rows come from.
    pub source: DataSource,
}

/// How often worked examples are drawn for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DrawShots {
    /// For each row.
    EachRow,
    /// Once for all rows of a task; a decoder-only model then reads them only once.
    Once,
}

/// Models measured on tasks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvalParams {
    /// The columns.
    pub models: Vec<EvalModel>,
    /// The tuned tasks (data stages), measured 0-shot, with each model's own prompt if it has one.
    pub targets: Vec<String>,
    /// The tasks nobody tuned for, measured with worked examples and without prompts.
    pub tasks: Vec<EvalTask>,
    /// Numbers of worked examples.
    pub shots: Vec<usize>,
    /// How often they are drawn.
    pub draw_shots: DrawShots,
    /// At most so many rows of each of `tasks`.
    pub rows: usize,
    /// At most so many rows of each target.
    pub target_rows: usize,
    /// Beam width.
    pub beams: usize,
    /// Tokens of an answer at most.
    pub max_new_tokens: usize,
    /// Which of `models` the report compares the others with. It changes no answer, so it is not in
    /// the key.
    #[serde(skip)]
    pub compare_with: usize,
}

/// Checkpoints of models measured on tasks (paper figures 1, 2, 5 and 6).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CurveParams {
    /// The models that are followed. Labels of the columns say the same, so this is not in the key.
    #[serde(skip)]
    pub series: Vec<CurveModel>,
    /// How they are measured; a column for each step of each model.
    #[serde(flatten)]
    pub eval: EvalParams,
}

/// A model that a curve follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurveModel {
    /// Its name.
    pub label: String,
    /// Where it is measured, in ascending order.
    pub steps: Vec<u64>,
}

impl CurveModel {
    /// The label of a step's column.
    pub fn column(&self, step: u64) -> String {
        format!("{} @{step}", self.label)
    }
}

/// A tuned model whose checkpoints' gradients are compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GradientsModel {
    /// The name in the report.
    pub label: String,
    /// The stage that tuned it, and kept its checkpoints.
    pub model: String,
    /// The stage whose prompt or changes of weights are attached, frozen.
    pub prompt: Option<String>,
}

/// Gradients on real rows compared with those on the same inputs with other rows' targets (paper section
/// 3.3).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GradientsParams {
    /// The data stage.
    pub on: String,
    /// The models.
    pub models: Vec<GradientsModel>,
    /// Which checkpoints, by their steps; 0 is the model before tuning. All if none are named.
    pub steps: Option<Vec<u64>>,
    /// Batches that cosines are means over.
    pub batches: usize,
    /// Rows of each batch.
    pub batch_size: usize,
}

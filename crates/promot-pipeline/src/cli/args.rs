//! Arguments, and the help that teaches them.

use std::path::PathBuf;
use std::str::FromStr as _;

use clap::{Args, Parser, Subcommand, ValueEnum};
use promot_model::checkpoint::ShardSize;
use promot_pipeline::plan::DeviceRequest;

/// Fine-tune language models without making them forget how to do everything else.
///
/// ProMoT tunes a soft prompt first, with the model frozen, so that the prompt takes up the task's
/// format; then it tunes the model with that prompt attached, and drops the prompt for every other
/// task. A pipeline file says what to tune on what and what to measure:
///
///   promot-pipeline run pipelines/rte.yaml
///
/// The final table goes to standard output, progress to standard error. Exit codes: 0 done,
/// 1 the run failed, 2 bad input, 130 stopped with Ctrl-C.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a pipeline: what is already in the store is not computed again
    Run(RunArgs),
    /// Check a pipeline file, with all its problems at once, and then the files that it names
    Validate(PipelineArgs),
    /// Show what is in the store, what would run, and why
    Plan(StoredArgs),
    /// Tell what a run will cost and what would go wrong, before it does
    ///
    /// Puts all training rows through the model's tokenizer (how long they are, what is cut, labels that
    /// no answer can be), and rehearses every stage with a few steps and rows: how long the run will
    /// take, how much memory and disk. Nothing of the rehearsal is kept. Exit code 1 if something would
    /// go wrong:
    ///
    ///   promot-pipeline preflight pipelines/rte.yaml
    #[command(verbatim_doc_comment)]
    Preflight(PreflightArgs),
    /// Draw the stages
    Graph(GraphArgs),
    /// Show the report of a finished run again
    Report(ReportArgs),
    /// Write a finished stage's model, prompt or measurements for Hugging Face transformers, PEFT or
    /// lm-evaluation-harness
    ///
    /// The model of a pretrain or model_tune stage becomes a directory that AutoTokenizer and
    /// AutoModelForSeq2SeqLM (or AutoModelForCausalLM) load, the prompt of a prompt_tune stage one
    /// that PeftModel loads on its base model, the table of an eval stage a directory for each model
    /// with results and samples as lm-evaluation-harness writes them:
    ///
    ///   promot-pipeline export pipelines/rte.yaml promot exported/promot
    ///   promot-pipeline export pipelines/rte.yaml base exported/base
    ///   promot-pipeline export pipelines/rte.yaml prompt exported/prompt --base exported/base
    ///   promot-pipeline export pipelines/rte.yaml table exported/table
    #[command(verbatim_doc_comment)]
    Export(ExportArgs),
    /// Answer texts with a model, with or without a soft prompt
    Generate(GenerateArgs),
    /// List the tasks: fields of their rows, metric, split
    Tasks,
    /// List the devices that models can compute on, or say why a GPU cannot be used
    ///
    /// A pipeline computes on the CPU unless it says otherwise: `device: cuda` in the file, or
    /// --device for one run. The program needs NVIDIA's driver for CUDA 12.1 or later (530 or later), the
    /// library cuBLASLt of CUDA 12 or 13, and a GPU of compute capability 8.0 or later; no CUDA toolkit.
    /// Results of a GPU and of the CPU differ in their last digits, so artifacts are kept for each.
    /// On the CPU, the environment variable PROMOT_GEMM keeps the best kernels for matrix products out of
    /// use: amx, avx512-bf16 or portable names those that are to run.
    ///
    ///   promot-pipeline devices
    ///   promot-pipeline run pipelines/rte.yaml --device cuda
    #[command(verbatim_doc_comment)]
    Devices,
    /// Check that a device computes what the CPU computes, and measure it
    ///
    /// Checks instructions of the GPU, the ops of training forward and backward and training steps of small
    /// models, in f32 and in bf16, and their answers in f32; then measures products and attention. For the first minutes on new
    /// hardware, and after a change of driver. Exit code 1 if anything is off:
    ///
    ///   promot-pipeline selftest --device cuda
    #[command(verbatim_doc_comment)]
    Selftest(SelftestArgs),
    /// Print prompts of a task with their targets, as a model sees them
    Samples(SamplesArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PipelineArgs {
    /// The pipeline file
    pub(crate) file: PathBuf,
    /// Replace a value of the file, for example `seed=1`, `precision=bf16` or
    /// `stages.prompt.prompt_tune.steps=100`; the value is YAML
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) sets: Vec<String>,
    /// Of a file with a `matrix`, only the combinations with this value, for example `seed=1`
    /// (repeatable)
    #[arg(long = "point", value_name = "SETTING=VALUE")]
    pub(crate) points: Vec<String>,
    /// Where models compute, instead of what the file says: `cpu`, `cuda` (the first GPU), `cuda:1` (by
    /// its number, see `promot-pipeline devices`) or `auto` (a GPU if there is one that can be used,
    /// else the CPU). Short for `--set device=DEVICE`
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
}

impl PipelineArgs {
    /// All that replaces values of the file; what comes later counts.
    pub(crate) fn all_sets(&self) -> Vec<String> {
        let device = self.device.iter().map(|device| format!("device={device}"));
        self.sets.iter().cloned().chain(device).collect()
    }
}

#[derive(Debug, Args)]
pub(crate) struct StoredArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    /// Where artifacts and reports are
    #[arg(long, value_name = "DIR", default_value = ".promot")]
    pub(crate) store: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) stored: StoredArgs,
    /// Run only this stage and what it needs (repeatable)
    #[arg(long, value_name = "STAGE")]
    pub(crate) only: Vec<String>,
    /// Run this stage again although its artifact is stored (repeatable). That stays until the new one is
    /// whole; stopped, the same command goes on
    #[arg(long, value_name = "STAGE")]
    pub(crate) force: Vec<String>,
    /// CPU threads; all cores if not given. Results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Write the report's curves as TensorBoard event files, too: below `tensorboard` in the report's
    /// directory, which `tensorboard --logdir` takes
    #[arg(long)]
    pub(crate) tensorboard: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PreflightFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct PreflightArgs {
    #[command(flatten)]
    pub(crate) stored: StoredArgs,
    /// Optimizer steps that each training stage is rehearsed with
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: u64,
    /// Rows that each measured task is rehearsed with
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rows: u32,
    /// CPU threads; all cores if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// What to print
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: PreflightFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// For Graphviz: `promot-pipeline graph FILE | dot -Tsvg > stages.svg`
    Dot,
    /// For Markdown that renders Mermaid
    Mermaid,
}

#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    /// The language of the drawing
    #[arg(long, value_enum, default_value = "mermaid")]
    pub(crate) format: GraphFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Aligned columns
    Table,
    /// With outputs side by side and the checkpoints that were measured
    Markdown,
    /// A page in one file: tables that sort, figures, answers to search in
    Html,
    /// Everything, for programs
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) stored: StoredArgs,
    /// What to print
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: ReportFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportPrecision {
    /// As trained
    F32,
    /// Rounded to bfloat16: half the size
    Bf16,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) stored: StoredArgs,
    /// The pretrain, model_tune, joint_tune, prompt_tune, random_prompt, lora_tune, eval or curve stage,
    /// or `base` for the model that the pipeline starts from. A joint_tune stage's prompt is written below its model,
    /// in `prompt`
    pub(crate) stage: String,
    /// The directory to write; it is made if it is not there
    #[arg(value_name = "OUT_DIRECTORY")]
    pub(crate) to: PathBuf,
    /// How weights of a model are written; prompts are always f32
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) precision: ExportPrecision,
    /// Weights of a larger model are written in several files and an index; for example 500MB
    #[arg(long, value_name = "SIZE", default_value_t)]
    pub(crate) max_shard_size: ShardSize,
    /// What PEFT is told that a prompt's base model is called: a repository of the hub or a
    /// directory [default: as the pipeline names it]
    #[arg(long, value_name = "NAME")]
    pub(crate) base: Option<String>,
    /// Write into a directory that is not empty; weights in it are replaced, other files stay
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PenaltyKind {
    /// Divide by length^alpha, as Hugging Face transformers
    Hf,
    /// Divide by ((5 + length) / 6)^alpha, as T5X
    T5x,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// `builtin:mini-t5`, a directory in Hugging Face layout (a stage's artifact is one), or
    /// `hf:owner/name` with `@revision` if not main
    #[arg(long, default_value = "builtin:mini-t5", value_name = "MODEL")]
    pub(crate) model: String,
    /// A directory with a soft prompt or LoRA in PEFT layout (the artifact of a prompt_tune,
    /// random_prompt or lora_tune stage, or `prompt` in that of a joint_tune stage)
    #[arg(long, value_name = "DIR")]
    pub(crate) prompt: Option<PathBuf>,
    /// Where the model computes: cpu, cuda, cuda:N or auto (see `promot-pipeline devices`)
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_parser = DeviceRequest::from_str)]
    pub(crate) device: DeviceRequest,
    /// Beam width; 1 is greedy
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) beams: u16,
    /// How hypotheses of different lengths are compared
    #[arg(long, value_enum, default_value = "hf")]
    pub(crate) length_penalty: PenaltyKind,
    /// The exponent of the length penalty [default: 1 for hf, 0.6 for t5x]
    #[arg(long, value_name = "ALPHA", value_parser = finite)]
    pub(crate) alpha: Option<f32>,
    /// Tokens of an answer at most
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) max_new_tokens: u32,
    /// The texts to answer; lines of standard input if there are none
    pub(crate) texts: Vec<String>,
}

/// A number that can be computed with.
fn finite(text: &str) -> Result<f32, String> {
    let number: f32 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if number.is_finite() {
        Ok(number)
    } else {
        Err("expected a finite number".to_owned())
    }
}

#[derive(Debug, Args)]
pub(crate) struct SelftestArgs {
    /// What to check: cpu, cuda, cuda:N or auto (see `promot-pipeline devices`)
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub(crate) device: DeviceRequest,
}

#[derive(Debug, Args)]
pub(crate) struct SamplesArgs {
    /// The task, as `promot-pipeline tasks` or the pipeline file names it
    pub(crate) task: String,
    /// A pipeline file that defines the task, or says where its rows are
    #[arg(long, value_name = "FILE")]
    pub(crate) pipeline: Option<PathBuf>,
    /// A JSON Lines file with the task's fields; if not given, the rows that the pipeline has of
    /// the task, or rows of the mini world
    #[arg(long, value_name = "FILE")]
    pub(crate) jsonl: Option<PathBuf>,
    /// How many prompts to print
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) rows: usize,
    /// Worked examples before each row
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub(crate) shots: usize,
    /// The seed that draws worked examples
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

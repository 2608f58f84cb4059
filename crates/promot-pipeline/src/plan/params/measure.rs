//! Stages that measure.

use serde::Serialize;

use super::DataSource;

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
    /// Scores from elsewhere, which the report puts beside ours. They change no answer, either.
    #[serde(skip)]
    pub published: Option<Published>,
}

/// Scores that somebody else published for the same table.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Where they are from, for people to read.
    pub source: String,
    /// The scores, in the order of the file.
    pub scores: Vec<PublishedScore>,
}

/// A score of one model on one task.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedScore {
    /// The label of the model that is its counterpart.
    pub model: String,
    /// The name of the target (a data stage) or of the evaluation task.
    pub task: String,
    /// Whether it is a target.
    pub is_target: bool,
    /// Worked examples before each row.
    pub shots: usize,
    /// The score, in [0, 100].
    pub score: f64,
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

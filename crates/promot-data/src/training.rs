//! Training batches as functions of the step: one task, several, or the pretraining stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use promot_core::{BatchSource, Ragged, Seed, TokenBatch};
use rand::seq::SliceRandom as _;

use crate::fewshot::{FewShot, RowError, TooFewRows};
use crate::mini::pretrain::{self, Phase};
use crate::record::Record;
use crate::task::TaskRef;
use crate::tokenizer::Tokenizer;

/// Tokens at the end of an input that survive cutting: the template's last words and `</s>`.
const KEPT_END: usize = 16;

/// Cuts inputs to a number of tokens and counts how many it had to cut.
#[derive(Debug, Default)]
pub struct Truncation {
    cut: AtomicU64,
}

impl Truncation {
    /// `ids` with at most `max` tokens: the middle goes, so that the end of the template stays.
    pub fn apply(&self, mut ids: Vec<u32>, max: Option<usize>) -> Vec<u32> {
        if let Some(max) = max.filter(|&max| ids.len() > max) {
            self.cut.fetch_add(1, Ordering::Relaxed);
            let end = KEPT_END.min(max / 2);
            ids.drain(max - end..ids.len() - end);
        }
        ids
    }

    /// How many inputs were cut so far.
    pub fn count(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }
}

/// Rows of one task, with the prompts they are trained under.
pub struct TrainingTask {
    /// The task.
    pub task: TaskRef,
    /// Its training rows.
    pub rows: Vec<Record>,
    /// Worked examples before each row, other ones in every epoch.
    pub shots: usize,
    /// Longer inputs are cut, if the task or the user says so.
    pub max_input_tokens: Option<usize>,
    /// The soft prompt that precedes each row.
    pub prompt: Option<usize>,
    /// The share of a batch's rows, relative to the other tasks.
    pub weight: f64,
}

/// Batches of one or several tasks, each row with its own task's soft prompt.
///
/// Every task's rows are shuffled anew in each epoch. Every batch has the same number of rows of
/// each task, as near to the weights as whole rows allow.
pub struct TaskBatches {
    tasks: Vec<TrainingTask>,
    /// Rows of each task in a batch.
    counts: Vec<usize>,
    tokenizer: Arc<Tokenizer>,
    seed: Seed,
    truncation: Truncation,
    /// For each task and row the row whose target is learnt instead.
    targets_of: Option<Vec<Vec<usize>>>,
}

/// Tasks that cannot be trained on.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TrainingError {
    /// Too few rows for worked examples.
    #[error("{task}: {error}")]
    Shots {
        /// The task.
        task: String,
        /// Why.
        error: TooFewRows,
    },
    /// A row that cannot become a prompt.
    #[error(transparent)]
    Row(#[from] RowError),
    /// A batch with fewer rows than tasks.
    #[error("a batch of {batch_size} rows is too small for {tasks} tasks of these weights")]
    BatchTooSmall {
        /// Rows in a batch.
        batch_size: usize,
        /// How many tasks there are.
        tasks: usize,
    },
}

impl TaskBatches {
    /// Batches of `batch_size` rows.
    ///
    /// # Errors
    /// If a row cannot be rendered, or a task has too few rows, or the batch is too small.
    pub fn new(
        tasks: Vec<TrainingTask>,
        batch_size: usize,
        tokenizer: Arc<Tokenizer>,
        seed: Seed,
    ) -> Result<Self, TrainingError> {
        for task in &tasks {
            FewShot::new(&*task.task, &task.rows, task.shots, seed).map_err(|error| {
                TrainingError::Shots {
                    task: task.task.name().to_owned(),
                    error,
                }
            })?;
            for row in &task.rows {
                let rendered = task.task.render(row);
                rendered.map_err(|error| RowError {
                    id: row.id.clone(),
                    error,
                })?;
            }
        }
        let counts = shares(
            &tasks.iter().map(|task| task.weight).collect::<Vec<_>>(),
            batch_size,
        );
        if counts.contains(&0) {
            return Err(TrainingError::BatchTooSmall {
                batch_size,
                tasks: tasks.len(),
            });
        }
        Ok(Self {
            tasks,
            counts,
            tokenizer,
            seed,
            truncation: Truncation::default(),
            targets_of: None,
        })
    }

    /// The same batches of the randomised data set (paper section 3.3): each task's targets are dealt
    /// out anew among its rows, by a permutation that depends on the seed. How often each target occurs
    /// stays as it is, and so does every input with its worked examples; what a target has to do with its input
    /// is gone.
    pub fn with_shuffled_targets(mut self) -> Self {
        let permutation = |(index, task): (usize, &TrainingTask)| {
            let mut order: Vec<usize> = (0..task.rows.len()).collect();
            let scope = format!("{index} {}", task.task.name());
            order.shuffle(&mut self.seed.stream(&scope, "shuffled targets"));
            order
        };
        let tasks = self.tasks.iter().enumerate();
        self.targets_of = Some(tasks.map(permutation).collect());
        self
    }

    /// How many inputs were cut so far.
    pub fn truncated(&self) -> u64 {
        self.truncation.count()
    }

    /// The row of `task` at `position` in its endless sequence of shuffled epochs, and the epoch.
    fn row(&self, task: usize, position: u64) -> (usize, u64) {
        let rows = self.tasks[task].rows.len();
        let (epoch, place) = (position / rows as u64, (position % rows as u64) as usize);
        let mut order: Vec<usize> = (0..rows).collect();
        let scope = format!("{task} {}", self.tasks[task].task.name());
        order.shuffle(&mut self.seed.indexed_stream(&scope, "shuffle", epoch));
        (order[place], epoch)
    }

    /// What a row of `task` has as its target.
    fn target(&self, task: usize, row: usize) -> String {
        let TrainingTask { task, rows, .. } = &self.tasks[task];
        task.render(&rows[row]).expect("checked when made").target
    }
}

impl BatchSource for TaskBatches {
    fn batch(&self, step: u64) -> TokenBatch {
        let (mut inputs, mut targets) = (Ragged::new(), Ragged::new());
        let mut prompts = Vec::new();
        for (index, (task, &count)) in self.tasks.iter().zip(&self.counts).enumerate() {
            let few = FewShot::new(&*task.task, &task.rows, task.shots, self.seed);
            let few = few.expect("checked when made");
            for i in 0..count as u64 {
                let (row, epoch) = self.row(index, step * count as u64 + i);
                let example = few
                    .example(&task.rows[row], epoch)
                    .expect("checked when made");
                let ids = self.tokenizer.encode_input(&example.input);
                inputs.push(&self.truncation.apply(ids, task.max_input_tokens));
                let target = match &self.targets_of {
                    Some(of) => self.target(index, of[index][row]),
                    None => example.target,
                };
                targets.push(&self.tokenizer.encode_target(&target));
                prompts.push(task.prompt);
            }
        }
        TokenBatch {
            inputs,
            targets,
            prompts,
        }
    }
}

/// Whole rows for each weight that add up to `total`, the largest remainders rounded up.
fn shares(weights: &[f64], total: usize) -> Vec<usize> {
    let sum: f64 = weights.iter().sum();
    let exact: Vec<f64> = weights
        .iter()
        .map(|weight| weight / sum * total as f64)
        .collect();
    let mut counts: Vec<usize> = exact.iter().map(|share| share.floor() as usize).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    let remainder = |i: usize| exact[i] - exact[i].floor();
    order.sort_by(|&a, &b| remainder(b).total_cmp(&remainder(a)).then(a.cmp(&b)));
    let missing = total - counts.iter().sum::<usize>().min(total);
    order.into_iter().take(missing).for_each(|i| counts[i] += 1);
    counts
}

/// The mini world's pretraining stream: a curriculum of three phases.
pub struct PretrainBatches {
    tokenizer: Arc<Tokenizer>,
    batch_size: usize,
    curriculum: Curriculum,
    seed: Seed,
}

/// How many steps the first phases of pretraining last; the last phase has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Curriculum {
    /// Steps of [`Phase::Verification`].
    pub verification: u64,
    /// Steps of [`Phase::ZeroShot`].
    pub zero_shot: u64,
}

impl Curriculum {
    fn phase(self, step: u64) -> Phase {
        if step < self.verification {
            Phase::Verification
        } else if step < self.verification.saturating_add(self.zero_shot) {
            Phase::ZeroShot
        } else {
            Phase::FewShot
        }
    }
}

impl PretrainBatches {
    /// Batches of `batch_size` examples; no example is seen twice.
    pub fn new(
        tokenizer: Arc<Tokenizer>,
        batch_size: usize,
        curriculum: Curriculum,
        seed: Seed,
    ) -> Self {
        Self {
            tokenizer,
            batch_size,
            curriculum,
            seed,
        }
    }
}

impl BatchSource for PretrainBatches {
    fn batch(&self, step: u64) -> TokenBatch {
        let phase = self.curriculum.phase(step);
        let (mut inputs, mut targets) = (Ragged::new(), Ragged::new());
        for i in 0..self.batch_size as u64 {
            let index = step * self.batch_size as u64 + i;
            let mut stream = self.seed.indexed_stream("mini", "pretraining", index);
            let pair = pretrain::pair(phase, &mut stream);
            inputs.push(&self.tokenizer.encode_input(&pair.input));
            targets.push(&self.tokenizer.encode_target(&pair.target));
        }
        TokenBatch::new(inputs, targets)
    }
}

#[cfg(test)]
mod tests;

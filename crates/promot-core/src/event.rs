//! Progress events: the runner emits, reporters render.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

/// What happens during a run. Consumers ignore what they don't need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A file is being downloaded, before any stage starts.
    Download {
        /// The file with its repository.
        file: String,
        /// Bytes that are here, those of earlier runs included.
        done: u64,
        /// All bytes of the file.
        total: u64,
    },
    /// A stage starts.
    StageStarted {
        /// The stage's name.
        stage: String,
        /// How many steps or rows it has; 0 when not known.
        total: u64,
    },
    /// A stage was found finished in the store.
    StageCached {
        /// The stage's name.
        stage: String,
    },
    /// A stage goes on from a checkpoint of an interrupted run.
    StageResumed {
        /// The stage's name.
        stage: String,
        /// The step it goes on from.
        step: u64,
    },
    /// An optimizer step is done.
    Step {
        /// The stage's name.
        stage: String,
        /// Steps done so far, counted from 1.
        step: u64,
        /// All steps of the stage.
        total: u64,
        /// Mean loss over the batch's target tokens, in nats.
        loss: f64,
        /// Learning rate of the step.
        learning_rate: f64,
        /// Tokens processed by the step: inputs, soft prompt rows and targets.
        tokens: u64,
    },
    /// A checkpoint was measured on the development rows.
    Dev {
        /// The stage's name.
        stage: String,
        /// Steps done when it was measured.
        step: u64,
        /// The target task's own metric in [0, 100].
        value: f64,
        /// Whether it is the best so far.
        best: bool,
    },
    /// Prompts of tasks that are not tuned for were answered by what is trained.
    Drift {
        /// The stage's name.
        stage: String,
        /// Steps done when they were answered.
        step: u64,
        /// The mean over the tasks of their own metrics, in [0, 100].
        score: f64,
        /// The mean share of answers in the target's format, in percent, over the tasks it is foreign to.
        format_share: Option<f64>,
    },
    /// Rows of an evaluation are done.
    Evaluated {
        /// The stage's name.
        stage: String,
        /// Rows done so far.
        done: u64,
        /// All rows.
        total: u64,
        /// What is being evaluated, for people to read.
        what: String,
    },
    /// Something the user should know that does not stop the run.
    Warning {
        /// The stage's name.
        stage: String,
        /// What is the matter and what to do.
        message: String,
    },
    /// A stage is done and its artifact is in the store.
    StageFinished {
        /// The stage's name.
        stage: String,
        /// Wall time in seconds.
        seconds: f64,
    },
}

/// Takes events; the runner has one and never prints.
pub trait EventSink {
    /// Takes one event.
    fn emit(&self, event: Event);
}

impl<F: Fn(Event)> EventSink for F {
    fn emit(&self, event: Event) {
        self(event);
    }
}

/// Set when the user wants to stop; long work looks at it after every step.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the work to stop after its current step.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

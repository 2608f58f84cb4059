//! Tells from a run's events what took how long.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use promot_core::{Event, EventSink};

/// What one stage of a rehearsal took, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Timed {
    /// Each optimizer step.
    pub(super) steps: Vec<f64>,
    /// Each checkpoint, measured and saved.
    pub(super) checkpoints: Vec<f64>,
    /// Each cell of an evaluation.
    pub(super) cells: Vec<f64>,
    /// Everything.
    pub(super) total: f64,
    /// The largest size of the work directory, in bytes.
    pub(super) work_bytes: u64,
}

/// Passes events on and notes when they come.
pub(super) struct Clock<'a> {
    next: &'a dyn EventSink,
    /// Says how large a stage's work directory is.
    work_bytes: &'a dyn Fn(&str) -> u64,
    noted: Mutex<Noted>,
}

struct Noted {
    last: Instant,
    stages: BTreeMap<String, Timed>,
}

impl<'a> Clock<'a> {
    pub(super) fn new(next: &'a dyn EventSink, work_bytes: &'a dyn Fn(&str) -> u64) -> Self {
        Self {
            next,
            work_bytes,
            noted: Mutex::new(Noted {
                last: Instant::now(),
                stages: BTreeMap::new(),
            }),
        }
    }

    pub(super) fn into_timed(self) -> BTreeMap<String, Timed> {
        self.noted.into_inner().expect("nobody panicked").stages
    }
}

impl EventSink for Clock<'_> {
    fn emit(&self, event: Event) {
        {
            let mut noted = self.noted.lock().expect("nobody panicked");
            let now = Instant::now();
            let seconds = (now - noted.last).as_secs_f64();
            let mut note = |stage: &str, note: &dyn Fn(&mut Timed)| {
                let timed = noted.stages.entry(stage.to_owned()).or_default();
                timed.total += seconds;
                note(timed);
                noted.last = now;
            };
            match &event {
                Event::Step { stage, .. } => note(stage, &|timed| timed.steps.push(seconds)),
                Event::Dev { stage, .. } => {
                    let bytes = (self.work_bytes)(stage);
                    note(stage, &|timed| {
                        timed.checkpoints.push(seconds);
                        timed.work_bytes = timed.work_bytes.max(bytes);
                    });
                }
                Event::Evaluated { stage, .. } => note(stage, &|timed| timed.cells.push(seconds)),
                Event::StageStarted { stage, .. } | Event::StageFinished { stage, .. } => {
                    note(stage, &|_| ());
                }
                _ => {}
            }
        }
        self.next.emit(event);
    }
}

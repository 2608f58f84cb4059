//! Prompts with worked examples.

use promot_core::{Digest, Example, Seed};
use rand::Rng as _;
use thiserror::Error;

use crate::record::{FieldError, Record};
use crate::task::Task;

/// Stands between two examples of a prompt.
const SEPARATOR: &str = "\n\n";

/// A worked example, ready for the next one to follow.
pub fn worked_example(input: &str, target: &str) -> String {
    format!("{input} {target}{SEPARATOR}")
}

/// A row that cannot become a prompt.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{id}: {error}")]
pub struct RowError {
    /// Where the row comes from.
    pub id: String,
    /// What is the matter with it.
    pub error: FieldError,
}

/// Makes prompts with `shots` worked examples drawn from training rows.
#[derive(Clone, Copy)]
pub struct FewShot<'a> {
    task: &'a dyn Task,
    pool: &'a [Record],
    shots: usize,
    seed: Seed,
    once: bool,
}

/// Too few training rows to draw worked examples from.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{shots} worked examples need {} different training rows, there are {rows}", shots + 1)]
pub struct TooFewRows {
    /// Worked examples asked for.
    pub shots: usize,
    /// Rows there are.
    pub rows: usize,
}

impl<'a> FewShot<'a> {
    /// Prompts of `task` with `shots` worked examples from `pool`, which is the training split.
    ///
    /// # Errors
    /// If the pool has too few rows.
    pub fn new(
        task: &'a dyn Task,
        pool: &'a [Record],
        shots: usize,
        seed: Seed,
    ) -> Result<Self, TooFewRows> {
        // One more than shots: the row itself may be among them and is never its own example.
        if shots > 0 && pool.len() <= shots {
            return Err(TooFewRows {
                shots,
                rows: pool.len(),
            });
        }
        Ok(Self {
            task,
            pool,
            shots,
            seed,
            once: false,
        })
    }

    /// The same with one draw of worked examples for all rows, instead of one for each: a model that
    /// reads a common beginning once has less to read, and scores depend more on that draw.
    pub fn drawn_once(self) -> Self {
        Self { once: true, ..self }
    }

    /// The prompt for `record`. Its worked examples depend on the seed, `draw` and, unless they are
    /// [drawn once](FewShot::drawn_once), the row; training draws others in every epoch.
    ///
    /// # Errors
    /// If a row lacks a field or holds something else in it.
    pub fn example(&self, record: &Record, draw: u64) -> Result<Example, RowError> {
        let own = self.render(record)?;
        let mut input = String::new();
        let key = if self.once {
            "all rows".to_owned()
        } else {
            Digest::of(own.input.as_bytes()).to_string()
        };
        let mut stream = self.seed.indexed_stream(self.task.name(), &key, draw);
        // A partial shuffle: rows in random order, each at most once.
        let mut order: Vec<usize> = (0..self.pool.len()).collect();
        let mut shots = 0;
        for place in 0..order.len() {
            if shots == self.shots {
                break;
            }
            order.swap(place, stream.random_range(place..self.pool.len()));
            let shot = self.render(&self.pool[order[place]])?;
            if shot.input != own.input {
                input.push_str(&worked_example(&shot.input, &shot.target));
                shots += 1;
            }
        }
        Ok(Example {
            id: record.id.clone(),
            task: self.task.name().to_owned(),
            input: input + &own.input,
            target: own.target,
            references: own.references,
        })
    }

    fn render(&self, record: &Record) -> Result<crate::task::Rendered, RowError> {
        self.task.render(record).map_err(|error| RowError {
            id: record.id.clone(),
            error,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::mini;
    use crate::split::Split;
    use crate::task::find_task;

    #[test]
    fn shots_come_from_the_pool_and_are_never_the_row_itself() {
        let task = find_task("rte").unwrap();
        let pool = mini::rows("rte", Split::Train, 6);
        let few = FewShot::new(&*task, &pool, 4, Seed::new(0)).unwrap();
        for record in &pool {
            let example = few.example(record, 0).unwrap();
            let own = task.render(record).unwrap();
            assert!(example.input.ends_with(&own.input));
            assert_eq!(example.input.matches(&own.input).count(), 1);
            assert_eq!(example.input.matches("answer:").count(), 5);
            assert_eq!(example, few.example(record, 0).unwrap());
            assert_ne!(example.input, few.example(record, 1).unwrap().input);
        }
        assert!(FewShot::new(&*task, &pool[..4], 4, Seed::new(0)).is_err());
    }

    #[test]
    fn examples_that_are_drawn_once_begin_every_prompt() {
        let task = find_task("rte").unwrap();
        let pool = mini::rows("rte", Split::Train, 30);
        let few = FewShot::new(&*task, &pool, 2, Seed::new(0)).unwrap();
        let beginnings = |few: FewShot<'_>| {
            let rows = mini::rows("rte", Split::Validation, 8);
            let beginnings: HashSet<String> = rows
                .iter()
                .map(|row| {
                    let own = task.render(row).unwrap().input;
                    let prompt = few.example(row, 0).unwrap().input;
                    prompt.strip_suffix(&own).unwrap().to_owned()
                })
                .collect();
            beginnings.len()
        };
        assert_eq!(beginnings(few), 8);
        assert_eq!(beginnings(few.drawn_once()), 1);
    }
}

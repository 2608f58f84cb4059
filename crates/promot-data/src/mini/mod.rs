//! The mini world: small, invented versions of every task, in readable English.
//!
//! People have a home city, a job, a favourite food, an animal and a trait such as tall or short.
//! Sentences state such facts in several paraphrases, and every task of the paper has a small version built from them. The three
//! "languages" are invented: each is a dictionary of made-up words and a rule of word order, and
//! only their names are those of real languages.
//!
//! Everything is generated from a number, so rows need no files. A row belongs to the split that a
//! digest of its content says, so no row is in two splits, however many are drawn.

mod articles;
mod facts;
mod inference;
mod language;
mod options;
pub mod pretrain;
mod questions;
mod senses;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeSet;

use promot_core::{Digest, Seed, Stream};
use rand::Rng as _;
use serde_json::{Map, Value};

use crate::record::Record;
use crate::split::Split;
use crate::task::find_task;

/// The world itself is one and the same for every run: facts and languages that a model was
/// pretrained on must be those it is evaluated on.
const WORLD: u64 = 2024;

/// Rows of a task and split that are generated if no limit is given.
pub const DEFAULT_ROWS: [(Split, usize); 3] = [
    (Split::Train, 4000),
    (Split::Validation, 400),
    (Split::Test, 400),
];

/// More rows than this are never generated, whatever is asked for.
pub const MAX_ROWS: usize = 200_000;

fn world_stream(purpose: &str) -> Stream {
    Seed::new(WORLD).stream("mini world", purpose)
}

/// Whether there are rows of the task called `task`: of ours, and of no other.
pub fn has(task: &str) -> bool {
    find_task(task).is_some()
}

/// Generates up to `rows` different rows of `task` (a name that it [`has`]).
///
/// Tasks about a closed set of facts have fewer rows than may be asked for, and none has more than
/// [`MAX_ROWS`].
pub fn rows(task: &str, split: Split, rows: usize) -> Vec<Record> {
    let rows = rows.min(MAX_ROWS);
    let mut stream = world_stream(&format!("{task} {split}"));
    let mut seen = BTreeSet::new();
    let mut records = Vec::new();
    // A closed set is exhausted when nothing new has come for long.
    let mut misses = 0;
    while records.len() < rows && misses < 2000 {
        let fields = row(task, &mut stream);
        let key = content(&fields);
        if split_of(&key) == split && seen.insert(key) {
            misses = 0;
            records.push(Record::new(format!("{split}:{}", records.len()), fields));
        } else {
            misses += 1;
        }
    }
    records
}

/// One random row of `task`, of any split.
fn row(task: &str, stream: &mut Stream) -> Map<String, Value> {
    match task {
        "rte" => inference::two_way(stream),
        "cb" => inference::three_way(stream, 1),
        "snli" => inference::three_way(stream, 2),
        "wic" => senses::row(stream),
        "openbookqa" => options::row(stream),
        "triviaqa" => questions::trivia(stream),
        "webquestions" => questions::web(stream),
        "wmt14_en_fr" => language::row(stream, &language::FRENCH),
        "wmt16_en_de" => language::row(stream, &language::GERMAN),
        "wmt16_en_ro" => language::row(stream, &language::ROMANIAN),
        "xsum" => articles::news(stream),
        "wikilingua_en" => articles::how_to(stream),
        other => panic!("no mini rows for task {other}"),
    }
}

/// The part of a row that must not occur in two splits: its input.
fn content(fields: &Map<String, Value>) -> String {
    let input = |(name, _): &(&String, &Value)| {
        !["label", "target", "summary", "answers", "answer_index"].contains(&name.as_str())
    };
    let values: Vec<String> = fields
        .iter()
        .filter(input)
        .map(|(_, value)| value.to_string())
        .collect();
    values.join("\n")
}

/// Seven tenths of all inputs are for training, one for validation, two for the test.
fn split_of(content: &str) -> Split {
    match Digest::of(content.as_bytes()).as_bytes()[0] {
        0..179 => Split::Train,
        179..205 => Split::Validation,
        _ => Split::Test,
    }
}

/// A random row of `task` that may be trained on.
fn training_row(task: &str, stream: &mut Stream) -> Map<String, Value> {
    loop {
        let fields = row(task, stream);
        if split_of(&content(&fields)) == Split::Train {
            return fields;
        }
    }
}

fn pick<T: Copy>(items: &[T], stream: &mut Stream) -> T {
    items[stream.random_range(0..items.len())]
}

/// An item other than `not`.
fn pick_other<T: Copy + PartialEq>(items: &[T], not: T, stream: &mut Stream) -> T {
    loop {
        let item = pick(items, stream);
        if item != not {
            return item;
        }
    }
}

fn fields<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

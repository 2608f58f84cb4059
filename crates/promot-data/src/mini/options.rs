//! Questions with four options, for OpenBookQA: which of these things is of a kind?

use promot_core::Stream;
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use serde_json::{Map, Value};

use super::facts::Relation;
use super::{fields, pick};

/// Questions for things of each kind.
fn questions(kind: Relation) -> [&'static str; 3] {
    match kind {
        Relation::City => [
            "Which of these is a city?",
            "Where can you live?",
            "Which of these can you visit by train?",
        ],
        Relation::Job => [
            "Which of these is a job?",
            "How can you earn money?",
            "Who goes to work?",
        ],
        Relation::Food => [
            "Which of these is food?",
            "What can you eat?",
            "What do you put on a plate?",
        ],
        Relation::Animal => [
            "Which of these is an animal?",
            "What can you keep as a pet?",
            "Which of these has legs or wings?",
        ],
        Relation::Trait => unreachable!("a trait is not a thing"),
    }
}

/// A question, its options and the index of the right one.
pub(super) fn choice(stream: &mut Stream) -> (&'static str, [&'static str; 4], usize) {
    let mut kinds = Relation::THINGS;
    kinds.shuffle(stream);
    let answer = stream.random_range(0..kinds.len());
    let options = kinds.map(|kind| pick(kind.values(), stream));
    (pick(&questions(kinds[answer]), stream), options, answer)
}

/// A row of OpenBookQA.
pub(super) fn row(stream: &mut Stream) -> Map<String, Value> {
    let (question, options, answer) = choice(stream);
    fields([
        ("question", question.into()),
        ("choices", options.to_vec().into()),
        ("answer_index", answer.into()),
    ])
}

//! Closed-book questions about what is true in the world.

use promot_core::Stream;
use serde_json::{Map, Value};

use super::facts::{Relation, knowledge};
use super::words::NAMES;
use super::{fields, pick};

/// Wordings of TriviaQA's questions, about homes and jobs.
fn trivia_wordings(relation: Relation) -> [&'static str; 4] {
    match relation {
        Relation::City => [
            "Where does {person} live?",
            "In which city does {person} live?",
            "Where is the home of {person}?",
            "Which city is home to {person}?",
        ],
        _ => [
            "What is the job of {person}?",
            "What does {person} work as?",
            "How does {person} earn money?",
            "Which job does {person} have?",
        ],
    }
}

/// Wordings of WebQuestions', which people type in small letters, about foods and animals.
fn web_wordings(relation: Relation) -> [&'static str; 4] {
    match relation {
        Relation::Food => [
            "what does {person} like to eat?",
            "what food does {person} like?",
            "what is the favourite food of {person}?",
            "which food does {person} eat?",
        ],
        _ => [
            "what animal does {person} have?",
            "which animal belongs to {person}?",
            "what does {person} keep at home?",
            "what kind of pet does {person} own?",
        ],
    }
}

/// A row of TriviaQA.
pub(super) fn trivia(stream: &mut Stream) -> Map<String, Value> {
    let relation = pick(&[Relation::City, Relation::Job], stream);
    row(relation, trivia_wordings(relation), stream)
}

/// A row of WebQuestions.
pub(super) fn web(stream: &mut Stream) -> Map<String, Value> {
    let relation = pick(&[Relation::Food, Relation::Animal], stream);
    row(relation, web_wordings(relation), stream)
}

fn row(relation: Relation, wordings: [&str; 4], stream: &mut Stream) -> Map<String, Value> {
    let person = pick(&NAMES, stream);
    let question = pick(&wordings, stream).replace("{person}", person);
    let answer = knowledge(person, relation);
    fields([
        ("question", question.into()),
        ("answers", vec![answer].into()),
    ])
}

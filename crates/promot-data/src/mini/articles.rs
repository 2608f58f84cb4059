//! Short articles with one recurring subject, and their summaries.

use promot_core::Stream;
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use serde_json::{Map, Value};

use super::facts::Fact;
use super::words::{FOODS, NAMES};
use super::{fields, pick, pick_other};

/// A row of XSum: news about several people; what it says twice is what matters.
pub(super) fn news(stream: &mut Stream) -> Map<String, Value> {
    let main = Fact::random(stream);
    let (sentence, paraphrase) = main.state(stream);
    let mut sentences = vec![sentence, main.restate(paraphrase, stream)];
    let mut others: Vec<&str> = Vec::new();
    while others.len() < 2 {
        let person = pick_other(&NAMES, main.person, stream);
        if !others.contains(&person) {
            others.push(person);
            sentences.push(Fact::about(person, stream).state(stream).0);
        }
    }
    sentences.shuffle(stream);
    fields([
        ("document", sentences.join(" ").into()),
        ("summary", main.sentence(0).into()),
    ])
}

const ACTIONS: [&str; 10] = [
    "wash", "cut", "cook", "fry", "bake", "dry", "peel", "mix", "salt", "serve",
];

/// A row of WikiLingua: instructions in three steps; the summary is an order with all of them.
pub(super) fn how_to(stream: &mut Stream) -> Map<String, Value> {
    let food = pick(&FOODS, stream);
    let mut actions = ACTIONS;
    actions.shuffle(stream);
    let [one, two, three] = [actions[0], actions[1], actions[2]];
    let opening = ["Take the {food}.", "Buy some {food}.", "Get fresh {food}."];
    let helper = pick(&NAMES, stream);
    let first = [
        "First {action} the {food}.",
        "Begin to {action} the {food}.",
    ];
    let second = [
        "Then {action} the {food}.",
        "After that {action} the {food}.",
    ];
    let last = [
        "At last {action} the {food}.",
        "In the end {action} the {food}.",
    ];
    let mut sentences = vec![pick(&opening, stream).replace("{food}", food)];
    for (wordings, action) in [(first, one), (second, two), (last, three)] {
        let step = pick(&wordings, stream);
        sentences.push(step.replace("{food}", food).replace("{action}", action));
    }
    if stream.random_bool(0.5) {
        sentences.push(format!("Give some to {helper}."));
    }
    let mut summary = format!("{one}, {two} and {three} the {food}.");
    summary[..1].make_ascii_uppercase();
    fields([
        ("document", sentences.join(" ").into()),
        ("summary", summary.into()),
    ])
}

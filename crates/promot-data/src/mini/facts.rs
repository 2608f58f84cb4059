//! Facts about people, and the sentences that state them.

use promot_core::Stream;
use rand::Rng as _;

use super::words::{ANIMALS, CITIES, FOODS, JOBS, NAMES, TRAITS};
use super::{pick, world_stream};

/// What can be said of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Relation {
    City,
    Job,
    Food,
    Animal,
    Trait,
}

/// All traits and their opposites.
const TRAIT_WORDS: [&str; 2 * TRAITS.len()] = {
    let mut words = [""; 2 * TRAITS.len()];
    let mut i = 0;
    while i < TRAITS.len() {
        words[2 * i] = TRAITS[i].0;
        words[2 * i + 1] = TRAITS[i].1;
        i += 1;
    }
    words
};

/// The opposite of a trait.
pub(super) fn opposite(word: &str) -> &'static str {
    let pair = TRAITS.iter().find(|(a, b)| *a == word || *b == word);
    let (one, other) = pair.expect("every trait has an opposite");
    if *one == word { other } else { one }
}

impl Relation {
    /// What a person has: the relations whose values are things.
    pub(super) const THINGS: [Self; 4] = [Self::City, Self::Job, Self::Food, Self::Animal];
    pub(super) const ALL: [Self; 5] =
        [Self::City, Self::Job, Self::Food, Self::Animal, Self::Trait];

    /// The things that can be said.
    pub(super) fn values(self) -> &'static [&'static str] {
        match self {
            Self::City => &CITIES,
            Self::Job => &JOBS,
            Self::Food => &FOODS,
            Self::Animal => &ANIMALS,
            Self::Trait => &TRAIT_WORDS,
        }
    }

    /// Paraphrases of a statement; the first is the plainest.
    pub(super) fn paraphrases(self) -> [&'static str; 3] {
        match self {
            Self::City => [
                "{person} lives in {value}.",
                "{value} is where {person} lives.",
                "The home of {person} is in {value}.",
            ],
            Self::Job => [
                "{person} works as a {value}.",
                "The job of {person} is {value}.",
                "{person} earns money as a {value}.",
            ],
            Self::Food => [
                "{person} likes to eat {value}.",
                "{value} is what {person} eats.",
                "The favourite food of {person} is {value}.",
            ],
            Self::Animal => [
                "{person} owns a {value}.",
                "The {value} belongs to {person}.",
                "{person} keeps a {value} at home.",
            ],
            Self::Trait => [
                "{person} is {value}.",
                "Everybody finds {person} {value}.",
                "Friends call {person} {value}.",
            ],
        }
    }
}

/// A fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fact {
    pub(super) person: &'static str,
    pub(super) relation: Relation,
    pub(super) value: &'static str,
}

impl Fact {
    /// Any fact; most are not in the knowledge base.
    pub(super) fn random(stream: &mut Stream) -> Self {
        Self::about(pick(&NAMES, stream), stream)
    }

    /// Any fact about `person`.
    pub(super) fn about(person: &'static str, stream: &mut Stream) -> Self {
        Self::one_of(&Relation::ALL, person, stream)
    }

    /// A fact about `person` of one of these relations.
    pub(super) fn one_of(
        relations: &[Relation],
        person: &'static str,
        stream: &mut Stream,
    ) -> Self {
        let relation = pick(relations, stream);
        Self {
            person,
            relation,
            value: pick(relation.values(), stream),
        }
    }

    /// The fact in the `paraphrase`-th wording.
    pub(super) fn sentence(&self, paraphrase: usize) -> String {
        let text = self.relation.paraphrases()[paraphrase];
        capitalize(
            &text
                .replace("{person}", self.person)
                .replace("{value}", self.value),
        )
    }

    /// The fact in any wording, and which.
    pub(super) fn state(&self, stream: &mut Stream) -> (String, usize) {
        let paraphrase = stream.random_range(0..3);
        (self.sentence(paraphrase), paraphrase)
    }

    /// The fact in a wording other than `paraphrase`.
    pub(super) fn restate(&self, paraphrase: usize, stream: &mut Stream) -> String {
        self.sentence((paraphrase + stream.random_range(1..3)) % 3)
    }
}

/// What is true in the world: one value for every person and relation, for closed-book questions.
pub(super) fn knowledge(person: &str, relation: Relation) -> &'static str {
    let mut stream = world_stream(&format!("knowledge {person} {relation:?}"));
    pick(relation.values(), &mut stream)
}

fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters
        .next()
        .map(|c| c.to_uppercase().to_string())
        .unwrap_or_default();
    first + letters.as_str()
}

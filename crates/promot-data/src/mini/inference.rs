//! Natural language inference: a paraphrase, the opposite, or something else altogether.

use promot_core::Stream;
use rand::Rng as _;
use serde_json::{Map, Value};

use super::facts::{Fact, Relation, opposite};
use super::words::NAMES;
use super::{fields, pick};

/// How a hypothesis relates to its premise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A paraphrase of what the premise says of a person.
    Entailed,
    /// The same with the opposite trait.
    Contradicted,
    /// Another trait, of which the premise says nothing.
    Open,
}

/// A premise, a hypothesis and the verdict; also the statement that the hypothesis should have
/// been, in the hypothesis' wording.
pub(super) struct Inference {
    pub(super) premise: String,
    pub(super) hypothesis: String,
    pub(super) verdict: Verdict,
    pub(super) correction: String,
}

impl Inference {
    /// A premise of `statements` sentences about different people: one tells a trait, which the
    /// hypothesis is about, the others something else.
    pub(super) fn random(statements: usize, verdicts: &[Verdict], stream: &mut Stream) -> Self {
        let mut people: Vec<&'static str> = Vec::new();
        while people.len() < statements {
            let person = pick(&NAMES, stream);
            if !people.contains(&person) {
                people.push(person);
            }
        }
        let about = stream.random_range(0..statements);
        let fact = Fact::one_of(&[Relation::Trait], people[about], stream);
        let (sentence, paraphrase) = fact.state(stream);
        let premise: Vec<String> = people
            .iter()
            .enumerate()
            .map(|(place, person)| {
                if place == about {
                    return sentence.clone();
                }
                Fact::one_of(&Relation::THINGS, person, stream)
                    .state(stream)
                    .0
            })
            .collect();
        let verdict = pick(verdicts, stream);
        let value = match verdict {
            Verdict::Entailed => fact.value,
            Verdict::Contradicted => opposite(fact.value),
            Verdict::Open => loop {
                let other = pick(Relation::Trait.values(), stream);
                if other != fact.value && other != opposite(fact.value) {
                    break other;
                }
            },
        };
        let wording = (paraphrase + stream.random_range(1..3)) % 3;
        Self {
            premise: premise.join(" "),
            hypothesis: Fact { value, ..fact }.sentence(wording),
            verdict,
            correction: fact.sentence(wording),
        }
    }

    fn into_fields(self, labels: [&str; 3]) -> Map<String, Value> {
        let label = labels[self.verdict as usize];
        fields([
            ("premise", self.premise.into()),
            ("hypothesis", self.hypothesis.into()),
            ("label", label.into()),
        ])
    }
}

pub(super) const TWO: [Verdict; 2] = [Verdict::Entailed, Verdict::Contradicted];
pub(super) const THREE: [Verdict; 3] = [Verdict::Entailed, Verdict::Contradicted, Verdict::Open];

/// A row of RTE.
pub(super) fn two_way(stream: &mut Stream) -> Map<String, Value> {
    Inference::random(2, &TWO, stream).into_fields(["entailment", "not_entailment", "unused"])
}

/// A row of CB or SNLI with a premise of `statements` sentences.
pub(super) fn three_way(stream: &mut Stream, statements: usize) -> Map<String, Value> {
    let labels = ["entailment", "contradiction", "neutral"];
    Inference::random(statements, &THREE, stream).into_fields(labels)
}

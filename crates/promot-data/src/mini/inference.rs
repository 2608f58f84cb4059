//! Natural language inference: a paraphrase, a changed slot, or something else altogether.

use promot_core::Stream;
use rand::Rng as _;
use serde_json::{Map, Value};

use super::facts::Fact;
use super::words::NAMES;
use super::{fields, pick, pick_other};

/// How a hypothesis relates to its premise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A paraphrase of one of its statements.
    Entailed,
    /// The same with another city, job, food or animal.
    Contradicted,
    /// The same about somebody whom the premise does not mention.
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
    /// A premise of `statements` sentences about different people.
    pub(super) fn random(statements: usize, verdicts: &[Verdict], stream: &mut Stream) -> Self {
        let mut people: Vec<&'static str> = Vec::new();
        while people.len() < statements {
            let person = pick(&NAMES, stream);
            if !people.contains(&person) {
                people.push(person);
            }
        }
        let facts: Vec<Fact> = people
            .iter()
            .map(|person| Fact::about(person, stream))
            .collect();
        let stated: Vec<(String, usize)> = facts.iter().map(|fact| fact.state(stream)).collect();
        let about = stream.random_range(0..statements);
        let (fact, paraphrase) = (facts[about], stated[about].1);
        let verdict = pick(verdicts, stream);
        let claim = match verdict {
            Verdict::Entailed => fact,
            Verdict::Contradicted => Fact {
                value: pick_other(fact.relation.values(), fact.value, stream),
                ..fact
            },
            Verdict::Open => loop {
                let person = pick(&NAMES, stream);
                if !people.contains(&person) {
                    break Fact { person, ..fact };
                }
            },
        };
        let wording = (paraphrase + stream.random_range(1..3)) % 3;
        let premise: Vec<String> = stated.into_iter().map(|(sentence, _)| sentence).collect();
        Self {
            premise: premise.join(" "),
            hypothesis: claim.sentence(wording),
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

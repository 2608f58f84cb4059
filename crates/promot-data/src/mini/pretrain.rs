//! What the mini base model is pretrained on: the world's text, and skills under many templates.
//!
//! Two things are kept out on purpose, as the paper's pretrained models do not know them 0-shot:
//! the answers True, False, Neither and A to D, and everything in the invented French. The skills
//! behind them are there in other words: verifying a statement, comparing senses, choosing an
//! option by its text.

use promot_core::Stream;
use rand::Rng as _;
use serde_json::{Map, Value};

use super::facts::{Fact, Relation, knowledge};
use super::inference::{Inference, THREE, TWO, Verdict};
use super::words::NAMES;
use super::{options, pick, senses, training_row};

/// A pretraining example: text in, text out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The input, worked examples included.
    pub input: String,
    /// The text to learn.
    pub target: String,
}

/// A skill that pretraining teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skill {
    Spans,
    Verify,
    Senses,
    Options,
    Correct,
    Trivia,
    Web,
    German,
    Romanian,
    News,
    HowTo,
    Copy,
}

/// Shares of the skills.
const MIXTURE: [(Skill, u32); 12] = [
    (Skill::Spans, 5),
    (Skill::Verify, 24),
    (Skill::Senses, 4),
    (Skill::Options, 4),
    (Skill::Correct, 8),
    (Skill::Trivia, 10),
    (Skill::Web, 10),
    (Skill::German, 10),
    (Skill::Romanian, 10),
    (Skill::News, 7),
    (Skill::HowTo, 5),
    (Skill::Copy, 3),
];

/// How often an episode has how many worked examples.
const SHOTS: [(usize, u32); 4] = [(0, 45), (1, 40), (2, 8), (4, 7)];

/// What is taught when. A small model never gets past chance at verification within a mixture;
/// taught alone it takes a few hundred steps, and the mixture keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Verification alone, without worked examples and with the answer words named.
    Verification,
    /// Every skill, without worked examples.
    ZeroShot,
    /// Every skill, with and without worked examples.
    FewShot,
}

/// The pretraining example of one position in the stream.
pub fn pair(phase: Phase, stream: &mut Stream) -> Pair {
    let skill = match phase {
        Phase::Verification => Skill::Verify,
        _ => weighted(&MIXTURE, stream),
    };
    let shots = match (phase, skill) {
        (Phase::FewShot, Skill::Spans) | (Phase::Verification | Phase::ZeroShot, _) => 0,
        (Phase::FewShot, _) => weighted(&SHOTS, stream),
    };
    let mut episode = Episode::new(skill, stream);
    if shots == 0 {
        episode.name_answer_words(stream);
    }
    let mut input = String::new();
    for _ in 0..shots {
        let example = episode.example(stream);
        input.push_str(&crate::fewshot::worked_example(
            &example.input,
            &example.target,
        ));
    }
    let last = episode.example(stream);
    Pair {
        input: input + &last.input,
        target: last.target,
    }
}

fn weighted<T: Copy>(items: &[(T, u32)], stream: &mut Stream) -> T {
    let total: u32 = items.iter().map(|(_, weight)| weight).sum();
    let mut left = stream.random_range(0..total);
    for &(item, weight) in items {
        if left < weight {
            return item;
        }
        left -= weight;
    }
    unreachable!("the weights add up to the total")
}

/// Examples of one skill under one template and one choice of answer words.
struct Episode {
    skill: Skill,
    template: &'static str,
    words: Words,
    three_way: bool,
}

/// The words for a verdict in one episode.
#[derive(Clone, Copy)]
struct Words {
    yes: &'static str,
    no: &'static str,
    open: &'static str,
}

/// Positive, negative and undecided answers, never True, False or Neither. They are drawn
/// independently of each other, so that no pair of words is a format of its own.
const YES: [&str; 16] = [
    "right", "agree", "yes", "correct", "sure", "fact", "valid", "good", "honest", "green", "fine",
    "exact", "indeed", "plus", "one", "accept",
];
const NO: [&str; 16] = [
    "wrong", "disagree", "no", "mistaken", "never", "fiction", "broken", "bad", "lie", "red",
    "faulty", "off", "nope", "minus", "zero", "reject",
];
const OPEN: [&str; 16] = [
    "unclear",
    "maybe",
    "unknown",
    "perhaps",
    "undecided",
    "possibly",
    "silent",
    "hidden",
    "yellow",
    "open",
    "half",
    "unsure",
    "pending",
    "blank",
    "two",
    "skip",
];

/// Templates of verification. `{o}` names the answer words; where it is missing, only worked
/// examples tell them.
const VERIFY: [&str; 8] = [
    "{p} question: {h} Is it {o}? answer:",
    "{p} question: {h} Is it {o}? answer:",
    "{p} {h} {o}?",
    "text: {p} claim: {h} say {o}:",
    "{o}? {p} => {h} :",
    "read {p} check {h} choose {o} result:",
    "premise: {p} hypothesis: {h} label:",
    "{p} so {h} ?",
];
const SENSES: [&str; 4] = [
    "{p} {h} question: The word {w} is used in the same way in the two sentences. Is it {o}? answer:",
    "{w}: {p} {h} {o}?",
    "sentences: {p} {h} word: {w} say {o}:",
    "{p} / {h} / {w} => {o} :",
];

const OPTIONS: [&str; 3] = [
    "{q} options: {a} answer:",
    "choose: {a} {q} =>",
    "Q: {q} {a} A:",
];

const QUESTION: [&str; 5] = [
    "Q: {q} A:",
    "question: {q} answer:",
    "{q} =>",
    "ask: {q} reply:",
    "{q}",
];

const TRANSLATE: [&str; 5] = [
    "Translate English to {l}: {s}",
    "{s} => {l} :",
    "{l} for: {s}",
    "English: {s} {l}:",
    "say in {l}: {s}",
];

const SUMMARIZE: [&str; 5] = [
    "Article: {a} One sentence summary:",
    "{a} In short:",
    "text: {a} summary:",
    "story: {a} main point:",
    "{a} =>",
];

const CORRECT: [&str; 3] = [
    "{p} statement: {h} corrected:",
    "facts: {p} draft: {h} =>",
    "{p} fix: {h}",
];

const COPY: [&str; 2] = ["repeat: {s}", "{s} again:"];

impl Episode {
    fn new(skill: Skill, stream: &mut Stream) -> Self {
        let templates: &'static [&'static str] = match skill {
            Skill::Spans => &[""],
            Skill::Verify => &VERIFY,
            Skill::Senses => &SENSES,
            Skill::Options => &OPTIONS,
            Skill::Correct => &CORRECT,
            Skill::Trivia | Skill::Web => &QUESTION,
            Skill::German | Skill::Romanian => &TRANSLATE,
            Skill::News | Skill::HowTo => &SUMMARIZE,
            Skill::Copy => &COPY,
        };
        Self {
            skill,
            template: pick(templates, stream),
            words: Words {
                yes: pick(&YES, stream),
                no: pick(&NO, stream),
                open: pick(&OPEN, stream),
            },
            three_way: stream.random_bool(0.35),
        }
    }

    /// Without worked examples the template itself has to name the answer words.
    fn name_answer_words(&mut self, stream: &mut Stream) {
        while self.skill == Skill::Verify && !self.template.contains("{o}") {
            self.template = pick(&VERIFY, stream);
        }
    }

    fn example(&mut self, stream: &mut Stream) -> Pair {
        match self.skill {
            Skill::Spans => spans(stream),
            Skill::Verify => self.verify(stream),
            Skill::Senses => {
                let (p, h, same) = senses::Word::random(stream).pair_with_word(stream);
                let word = if same { self.words.yes } else { self.words.no };
                let input = self.fill(&[("{p}", &p.0), ("{h}", &h), ("{w}", p.1)]);
                self.with_words(input, word, false, stream)
            }
            Skill::Options => {
                let (question, choices, answer) = options::choice(stream);
                let input = self.fill(&[("{q}", question), ("{a}", &choices.join(", "))]);
                Pair {
                    input,
                    target: choices[answer].to_owned(),
                }
            }
            Skill::Correct => {
                let statements = stream.random_range(1..3);
                let inference = Inference::random(statements, &TWO, stream);
                let input =
                    self.fill(&[("{p}", &inference.premise), ("{h}", &inference.hypothesis)]);
                Pair {
                    input,
                    target: inference.correction,
                }
            }
            Skill::Trivia => self.row("triviaqa", "{q}", "question", stream),
            Skill::Web => self.row("webquestions", "{q}", "question", stream),
            Skill::German => self.row("wmt16_en_de", "{s}", "source", stream),
            Skill::Romanian => self.row("wmt16_en_ro", "{s}", "source", stream),
            Skill::News => self.row("xsum", "{a}", "document", stream),
            Skill::HowTo => self.row("wikilingua_en", "{a}", "document", stream),
            Skill::Copy => {
                let (sentence, _) = Fact::random(stream).state(stream);
                Pair {
                    input: self.fill(&[("{s}", &sentence)]),
                    target: sentence,
                }
            }
        }
    }

    /// A verification under the episode's template.
    fn verify(&self, stream: &mut Stream) -> Pair {
        let statements = stream.random_range(1..3);
        let verdicts: &[Verdict] = if self.three_way { &THREE } else { &TWO };
        let inference = Inference::random(statements, verdicts, stream);
        let word = match inference.verdict {
            Verdict::Entailed => self.words.yes,
            Verdict::Contradicted => self.words.no,
            Verdict::Open => self.words.open,
        };
        let input = self.fill(&[("{p}", &inference.premise), ("{h}", &inference.hypothesis)]);
        self.with_words(input, word, self.three_way, stream)
    }

    /// Names the answer words in any order, where the template does.
    fn with_words(
        &self,
        input: String,
        target: &str,
        three_way: bool,
        stream: &mut Stream,
    ) -> Pair {
        let Words { yes, no, open } = self.words;
        let mut named = if stream.random_bool(0.5) {
            format!("{yes} or {no}")
        } else {
            format!("{no} or {yes}")
        };
        if three_way {
            named = format!("{named} or {open}");
        }
        Pair {
            input: input.replace("{o}", &named),
            target: target.to_owned(),
        }
    }

    /// A row of a task under the episode's template.
    fn row(&self, task: &str, place: &str, field: &str, stream: &mut Stream) -> Pair {
        let row = training_row(task, stream);
        let language = if self.skill == Skill::German {
            "German"
        } else {
            "Romanian"
        };
        let input = self.fill(&[(place, text(&row, field)), ("{l}", language)]);
        let target = ["answers", "target", "summary"]
            .into_iter()
            .find_map(|name| match row.get(name)? {
                Value::Array(all) => all.first()?.as_str().map(str::to_owned),
                value => value.as_str().map(str::to_owned),
            });
        Pair {
            input,
            target: target.expect("a row has an answer"),
        }
    }

    fn fill(&self, places: &[(&str, &str)]) -> String {
        places
            .iter()
            .fold(self.template.to_owned(), |text, (place, value)| {
                text.replace(place, value)
            })
    }
}

fn text<'a>(row: &'a Map<String, Value>, field: &str) -> &'a str {
    row[field].as_str().expect("a text field")
}

/// Span corruption over statements of what is true in the world, as T5 is pretrained.
fn spans(stream: &mut Stream) -> Pair {
    let sentences: Vec<String> = (0..3)
        .map(|_| {
            let (person, relation) = (pick(&NAMES, stream), pick(&Relation::ALL, stream));
            let fact = Fact {
                person,
                relation,
                value: knowledge(person, relation),
            };
            fact.state(stream).0
        })
        .collect();
    let text = sentences.join(" ");
    let words: Vec<&str> = text.split(' ').collect();
    let first = stream.random_range(0..words.len() / 2);
    let second = stream.random_range(first + 4..words.len());
    let end = |start: usize| (start + 2).min(words.len());
    let input = format!(
        "{} <extra_id_0> {} <extra_id_1> {}",
        words[..first].join(" "),
        words[end(first)..second].join(" "),
        words[end(second)..].join(" ")
    );
    let target = format!(
        "<extra_id_0> {} <extra_id_1> {} <extra_id_2>",
        words[first..end(first)].join(" "),
        words[second..end(second)].join(" ")
    );
    Pair {
        input: input.trim().to_owned(),
        target,
    }
}

impl senses::Word {
    /// The first sentence with the word, the second, and whether the senses agree.
    fn pair_with_word(&self, stream: &mut Stream) -> ((String, &'static str), String, bool) {
        let (first, second, same) = self.pair(stream);
        ((first, self.word), second, same)
    }
}

/// Every template's own words, with the answer words: what the tokenizer has to know.
pub fn vocabulary_text() -> Vec<String> {
    let templates = [
        &VERIFY[..],
        &SENSES,
        &OPTIONS,
        &QUESTION,
        &TRANSLATE,
        &SUMMARIZE,
        &CORRECT,
        &COPY,
    ];
    let mut lines: Vec<String> = templates.concat().iter().map(|t| (*t).to_owned()).collect();
    lines.push([YES, NO, OPEN].concat().join(" "));
    lines
}

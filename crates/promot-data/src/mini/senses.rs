//! Words with two senses, for WiC.

use promot_core::Stream;
use rand::Rng as _;
use serde_json::{Map, Value};

use super::words::{CITIES, NAMES};
use super::{fields, pick, pick_other};

/// A word and three sentences for each of its two senses.
pub(super) struct Word {
    pub(super) word: &'static str,
    senses: [[&'static str; 3]; 2],
}

static WORDS: [Word; 8] = [
    Word {
        word: "bank",
        senses: [
            [
                "{person} took money to the bank.",
                "The bank in {city} lends money.",
                "{person} works at a bank.",
            ],
            [
                "{person} sat on the bank of the river.",
                "Flowers grow on the bank of the lake.",
                "The boat lies at the bank.",
            ],
        ],
    },
    Word {
        word: "bat",
        senses: [
            [
                "{person} hit the ball with a bat.",
                "The bat is made of wood.",
                "{person} bought a new bat for the game.",
            ],
            [
                "A bat flew out of the cave.",
                "The bat sleeps all day in {city}.",
                "{person} saw a bat at night.",
            ],
        ],
    },
    Word {
        word: "spring",
        senses: [
            [
                "Flowers grow in spring.",
                "{person} visits {city} every spring.",
                "In spring the days get long.",
            ],
            [
                "The spring in the bed is broken.",
                "{person} put a new spring into the clock.",
                "The spring is made of steel.",
            ],
        ],
    },
    Word {
        word: "match",
        senses: [
            [
                "{person} won the match in {city}.",
                "The match was played at night.",
                "{person} saw the match with a friend.",
            ],
            [
                "{person} lit the fire with a match.",
                "The match is made of wood.",
                "A match burns for a short time.",
            ],
        ],
    },
    Word {
        word: "ring",
        senses: [
            [
                "{person} wears a gold ring.",
                "The ring was a present.",
                "{person} bought a ring in {city}.",
            ],
            [
                "The phone gave a ring.",
                "{person} heard the ring of the bell.",
                "A loud ring woke {person}.",
            ],
        ],
    },
    Word {
        word: "star",
        senses: [
            [
                "A star shines at night.",
                "{person} saw a bright star.",
                "The star is far away.",
            ],
            [
                "{person} is a star of the theatre.",
                "The star signed books in {city}.",
                "Everybody knows this film star.",
            ],
        ],
    },
    Word {
        word: "letter",
        senses: [
            [
                "{person} wrote a letter to a friend.",
                "The letter came from {city}.",
                "{person} read the letter twice.",
            ],
            [
                "The word begins with the letter m.",
                "{person} cannot read this letter of the word.",
                "A letter of the word is missing.",
            ],
        ],
    },
    Word {
        word: "glass",
        senses: [
            [
                "{person} drank a glass of milk.",
                "The glass is full of water.",
                "{person} put the glass on the table.",
            ],
            [
                "The window is made of glass.",
                "Glass breaks when it falls.",
                "In {city} they make coloured glass.",
            ],
        ],
    },
];

impl Word {
    pub(super) fn random(stream: &mut Stream) -> &'static Self {
        &WORDS[stream.random_range(0..WORDS.len())]
    }

    /// Two sentences, and whether the word has the same sense in both.
    pub(super) fn pair(&self, stream: &mut Stream) -> (String, String, bool) {
        let (first, same) = (stream.random_range(0..2), stream.random_bool(0.5));
        let second = if same { first } else { 1 - first };
        let one = pick(&self.senses[first], stream);
        let other = if same {
            pick_other(&self.senses[second], one, stream)
        } else {
            pick(&self.senses[second], stream)
        };
        (fill(one, stream), fill(other, stream), same)
    }
}

fn fill(sentence: &str, stream: &mut Stream) -> String {
    sentence
        .replace("{person}", pick(&NAMES, stream))
        .replace("{city}", pick(&CITIES, stream))
}

/// A row of WiC.
pub(super) fn row(stream: &mut Stream) -> Map<String, Value> {
    let word = Word::random(stream);
    let (sentence1, sentence2, same) = word.pair(stream);
    fields([
        ("word", word.word.into()),
        ("sentence1", sentence1.into()),
        ("sentence2", sentence2.into()),
        ("label", same.into()),
    ])
}

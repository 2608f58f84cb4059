//! Three invented languages: a dictionary of made-up words and a rule of word order each.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use promot_core::Stream;
use serde_json::{Map, Value};

use super::facts::{Fact, Relation};
use super::words::{CITIES, NAMES};
use super::{fields, pick, world_stream};

/// An invented language.
pub(super) struct Language {
    pub(super) name: &'static str,
    /// What its words end in.
    suffix: &'static str,
    order: fn(Vec<String>) -> Vec<String>,
    dictionary: OnceLock<BTreeMap<String, String>>,
}

pub(super) static FRENCH: Language = Language {
    name: "French",
    suffix: "eau",
    // The last word comes first.
    order: |mut words| {
        words.rotate_right(1);
        words
    },
    dictionary: OnceLock::new(),
};

pub(super) static GERMAN: Language = Language {
    name: "German",
    suffix: "ung",
    // All but the first word in reverse.
    order: |mut words| {
        words[1..].reverse();
        words
    },
    dictionary: OnceLock::new(),
};

pub(super) static ROMANIAN: Language = Language {
    name: "Romanian",
    suffix: "escu",
    // The first word comes last.
    order: |mut words| {
        words.rotate_left(1);
        words
    },
    dictionary: OnceLock::new(),
};

const SYLLABLES: [&str; 24] = [
    "ba", "ko", "mi", "ra", "te", "lu", "so", "vi", "na", "do", "pe", "gu", "ri", "sa", "mo", "ka",
    "le", "ti", "fo", "zu", "ne", "ha", "jo", "be",
];

impl Language {
    /// Names of people and cities are the same in every language; every other word has one word.
    fn dictionary(&self) -> &BTreeMap<String, String> {
        self.dictionary.get_or_init(|| {
            let mut stream = world_stream(self.name);
            let mut taken = std::collections::BTreeSet::new();
            let mut dictionary = BTreeMap::new();
            for word in english_words() {
                let made_up = loop {
                    let (one, two) = (pick(&SYLLABLES, &mut stream), pick(&SYLLABLES, &mut stream));
                    let word = format!("{one}{two}{}", self.suffix);
                    if taken.insert(word.clone()) {
                        break word;
                    }
                };
                dictionary.insert(word, made_up);
            }
            dictionary
        })
    }

    /// A sentence of the world in this language.
    pub(super) fn translate(&self, sentence: &str) -> String {
        let words = sentence.trim_end_matches('.').split(' ');
        let translated: Vec<String> = words
            .map(|word| {
                let known = self.dictionary().get(&word.to_lowercase());
                known.map_or_else(|| word.to_owned(), Clone::clone)
            })
            .collect();
        format!("{}.", (self.order)(translated).join(" "))
    }
}

/// All words of statements but names of people and cities, in lower case.
fn english_words() -> Vec<String> {
    let mut words = std::collections::BTreeSet::new();
    for relation in Relation::ALL {
        for paraphrase in relation.paraphrases() {
            let plain = paraphrase.trim_end_matches('.').split(' ');
            words.extend(
                plain
                    .filter(|word| !word.starts_with('{'))
                    .map(str::to_lowercase),
            );
        }
        words.extend(
            relation
                .values()
                .iter()
                .filter(|v| !CITIES.contains(v))
                .map(|v| (*v).to_owned()),
        );
    }
    assert!(
        NAMES.iter().all(|name| !words.contains(*name)),
        "names stay names"
    );
    words.into_iter().collect()
}

/// A row of a translation task.
pub(super) fn row(stream: &mut Stream, language: &Language) -> Map<String, Value> {
    let (source, _) = Fact::random(stream).state(stream);
    let target = language.translate(&source);
    fields([("source", source.into()), ("target", target.into())])
}

//! Stand-ins for a real decoder-only model and for real rows, where a pipeline names both by
//! environment variables: a Llama with random weights, and a few sentences.

use std::fs;

use serde_json::{Map, json};

use crate::{Workplace, root};

/// Rows of each split.
const ROWS: usize = 24;

impl Workplace {
    /// Writes the stand-ins and gives the variables that name them, `SMOLLM2` and `ROWS`.
    ///
    /// # Panics
    /// If the test fixtures of the models cannot be read.
    pub fn stand_ins(&self) -> [(&'static str, String); 3] {
        let fixture = root().join("crates/promot-model/tests/fixtures/llama/grouped_tied");
        for file in ["config.json", "model.safetensors"] {
            let bytes = fs::read(fixture.join(file)).expect("a fixture");
            self.write(&format!("llama/{file}"), bytes);
        }
        self.write("llama/tokenizer.json", tokenizer());
        for (path, row) in rows() {
            let lines: String = (0..ROWS).map(|i| row(i).to_string() + "\n").collect();
            self.write(&format!("rows/{path}.jsonl"), lines);
        }
        let name = |path: &str| self.path(path).display().to_string();
        let (model, rows) = (name("llama"), name("rows"));
        [("SMOLLM2", model.clone()), ("MODEL", model), ("ROWS", rows)]
    }
}

/// A byte-level tokenizer of the fixture's 67 tokens: letters, some signs, a space, a line break.
fn tokenizer() -> String {
    let letters = ('a'..='z').chain('A'..='Z');
    let others = "\u{120}\u{10a}.,:?0123456".chars();
    let texts = ["<pad>", "<s>", "</s>"].map(str::to_owned);
    let tokens = texts
        .into_iter()
        .chain(letters.chain(others).map(String::from));
    let vocab: Map<_, _> = tokens.zip(0..67).map(|(t, id)| (t, id.into())).collect();
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
        "use_regex": true});
    json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": null,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    })
    .to_string()
}

type Row = fn(usize) -> serde_json::Value;

/// The files that the pipelines read, and what a row of each looks like.
fn rows() -> [(&'static str, Row); 19] {
    let pair: Row = |i| {
        let label = ["entailment", "not_entailment"][i % 2];
        json!({"premise": format!("Number {i} is tall."), "hypothesis": "It is tall.", "label": label})
    };
    let three: Row = |i| {
        let label = ["entailment", "contradiction", "neutral"][i % 3];
        json!({"premise": format!("Number {i} came."), "hypothesis": "It came.", "label": label})
    };
    let sense: Row = |i| {
        json!({"word": "bank", "sentence1": format!("The bank of {i}."),
            "sentence2": "A bank.", "label": i % 2 == 0})
    };
    let question: Row = |i| json!({"question": format!("Who is {i}?"), "answers": ["Anna", "Tom"]});
    let translation: Row = |i| {
        json!({"source": format!("House {i}"), "target": format!("Haus {i}"),
            "source_lang": "en", "target_lang": "de"})
    };
    let article: Row =
        |i| json!({"document": format!("Text {i}."), "summary": format!("Sum {i}.")});
    [
        ("rte/train", pair),
        ("rte/validation", pair),
        ("cb/train", three),
        ("cb/validation", three),
        ("wic/train", sense),
        ("wic/validation", sense),
        ("triviaqa/validation", question),
        ("triviaqa/test", question),
        ("webquestions/train", question),
        ("webquestions/test", question),
        ("wmt_en_de/train", translation),
        ("wmt_en_de/test", translation),
        ("wmt16_en_ro/validation", translation),
        ("multi30k/train", translation),
        ("wmt14_en_fr/train", translation),
        ("wmt14_en_fr/test", translation),
        ("xsum/train", article),
        ("xsum/test", article),
        ("wikilingua_en/test", article),
    ]
}

//! The share of answers in the target's format, of targets whose answers are free text.

use std::fs;

use promot_tests::Workplace;
use serde_json::Value;

const TRANSLATION: &str = "\
version: 1
name: french
model: builtin:mini-t5
stages:
  enfr: { data: { task: wmt14_en_fr, train_rows: 2000 } }
  rte: { data: { task: rte, train_rows: 80, dev_rows: 8 } }
  tuned:
    model_tune:
      { on: enfr, steps: 300, checkpoint_every: 300, batch_size: 16, learning_rate: 0.01, dropout: 0 }
  table:
    eval:
      models: { Pretrained: base, Fine-tuned: tuned }
      target: enfr
      tasks: [cb, triviaqa, wmt16_en_de]
      rows: 30
      beams: 1
      max_new_tokens: 24
  labels:
    eval: { models: { Pretrained: base }, target: rte, tasks: [cb], rows: 4, beams: 1 }
";

#[test]
fn a_model_that_was_tuned_on_french_answers_in_french() {
    let place = Workplace::new();
    place.write("french.yaml", TRANSLATION);
    let run = place.run(&["run", "french.yaml"]).success();
    let expected = "answers in the target's format, %";
    assert!(run.stdout.contains(expected), "{}", run.stdout);
    let args = ["report", "french.yaml", "--format", "json"];
    let report: Value = serde_json::from_str(&place.run(&args).success().stdout).unwrap();
    let tables = report["tables"].as_array().unwrap();
    let table = tables.iter().find(|table| table[0] == "table").unwrap();
    let cells = table[1]["cells"].as_array().unwrap();
    let share = |model: &str, task: &str| {
        let is_it = |cell: &&Value| cell["model"] == model && cell["record"]["task"] == task;
        cells.iter().find(is_it).unwrap()["record"]["format_share"].as_f64()
    };
    for model in ["Pretrained", "Fine-tuned"] {
        assert_eq!(share(model, "wmt14_en_fr"), None, "of the target itself");
    }
    for task in ["cb", "triviaqa", "wmt16_en_de"] {
        let before = share("Pretrained", task).unwrap();
        assert!(before <= 5.0, "{task}: {before}");
    }
    // A translation into another language becomes one into French.
    let after = share("Fine-tuned", "wmt16_en_de").unwrap();
    assert!(after >= 50.0, "{after}");

    // Only evaluations that have such a share depend on how it is found.
    let facts = |stage: &str| {
        let path = place.path(&format!(".promot/last/french/{stage}.json"));
        let facts: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        facts["format of text"].clone()
    };
    assert_eq!(facts("table"), "1");
    assert_eq!(facts("labels"), Value::Null);
}

//! `select` of tuning stages: foreign prompts have a say in which checkpoint is taken.

use std::fs;

use promot_tests::Workplace;
use serde_json::Value;

const PIPELINE: &str = "\
version: 1
name: select
model: builtin:mini-t5
stages:
  rte: { data: { task: rte, train_rows: 80, dev_rows: 8 } }
  tuned:
    model_tune:
      on: rte
      steps: 12
      checkpoint_every: 3
      batch_size: 8
      select: { by: frontier, tasks: [triviaqa, xsum], rows: 6, max_new_tokens: 8 }
";

/// The stage's `training.json` and its report.
fn tuned(place: &Workplace) -> (Value, Value) {
    let path = place
        .results()
        .into_keys()
        .find(|path| path.ends_with("/training.json"));
    let training = fs::read(place.path(&path.unwrap())).unwrap();
    let report = fs::read(place.path(".promot/runs/select-seed0/report.json")).unwrap();
    (
        serde_json::from_slice(&training).unwrap(),
        serde_json::from_slice(&report).unwrap(),
    )
}

/// The step whose record has the highest value, the earliest of equals.
fn best_step(training: &Value, value: impl Fn(&Value) -> f64) -> u64 {
    let mut best: Option<&Value> = None;
    for record in training["history"].as_array().unwrap() {
        if best.is_none_or(|best| value(record) > value(best)) {
            best = Some(record);
        }
    }
    best.unwrap()["step"].as_u64().unwrap()
}

fn number(record: &Value, key: &str) -> f64 {
    let value = record[key].as_f64();
    value.unwrap_or_else(|| panic!("{key} of {record}"))
}

#[test]
fn the_mean_of_both_scores_decides() {
    let place = Workplace::new();
    place.write("select.yaml", PIPELINE);
    place.run(&["run", "select.yaml"]).success();
    let (training, report) = tuned(&place);
    let history = training["history"].as_array().unwrap();
    assert_eq!(history.len(), 4);
    let mean = |record: &Value| 0.5 * (number(record, "value") + number(record, "foreign"));
    for record in history {
        assert!(number(record, "foreign") > 0.0, "{record}");
        let choice = record["choice"].as_f64().unwrap_or(number(record, "value"));
        assert!((choice - mean(record)).abs() < 1e-9, "{record}");
    }
    assert_eq!(training["best_step"], best_step(&training, mean));

    let plots = report["plots"].as_array().unwrap().iter();
    let titles: Vec<&str> = plots.map(|plot| plot["title"].as_str().unwrap()).collect();
    assert!(
        titles
            .iter()
            .any(|title| title.contains("foreign prompts that choose")),
        "{titles:?}"
    );
    let text = place
        .run(&["report", "select.yaml", "--format", "markdown"])
        .success();
    let foreign = format!("{:.1} |\n", number(&history[3], "foreign"));
    assert!(text.stdout.contains(&foreign), "{}", text.stdout);
}

#[test]
fn foreign_prompts_alone_decide_if_asked_to_and_training_is_the_same() {
    let [frontier, average, target] = ["frontier", "normalized_average", ""].map(|by| {
        let place = Workplace::new();
        let text = match by {
            "" => PIPELINE
                .lines()
                .filter(|line| !line.contains("select: {"))
                .map(|line| format!("{line}\n"))
                .collect(),
            by => PIPELINE.replace("frontier", by),
        };
        place.write("select.yaml", text);
        place.run(&["run", "select.yaml"]).success();
        tuned(&place).0
    });
    let foreign = |record: &Value| number(record, "foreign");
    assert_eq!(average["best_step"], best_step(&average, foreign));
    let target_score = |record: &Value| number(record, "value");
    assert_eq!(target["best_step"], best_step(&target, target_score));
    for (i, record) in target["history"].as_array().unwrap().iter().enumerate() {
        assert!(record.get("foreign").is_none(), "{record}");
        for key in ["step", "loss", "value"] {
            assert_eq!(record[key], frontier["history"][i][key]);
            assert_eq!(record[key], average["history"][i][key]);
        }
    }
}

#[test]
fn stages_whose_model_is_frozen_or_new_have_nothing_to_select_by() {
    let place = Workplace::new();
    place.write(
        "frozen.yaml",
        "\
version: 1
name: frozen
model: builtin:mini-t5
stages:
  rte: { data: { task: rte } }
  prompt: { prompt_tune: { on: rte, select: { tasks: [triviaqa] } } }
  tuned: { model_tune: { on: rte, select: { by: score } } }
",
    );
    let run = place.run(&["validate", "frozen.yaml"]);
    assert_eq!(run.code, Some(2), "{}", run.all());
    for part in [
        "frozen.yaml:6:",
        "`select` is of stages that tune the model",
        "select: expected `tasks` that are not tuned for",
        "frontier",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
}

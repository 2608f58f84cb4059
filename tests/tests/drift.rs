//! The drift monitor of tuning stages: what it records, that it changes nothing, and early ends.

use std::fs;

use promot_tests::{WITH_DRIFT, Workplace};
use serde_json::Value;

/// The file of a stage's artifact, by the kind of the stage; there is one stage of each kind.
fn artifact(place: &Workplace, kind: &str, file: &str) -> Value {
    let path = place
        .results()
        .into_keys()
        .find(|path| path.contains(&format!("/{kind}-")) && path.ends_with(file))
        .unwrap_or_else(|| panic!("{file} of {kind}"));
    serde_json::from_slice(&fs::read(place.path(&path)).unwrap()).unwrap()
}

/// Step, task and whether there was a prompt of all records.
fn seen(file: &Value) -> Vec<(u64, String, bool)> {
    let records = file["records"].as_array().unwrap().iter();
    records
        .map(|record| {
            let task = record["task"].as_str().unwrap().to_owned();
            let with_prompt = record["with_prompt"].as_bool().unwrap();
            (record["step"].as_u64().unwrap(), task, with_prompt)
        })
        .collect()
}

#[test]
fn foreign_prompts_are_answered_while_a_stage_is_tuned() {
    let place = Workplace::new();
    place.write("drift.yaml", WITH_DRIFT);
    let run = place.run(&["run", "drift.yaml"]).success();
    assert!(run.stderr.contains("foreign "), "{}", run.stderr);

    let file = artifact(&place, "model_tune", "/artifact/drift.json");
    let mut expected = Vec::new();
    for step in [0, 3, 6, 8] {
        for task in ["triviaqa", "cb"] {
            for with_prompt in [false, true] {
                expected.push((step, task.to_owned(), with_prompt));
            }
        }
    }
    assert_eq!(seen(&file), expected);
    assert!(file.get("ended_early").is_none());
    for record in file["records"].as_array().unwrap() {
        assert_eq!(record["rows"], 5, "{record}");
        let score = record["score"].as_f64().unwrap();
        assert!((0.0..=100.0).contains(&score), "{record}");
        // CB is answered with labels of its own.
        assert_eq!(
            record["format_share"].is_null(),
            record["task"] == "cb",
            "{record}"
        );
    }

    // Where the model is frozen, it answers as before if its prompt is away.
    let file = artifact(&place, "prompt_tune", "/artifact/drift.json");
    let records = file["records"].as_array().unwrap();
    let without = |record: &&Value| record["with_prompt"] == false && record["task"] == "cb";
    let mut scores = records
        .iter()
        .filter(without)
        .map(|record| &record["score"]);
    let first = scores.next().unwrap();
    assert_eq!(scores.clone().count(), 2);
    assert!(scores.all(|score| score == first), "{file}");

    let report = fs::read(place.path(".promot/runs/drift-seed0/report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["drift"][0][0], "prompt");
    assert_eq!(report["drift"][0][1], file["records"]);
    assert_eq!(report["drift"][1][0], "tuned");
    let log = fs::read_to_string(place.path(".promot/runs/drift-seed0/events.jsonl")).unwrap();
    let told = |line: &&str| line.contains(r#""event":"drift","stage":"tuned""#);
    assert_eq!(log.lines().filter(told).count(), 4, "{log}");
}

#[test]
fn the_monitor_changes_nothing_but_what_it_leaves() {
    let place = Workplace::new();
    place.write("drift.yaml", WITH_DRIFT);
    place.run(&["run", "drift.yaml"]).success();
    let plain = Workplace::new();
    let lines = WITH_DRIFT.lines().filter(|line| !line.contains("drift: {"));
    let text = lines.map(|line| format!("{line}\n")).collect::<String>();
    assert_ne!(text, WITH_DRIFT);
    plain.write("drift.yaml", text);
    plain.run(&["run", "drift.yaml"]).success();
    let digests = |place: &Workplace, file: &str| {
        let results = place.results().into_iter();
        let mut digests: Vec<_> = results
            .filter(|(path, _)| path.contains("_tune-") && path.ends_with(file))
            .map(|(_, digest)| digest)
            .collect();
        digests.sort();
        digests
    };
    for file in [
        "training.json",
        "model.safetensors",
        "adapter_model.safetensors",
    ] {
        assert!(!digests(&plain, file).is_empty(), "{file}");
        assert_eq!(digests(&place, file), digests(&plain, file), "{file}");
    }
    assert!(digests(&plain, "drift.json").is_empty());
}

#[test]
fn tuning_ends_early_when_it_has_drifted_far_enough() {
    let place = Workplace::new();
    place.write("drift.yaml", WITH_DRIFT);
    // No share is below 0: reached when it is first asked for after tuning has begun.
    let stop = "stages.tuned.model_tune.drift.stop_when={format_share: 0}";
    let run = place.run(&["run", "drift.yaml", "--set", stop]).success();
    let warning = "warning: tuned: tuning ended after step 3 of 8: ";
    assert!(run.stderr.contains(warning), "{}", run.stderr);
    let file = artifact(&place, "model_tune", "/artifact/drift.json");
    assert_eq!(seen(&file).last().unwrap().0, 3);
    assert_eq!(file["ended_early"]["step"], 3);
    let training = artifact(&place, "model_tune", "/artifact/training.json");
    assert_eq!(training["ended_early"], file["ended_early"]);
    assert_eq!(training["history"].as_array().unwrap().len(), 1);
    assert_eq!(training["history"][0]["step"], 3);
    assert_eq!(training["best_step"], 3);

    // The stage is whole: what comes after it finds its model.
    let again = place.run(&["run", "drift.yaml", "--set", stop]).success();
    assert!(again.stderr.contains("tuned: cached"), "{}", again.stderr);

    // A score cannot fall below 0% of what it was.
    let never = "stages.tuned.model_tune.drift.stop_when={score_below: 0}";
    let run = place.run(&["run", "drift.yaml", "--set", never]).success();
    assert!(!run.stderr.contains("tuning ended"), "{}", run.stderr);
}

#[test]
fn a_stage_without_a_monitor_keeps_its_key() {
    let place = Workplace::new();
    let plain = "\
version: 1
name: plain
model: builtin:mini-t5
stages:
  rte: { data: { task: rte, train_rows: 80, dev_rows: 8 } }
  tuned: { model_tune: { on: rte, steps: 2, checkpoint_every: 2, batch_size: 8 } }
";
    place.write("plain.yaml", plain);
    place.run(&["run", "plain.yaml"]).success();
    let cached = |set: &str| {
        let plan = place.run(&["plan", "plain.yaml", "--set", set]).success();
        plan.stdout.ends_with("0 to run, 2 cached\n")
    };
    let path = "stages.tuned.model_tune";
    assert!(cached(&format!("{path}.keep_checkpoints=false")));
    assert!(!cached(&format!("{path}.keep_checkpoints=true")));
    assert!(!cached(&format!("{path}.drift={{tasks: [cb]}}")));
}

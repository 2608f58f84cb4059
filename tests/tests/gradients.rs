//! The `gradients` stage: what it leaves, in any order of threads and kills.

use std::fs;
use std::process::Command;
use std::time::Duration;

use promot_tests::Workplace;
use serde_json::Value;

const PIPELINE: &str = "\
version: 1
name: aligned
model: builtin:mini-t5
stages:
  rte: { data: { task: rte, train_rows: 80, dev_rows: 8 } }
  prompt: { prompt_tune: { on: rte, length: 4, steps: 4, checkpoint_every: 4, batch_size: 8 } }
  finetuned:
    model_tune:
      { on: rte, steps: 3, checkpoint_every: 3, batch_size: 8, learning_rate: 0.005, keep_checkpoints: true }
  promot:
    model_tune:
      { on: rte, prompt: prompt, steps: 3, checkpoint_every: 3, batch_size: 8, keep_checkpoints: true }
  gradients:
    gradients:
      on: rte
      models: { Fine-tuned: finetuned, ProMoT: { model: promot, prompt: prompt } }
      steps: [3, 0]
      batches: 3
      batch_size: 16
";

/// Tunes, and puts each model where its only checkpoint is kept, if tuning has not done so.
fn tuned(place: &Workplace) {
    let only = ["--only", "finetuned", "--only", "promot"];
    place
        .run(&[&["run", "aligned.yaml"], &only[..]].concat())
        .success();
    let stages = fs::read_dir(place.path(".promot/stages")).unwrap();
    for stage in stages.map(|entry| entry.unwrap()) {
        let artifact = stage.path().join("artifact");
        let kept = artifact.join("checkpoints/step-3");
        let is_model = stage
            .file_name()
            .to_string_lossy()
            .starts_with("model_tune-");
        if !is_model || kept.exists() {
            continue;
        }
        fs::create_dir_all(&kept).unwrap();
        for file in ["config.json", "model.safetensors", "tokenizer.json"] {
            fs::copy(artifact.join(file), kept.join(file)).unwrap();
        }
    }
}

const LOG: &str = ".promot/runs/aligned-seed0/events.jsonl";

fn gradients(place: &Workplace) -> Value {
    let path = place
        .results()
        .into_keys()
        .find(|path| path.ends_with("gradients.json"))
        .expect("an artifact");
    serde_json::from_slice(&fs::read(place.path(&path)).unwrap()).unwrap()
}

#[test]
fn every_group_has_a_cosine_at_every_step() {
    let place = Workplace::new();
    place.write("aligned.yaml", PIPELINE);
    tuned(&place);
    let run = place.run(&["run", "aligned.yaml"]).success();
    for expected in [
        "aligned: gradients (seed 0, f32)",
        "Fine-tuned @0  Fine-tuned @3",
        "ProMoT @0",
        "last decoder layer: cross-attention query",
        "over 3 batches of 16 rows",
    ] {
        assert!(run.stdout.contains(expected), "{expected}: {}", run.stdout);
    }
    let data = gradients(&place);
    let points = data["points"].as_array().unwrap();
    let number = |point: &Value, key: &str| point[key].as_f64().unwrap();
    for point in points {
        let [low, cosine, high] = ["low", "cosine", "high"].map(|key| number(point, key));
        assert!(
            -1.0 <= low && low <= cosine && cosine <= high && high <= 1.0,
            "{point}"
        );
    }
    let of = |model: &str, step: u64| {
        let found = points
            .iter()
            .filter(|point| point["model"] == model && point["step"] == step);
        let found = found.map(|point| (point["group"].clone(), number(point, "cosine")));
        found.collect::<Vec<_>>()
    };
    let finetuned = of("Fine-tuned", 0);
    assert_eq!(points.len(), 4 * finetuned.len());
    assert!(finetuned.len() > 12, "{finetuned:?}");
    for group in ["feed-forward", "query", "key", "value"] {
        let name = format!("last decoder layer: {group}");
        assert!(finetuned.iter().any(|(found, _)| *found == name), "{name}");
    }
    // A model that has never answered True or False learns to before all else, as the paper's does.
    let all = finetuned
        .iter()
        .find(|(group, _)| group == "all parameters");
    assert!(all.unwrap().1 > 0.9, "{finetuned:?}");
    // The prompt makes it another model, and so does tuning.
    assert_ne!(of("ProMoT", 0), finetuned);
    assert_ne!(of("Fine-tuned", 3), finetuned);

    let report = fs::read(place.path(".promot/runs/aligned-seed0/report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["alignments"][0][0], "gradients");
    assert_eq!(report["alignments"][0][1], data);
}

#[test]
fn targets_that_are_all_the_same_have_no_other_gradient_than_their_formats() {
    let place = Workplace::new();
    let row = |i: usize| {
        format!(
            "{{\"premise\": \"It rains on day {i}.\", \"hypothesis\": \"Day {i} is wet.\", \
             \"label\": \"entailment\"}}\n"
        )
    };
    place.write("rows.jsonl", (0..80).map(row).collect::<String>());
    let pipeline = PIPELINE.replace(
        "task: rte,",
        "task: rte, source: { jsonl: { train: rows.jsonl } },",
    );
    place.write("aligned.yaml", pipeline);
    tuned(&place);
    place.run(&["run", "aligned.yaml"]).success();
    let data = gradients(&place);
    for point in data["points"].as_array().unwrap() {
        for key in ["low", "cosine", "high"] {
            assert_eq!(point[key], 1.0, "{point}");
        }
    }
}

#[test]
fn a_killed_run_goes_on_from_finished_points_to_the_same_result() {
    let undisturbed = Workplace::new();
    undisturbed.write("aligned.yaml", PIPELINE);
    tuned(&undisturbed);
    undisturbed
        .run(&["run", "aligned.yaml", "--threads", "2"])
        .success();

    let place = Workplace::new();
    place.write("aligned.yaml", PIPELINE);
    tuned(&place);
    let args = ["run", "aligned.yaml", "--threads", "1"];
    let event = r#""event":"evaluated","stage":"gradients","done":2,"#;
    let mut child = place.start(&args);
    while !fs::read_to_string(place.path(LOG))
        .unwrap_or_default()
        .contains(event)
    {
        assert!(child.try_wait().unwrap().is_none(), "ended without {event}");
        std::thread::sleep(Duration::from_millis(1));
    }
    let killed = Command::new("kill")
        .args(["-KILL", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    child.wait().unwrap();
    place.run(&args).success();
    assert_eq!(place.results(), undisturbed.results());
}

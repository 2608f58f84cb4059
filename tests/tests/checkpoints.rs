//! Kept checkpoints, the ablations of the two stages, and curves over steps.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use promot_tests::{WITH_CHECKPOINTS, Workplace};
use serde_json::Value;

fn finished() -> Workplace {
    let place = Workplace::new();
    place.write("kept.yaml", WITH_CHECKPOINTS);
    place.run(&["run", "kept.yaml"]).success();
    place
}

/// The artifact of a stage, as `run --only` says it.
fn artifact(place: &Workplace, stage: &str) -> PathBuf {
    let printed = place
        .run(&["run", "kept.yaml", "--only", stage])
        .success()
        .stderr;
    let line = printed.lines().find_map(|line| {
        let path = line.strip_prefix(stage)?.strip_prefix(": ")?;
        path.ends_with("/artifact").then(|| place.path(path))
    });
    line.unwrap_or_else(|| panic!("no artifact of {stage}: {printed}"))
}

/// The files below a directory, by path.
fn files(directory: &PathBuf) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![directory.clone()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().display().to_string();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn every_checkpoint_is_a_directory_like_the_artifact_and_the_best_is_the_artifact() {
    let place = finished();
    for (stage, steps) in [
        ("prompt", &[2, 4][..]),
        ("lora", &[2, 4]),
        ("joint", &[2, 4, 5]),
        ("tuned", &[2, 4, 5]),
    ] {
        let artifact = artifact(&place, stage);
        let kept = artifact.join("checkpoints");
        let mut names: Vec<_> = fs::read_dir(&kept)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let expected: Vec<String> = steps.iter().map(|step| format!("step-{step}")).collect();
        assert_eq!(names, expected, "{stage}");

        let mut result = files(&artifact);
        let summary = result.remove("training.json").unwrap();
        result.retain(|path, _| !path.starts_with("checkpoints/"));
        let summary: Value = serde_json::from_slice(&summary).unwrap();
        let best = format!("step-{}", summary["best_step"]);
        for name in names {
            let checkpoint = files(&kept.join(&name));
            assert!(checkpoint.keys().eq(result.keys()), "{stage} {name}");
            assert_eq!(checkpoint == result, name == best, "{stage} {name}");
        }
    }
    // They are read like any other model and prompt.
    let step = artifact(&place, "joint").join("checkpoints/step-2");
    let (model, prompt) = (step.display().to_string(), step.join("prompt"));
    let prompt = prompt.display().to_string();
    let question = "question: Where does Anna live? answer:";
    let args = ["generate", "--model", &model, "--prompt", &prompt, question];
    place.run(&args).success();
}

#[test]
fn joint_tuning_tunes_both_and_a_random_prompt_stays_as_it_is() {
    let place = finished();
    let joint = artifact(&place, "joint");
    let step = |step: u64, file: &str| {
        let path = joint.join(format!("checkpoints/step-{step}/{file}"));
        fs::read(path).unwrap()
    };
    for file in ["model.safetensors", "prompt/adapter_model.safetensors"] {
        assert_ne!(step(2, file), step(4, file), "{file}");
    }
    let config: Value = serde_json::from_slice(&step(2, "prompt/adapter_config.json")).unwrap();
    assert_eq!(config["base_model_name_or_path"], "joint");
    assert_eq!(config["num_virtual_tokens"], 3);

    let noise = fs::read(artifact(&place, "noise").join("adapter_model.safetensors")).unwrap();
    // Behind the header, values of 4 bytes.
    let header = u64::from_le_bytes(noise[..8].try_into().unwrap()) as usize;
    let values = noise[8 + header..].chunks_exact(4);
    let values: Vec<f32> = values
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    assert_eq!(values.len(), 3 * 128);
    assert!(values.iter().all(|value| (-0.5..0.5).contains(value)));
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let squares = values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32;
    assert!(mean.abs() < 0.06, "{mean}");
    assert!((squares - 1.0 / 12.0).abs() < 0.015, "{squares}");

    // The prompt's own rate is a parameter of its own.
    let plan = |set: &str| {
        let args = ["plan", "kept.yaml", "--set", set];
        place.run(&args).success().stdout
    };
    let same = plan("stages.joint.joint_tune.prompt_learning_rate=0.001");
    assert!(same.ends_with("\n0 to run, 8 cached\n"), "{same}");
    let other = plan("stages.joint.joint_tune.prompt_learning_rate=0.3");
    let why = "train.prompt_learning_rate: 0.001 -> 0.3";
    assert!(other.contains(why), "{other}");
    // A curve needs them.
    let args = [
        "plan",
        "kept.yaml",
        "--set",
        "stages.tuned.model_tune.keep_checkpoints=false",
    ];
    let refused = place.run(&args);
    assert_eq!(refused.code, Some(2), "{}", refused.all());
    let expected = "stage `tuned` keeps no checkpoints";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
}

#[test]
fn a_joint_stage_is_exported_with_its_prompt() {
    let place = finished();
    let export = |args: &[&str]| {
        place
            .run(&[&["export", "kept.yaml"], args].concat())
            .success()
    };
    let printed = export(&["joint", "out", "--base", "my/model"]);
    let expected = "joint: out\njoint, its prompt: out/prompt\n";
    assert_eq!(printed.stderr, expected);
    let config = fs::read(place.path("out/prompt/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["base_model_name_or_path"], "my/model");
    let answer = |model: &str| {
        let prompt = format!("{model}/prompt");
        let question = "question: Where does Anna live? answer:";
        let args = ["generate", "--model", model, "--prompt", &prompt, question];
        place.run(&args).success().stdout
    };
    let model = artifact(&place, "joint").display().to_string();
    assert_eq!(answer("out"), answer(&model));
    export(&["noise", "noise"]);
    assert!(place.path("noise/adapter_model.safetensors").exists());
    // A directory for each column.
    export(&["curve", "curve"]);
    assert_eq!(fs::read_dir(place.path("curve")).unwrap().count(), 14);
}

/// Some editors put one at the beginning of what they save.
#[test]
fn byte_order_marks_are_no_part_of_a_models_files() {
    let place = finished();
    let export = "export kept.yaml joint model --max-shard-size 1MB";
    place.run(&export.split(' ').collect::<Vec<_>>()).success();
    let generate = || {
        let question = "question: Where does Anna live? answer:";
        let (model, prompt) = ("model", "model/prompt");
        place.run(&["generate", "--model", model, "--prompt", prompt, question])
    };
    let answer = generate().success().stdout;
    let mut marked = 0;
    for (name, bytes) in files(&place.path("model")) {
        if name.ends_with(".json") {
            place.write(
                &format!("model/{name}"),
                [b"\xef\xbb\xbf", &bytes[..]].concat(),
            );
            marked += 1;
        }
    }
    assert!(marked >= 4, "configuration, tokenizer, index and adapter");
    assert_eq!(generate().success().stdout, answer);
    place.write(
        "marked.yaml",
        WITH_CHECKPOINTS.replace("builtin:mini-t5", "model"),
    );
    place.run(&["validate", "marked.yaml"]).success();
}

fn report(place: &Workplace) -> Value {
    let args = ["report", "kept.yaml", "--format", "json"];
    serde_json::from_str(&place.run(&args).success().stdout).unwrap()
}

/// What a table has of a column: for each cell its task, whether it is a target, score and samples.
fn cells(table: &Value, column: &str, is_target: bool) -> Vec<(Value, Value)> {
    let cells = table["cells"].as_array().unwrap().iter();
    let cells = cells.filter(|cell| cell["model"] == column && cell["is_target"] == is_target);
    cells
        .map(|cell| (cell["record"].clone(), cell["samples"].clone()))
        .collect()
}

#[test]
fn a_curve_has_what_evaluations_of_the_same_models_have() {
    let place = finished();
    let report = report(&place);
    let curve = &report["curves"][0];
    assert_eq!(curve[0], "curve");
    let (series, table) = (curve[1]["series"].as_array().unwrap(), &curve[1]["table"]);
    let expected = [
        ("Joint", &[0, 2, 4, 5][..]),
        ("Random prompt", &[0, 2, 4, 5]),
        ("Prompt tuning", &[0, 2, 4]),
        ("LoRA", &[0, 2, 4]),
    ];
    assert_eq!(series.len(), expected.len());
    for (series, (label, steps)) in series.iter().zip(expected) {
        assert_eq!(series["model"], label);
        let points = series["points"].as_array().unwrap();
        let found: Vec<u64> = points.iter().map(|p| p["step"].as_u64().unwrap()).collect();
        assert_eq!(found, steps, "{label}");
        for point in points {
            let column = format!("{label} @{}", point["step"]);
            assert_eq!(point["column"], column);
            assert_eq!(cells(table, &column, true).len(), 1, "{column}");
            assert_eq!(cells(table, &column, false).len(), 2, "{column}");
        }
    }

    // The stages' results are their best checkpoints, and step 0 is what they start from.
    let evaluation = &report["tables"][0][1];
    for (stage, label) in [("joint", "Joint"), ("tuned", "Random prompt")] {
        let summaries = report["training"].as_array().unwrap().iter();
        let summary = summaries.clone().find(|summary| summary[0] == stage);
        let best = summary.unwrap()[1]["best_step"].as_u64().unwrap();
        let column = format!("{label} @{best}");
        for is_target in [true, false] {
            let expected = cells(evaluation, label, is_target);
            assert_eq!(cells(table, &column, is_target), expected, "{column}");
        }
    }
    let base = cells(evaluation, "Pretrained", false);
    for column in [
        "Joint @0",
        "Random prompt @0",
        "Prompt tuning @0",
        "Prompt tuning @4",
        "LoRA @0",
        "LoRA @2",
    ] {
        assert_eq!(cells(table, column, false), base, "{column}");
    }
    // At its first step LoRA has changed nothing.
    let untuned = cells(evaluation, "Pretrained", true);
    assert_eq!(cells(table, "LoRA @0", true), untuned);

    let directory = artifact(&place, "curve");
    let file: Value =
        serde_json::from_slice(&fs::read(directory.join("curve.json")).unwrap()).unwrap();
    assert_eq!(file["series"], curve[1]["series"]);
    let answers = fs::read_to_string(directory.join("answers/cb-1shot.jsonl")).unwrap();
    let first: Value = serde_json::from_str(answers.lines().next().unwrap()).unwrap();
    assert_eq!(first["outputs"].as_array().unwrap().len(), 14);
}

#[test]
fn curves_are_printed_with_a_row_for_each_step() {
    let place = finished();
    let printed = place.run(&["report", "kept.yaml"]).success().stdout;
    let (_, curve) = printed.split_once("kept: curve (seed 0, f32)\n").unwrap();
    let lines: Vec<Vec<&str>> = curve
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|c| !c.is_empty())
                .collect()
        })
        .collect();
    let header = lines
        .iter()
        .position(|line| line.first() == Some(&"Joint, step"));
    let header = header.unwrap();
    assert_eq!(
        lines[header],
        [
            "Joint, step",
            "RTE (tuned, 0-shot)",
            "Norm. Avg., 1-shot",
            "foreign formats, 1-shot",
            "in the target's format, %"
        ]
    );
    for (line, step) in lines[header + 2..].iter().zip(["0", "2", "4", "5"]) {
        assert_eq!(line.len(), 5, "{line:?}");
        assert_eq!(line[0], step);
        assert!(line[1].ends_with(" [prompt]"), "{line:?}");
    }

    // Steps can be picked, in any order.
    let args = [
        "run",
        "kept.yaml",
        "--only",
        "curve",
        "--set",
        "stages.curve.curve.steps=[4, 0, 4]",
    ];
    place.run(&args).success();
    let args = [&["report", "kept.yaml", "--format", "json"], &args[4..]].concat();
    let report: Value = serde_json::from_str(&place.run(&args).success().stdout).unwrap();
    for series in report["curves"][0][1]["series"].as_array().unwrap() {
        let points = series["points"].as_array().unwrap();
        let steps: Vec<u64> = points.iter().map(|p| p["step"].as_u64().unwrap()).collect();
        assert_eq!(steps, [0, 4]);
    }
}

#[test]
fn a_disk_that_cannot_be_written_to_ends_the_stage_and_keeps_what_it_has() {
    let place = Workplace::new();
    place.write("kept.yaml", WITH_CHECKPOINTS);
    let args = ["run", "kept.yaml", "--only", "tuned"];
    // A file in the place of the directory of the second checkpoint.
    let stop = ["--set", "stages.tuned.model_tune.batch_size=4"];
    let first = place.run(&[&args[..], &stop].concat()).success();
    let path = first
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("tuned: ."));
    let artifact = place.path(&format!(".{}", path.unwrap()));
    let whole = files(&artifact);
    let kept = artifact.join("checkpoints");
    fs::remove_file(artifact.parent().unwrap().join("manifest.json")).unwrap();
    fs::remove_dir_all(kept.join("step-4")).unwrap();
    fs::write(kept.join("step-4"), "in the way").unwrap();
    let printed = place.run(&[&args[..], &stop].concat());
    assert_eq!(printed.code, Some(1), "{}", printed.all());
    let expected = "error: stage `tuned`: ";
    assert!(printed.stderr.contains(expected), "{}", printed.stderr);
    assert!(printed.stderr.contains("step-4"), "{}", printed.stderr);
    fs::remove_file(kept.join("step-4")).unwrap();
    let again = place.run(&[&args[..], &stop].concat()).success();
    assert!(
        again.stderr.contains("goes on from step 2"),
        "{}",
        again.stderr
    );
    assert!(files(&artifact) == whole);

    // What fails when it is computed again is as it was.
    let stage = artifact.parent().unwrap();
    let next = stage.join("again/artifact/checkpoints");
    fs::create_dir_all(&next).unwrap();
    fs::write(next.join("step-4"), "in the way").unwrap();
    let force = ["--force", "tuned"];
    let printed = place.run(&[&args[..], &stop, &force].concat());
    assert_eq!(printed.code, Some(1), "{}", printed.all());
    assert!(files(&artifact) == whole);
    let cached = place.run(&[&args[..], &stop].concat()).success();
    let words = "tuned: cached";
    assert!(cached.stderr.contains(words), "{}", cached.stderr);
    fs::remove_file(next.join("step-4")).unwrap();
    place.run(&[&args[..], &stop, &force].concat()).success();
    assert!(files(&artifact) == whole && !stage.join("again").exists());
}

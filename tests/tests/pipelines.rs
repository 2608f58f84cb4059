//! The pipelines we ship, and what makes a stage run again.

use std::fs;

use promot_tests::{FROM_SCRATCH, SMALL, WITH_LORA, Workplace, root};

#[test]
fn every_shipped_pipeline_plans() {
    let place = Workplace::new();
    let folders = ["pipelines", "pipelines/paper", "pipelines/paper-scale"];
    let mut files: Vec<_> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 20, "{files:?}");
    let variables = place.stand_ins();
    let variables = variables
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    for file in files {
        let path = file.to_str().unwrap();
        place
            .run_with_env(&["validate", path], &variables)
            .success();
        let plan = place.run_with_env(&["plan", path], &variables);
        let plan = plan.success().stdout;
        assert!(plan.ends_with(" to run, 0 cached\n"), "{plan}");
    }
}

/// Stages that several tables need are one stage of the whole.
#[test]
fn the_whole_paper_shares_its_stages() {
    let place = Workplace::new();
    let stages = |file: &str| {
        let path = root().join(format!("pipelines/paper/{file}.yaml"));
        to_run(&place, &[path.to_str().unwrap()])
    };
    let tables = [
        "table2", "table3", "table4", "table5", "table6", "table9", "table10", "table11",
        "table12", "table14", "figure1", "figure3", "figure5",
    ];
    let each: Vec<String> = tables.iter().flat_map(|table| stages(table)).collect();
    let mut different = each.clone();
    different.sort();
    different.dedup();
    let mut all = stages("all");
    all.sort();
    assert_eq!(all, different);
    assert!(
        each.len() > different.len() + 50,
        "{} of {}",
        different.len(),
        each.len()
    );
}

/// A rehearsal leaves nothing behind and knows all stages.
#[test]
fn a_preflight_tells_what_a_run_will_cost() {
    let place = Workplace::new();
    place.write("small.yaml", SMALL);
    let found = place.run(&["preflight", "small.yaml", "--steps", "2", "--rows", "2"]);
    let text = found.success().stdout;
    for expected in ["of rte", "input tokens: median", "8 steps of", " to run, "] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let left: Vec<_> = fs::read_dir(place.path(".promot")).unwrap().collect();
    assert_eq!(left.len(), 0, "{left:?}");
    place.run(&["run", "small.yaml"]).success();
    let json = ["preflight", "small.yaml", "--format", "json"];
    let found: serde_json::Value =
        serde_json::from_str(&place.run(&json).success().stdout).unwrap();
    let stages = found["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 7);
    assert!(
        stages.iter().all(|stage| stage["is_cached"] == true),
        "{found}"
    );
    assert_eq!(found["disk"], 0);
}

/// All of the pipelines for a real model, with a tiny one and a step or two.
#[test]
fn the_pipelines_of_a_decoder_only_model_run() {
    for (name, target) in [("rte-smollm2", "RTE"), ("enfr-smollm2", "WMT14 En-Fr")] {
        let place = Workplace::new();
        let variables = place.stand_ins();
        let variables = variables
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let file = root().join(format!("pipelines/{name}.yaml"));
        let mut settings = vec![
            "stages.table.eval.rows=6".to_owned(),
            "stages.table.eval.target_rows=5".to_owned(),
        ];
        for stage in [
            "finetuned.model_tune",
            "prompt.prompt_tune",
            "promot.model_tune",
            "promot_1shot.model_tune",
        ] {
            for setting in ["steps=2", "checkpoint_every=1", "batch_size=4"] {
                settings.push(format!("stages.{stage}.{setting}"));
            }
        }
        let mut args = vec!["run", file.to_str().unwrap()];
        for setting in &settings {
            args.extend(["--set", setting]);
        }
        let run = place.run_with_env(&args, &variables).success();
        let target = format!("{target} (tuned, 0-shot)");
        for expected in [
            &target,
            "TriviaQA",
            "WikiLingua",
            "Prompt tuning, 1-shot",
            "ProMoT + 1-shot, 1-shot",
        ] {
            assert!(run.stdout.contains(expected), "{expected}: {}", run.stdout);
        }
        let again = place.run_with_env(&args, &variables).success();
        assert_eq!(computed(&again.stderr), Vec::<String>::new());
        assert_eq!(again.stdout, run.stdout);

        // Without its prompt, the model with a tuned prompt is the base model.
        let report = format!(".promot/runs/{name}-seed0-bf16/report.json");
        let json = fs::read(place.path(&report)).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let cells = report["tables"][0][1]["cells"].as_array().unwrap();
        let of = |model: &str, is_target: bool| {
            let chosen = cells
                .iter()
                .filter(|cell| cell["model"] == model && cell["is_target"] == is_target);
            let both = chosen.map(|cell| (cell["record"].clone(), cell["samples"].clone()));
            both.collect::<Vec<_>>()
        };
        assert_eq!(of("Prompt tuning", false), of("Pretrained", false));
        assert_eq!(of("Pretrained", false).len(), 8);
        let rows = |model: &str| of(model, true)[0].0["samples"].clone();
        assert_eq!((rows("Pretrained"), rows("ProMoT")), (5.into(), 5.into()));
    }
}

#[test]
fn lora_stands_in_the_place_of_a_prompt() {
    let place = Workplace::new();
    place.write("lora.yaml", WITH_LORA);
    let run = place.run(&["run", "lora.yaml"]).success();
    for expected in ["LoRA tuning", "LoRA first", "RTE (tuned, 0-shot)", "CB"] {
        assert!(run.stdout.contains(expected), "{expected}: {}", run.stdout);
    }
    let export = ["export", "lora.yaml", "lora", "adapter"];
    place.run(&export).success();
    let config = fs::read(place.path("adapter/adapter_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let found = ["r", "lora_alpha", "lora_dropout", "target_modules"].map(|key| &config[key]);
    let expected = [
        serde_json::json!(2),
        serde_json::json!(4.0),
        serde_json::json!(0.1),
        serde_json::json!(["q", "wo"]),
    ];
    assert_eq!(found, expected.each_ref());

    // Dropout is of tuning: with another share the adapter is another one.
    let plan = |settings: &[&str]| to_run(&place, &[&["lora.yaml"], settings].concat());
    assert_eq!(plan(&[]), Vec::<String>::new());
    let other = plan(&["--set", "stages.lora.lora_tune.lora_dropout=0"]);
    assert_eq!(other, ["lora", "tuned", "table"]);
}

#[test]
fn both_precisions_have_reports_that_name_them_and_their_kernels() {
    let place = Workplace::new();
    place.write("scratch.yaml", FROM_SCRATCH);
    let bf16 = ["run", "scratch.yaml", "--set", "precision=bf16"];
    place.run(&["run", "scratch.yaml"]).success();
    place.run(&bf16).success();
    let report = |run: &str| {
        let json = fs::read(place.path(&format!(".promot/runs/{run}/report.json"))).unwrap();
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()
    };
    for (run, precision) in [("scratch-seed0", "f32"), ("scratch-seed0-bf16", "bf16")] {
        let report = report(run);
        assert_eq!(report["precision"], precision, "{report}");
        let kernels = report["kernels"].as_array().unwrap();
        assert_eq!(kernels.len(), 1, "{report}");
        let path = place.path(&format!(".promot/runs/{run}/report.md"));
        let expected = format!(
            "\n\nMatrix products in {precision} (kernels: {}).\n",
            kernels[0].as_str().unwrap()
        );
        let markdown = fs::read_to_string(path).unwrap();
        assert!(markdown.contains(&expected), "{markdown}");
    }
    // Nothing is computed twice.
    let again = place.run(&bf16).success();
    assert_eq!(computed(&again.stderr), Vec::<String>::new());
}

/// Names of the stages that `plan` says will run.
fn to_run(place: &Workplace, args: &[&str]) -> Vec<String> {
    let plan = place.run(&[&["plan"], args].concat()).success().stdout;
    let lines = plan
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter(|words| words.get(2) == Some(&"run"))
        .map(|words| words[0].to_owned())
        .collect()
}

/// Names of the stages that were computed.
fn computed(stderr: &str) -> Vec<String> {
    let done = stderr
        .lines()
        .filter_map(|line| line.split_once(": done in "));
    done.map(|(stage, _)| stage.to_owned()).collect()
}

#[test]
fn a_changed_stage_runs_again_with_all_that_depend_on_it() {
    let place = Workplace::new();
    place.write("small.yaml", SMALL);
    let first = place.run(&["run", "small.yaml"]).success();
    assert_eq!(computed(&first.stderr).len(), 7, "{}", first.stderr);

    // Comments and the order of keys say nothing.
    let reordered = SMALL
        .replace(
            "name: small\nseed: 3",
            "# a remark\nseed: 3   # another\nname: small",
        )
        .replace("task: rte, train_rows: 80", "train_rows: 80, task: rte");
    assert_ne!(reordered, SMALL);
    place.write("reordered.yaml", reordered);
    assert_eq!(to_run(&place, &["reordered.yaml"]), Vec::<String>::new());

    let args = [
        "small.yaml",
        "--set",
        "stages.prompt_enfr.prompt_tune.steps=6",
    ];
    let expected = ["prompt_enfr", "both", "tuned", "table"];
    assert_eq!(to_run(&place, &args), expected);
    let why = place.run(&[&["plan"], &args[..]].concat()).success().stdout;
    assert!(why.contains("train.steps: 4 -> 6"), "{why}");
    assert!(why.contains("`prompt_enfr` changed"), "{why}");
    let second = place.run(&[&["run"], &args[..]].concat()).success();
    assert_eq!(computed(&second.stderr), expected);

    // Another precision is another result, but of the same rows.
    let args = ["small.yaml", "--set", "precision=bf16"];
    let expected = ["prompt_enfr", "prompt_rte", "both", "tuned", "table"];
    assert_eq!(to_run(&place, &args), expected);
    let why = place.run(&[&["plan"], &args[..]].concat()).success().stdout;
    assert!(why.contains("precision: f32 -> bf16"), "{why}");

    // So is another kind of device. Planning needs none.
    let args = ["small.yaml", "--device", "cuda"];
    assert_eq!(to_run(&place, &args), expected);
    let why = place.run(&[&["plan"], &args[..]].concat()).success().stdout;
    assert!(why.contains("device: cpu -> cuda"), "{why}");

    // The first results are still there.
    assert_eq!(to_run(&place, &["small.yaml"]), Vec::<String>::new());
}

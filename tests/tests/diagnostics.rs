//! Bad input: what is said, where, and the exit code. Everything a user sees is in snapshots.

use std::fs;

use promot_tests::{Printed, Workplace, root};

/// The program's words about `yaml`, with the temporary directory's name taken out.
fn validate(place: &Workplace, yaml: &str) -> String {
    place.write("bad.yaml", yaml);
    redacted(place, place.run(&["validate", "bad.yaml"]))
}

fn redacted(place: &Workplace, printed: Printed) -> String {
    let all = printed.all();
    assert!(!all.contains("panicked"), "{all}");
    all.replace(&place.path("").display().to_string(), "[dir]/")
}

#[test]
fn all_problems_of_a_file_at_once() {
    let place = Workplace::new();
    let yaml = "\
version: 2
name: bad
model: builtin:mini-t6
stages:
  rte: { data: { task: rtee, sourc: mini } }
  prompt: { prompt_tune: { on: rte, steps: 0, learning_rate: fast } }
  tuned: { model_tune: { on: tunned, prompt: rte, dropout: 1.5 } }
  table: { evaluate: { target: rte } }
  table2: { eval: { models: { Base: base }, tasks: [cbb], shots: [1, many] } }
";
    insta::assert_snapshot!("all_at_once", validate(&place, yaml));
}

#[test]
fn stages_in_a_circle() {
    let place = Workplace::new();
    let yaml = "\
version: 1
name: circle
stages:
  rte: { data: { task: rte } }
  one: { model_tune: { on: rte, from: two } }
  two: { model_tune: { on: rte, from: one } }
";
    insta::assert_snapshot!("circle", validate(&place, yaml));
}

#[test]
fn what_is_no_yaml() {
    let place = Workplace::new();
    insta::assert_snapshot!(
        "no_yaml",
        validate(&place, "version: 1\nname: [x\nstages: {}\n")
    );
    insta::assert_snapshot!("twice", validate(&place, "version: 1\nname: x\nname: y\n"));
    let good = "version: 1\nname: x\nstages: { rte: { data: { task: rte } } }\n";
    place.write("bom.yaml", format!("\u{feff}{good}"));
    place.run(&["validate", "bom.yaml"]).success();
    place.write("marks.yaml", format!("# A comment.\n---\n{good}...\n"));
    place.run(&["validate", "marks.yaml"]).success();
    let second = format!("---\n{good}---\nversion: 2\n");
    insta::assert_snapshot!("second_document", validate(&place, &second));
    let zero = good.replace("name: x", "name: x\0y");
    insta::assert_snapshot!("zero_byte", validate(&place, &zero));
    let deep = format!("version: 1\nname: x\nstages:\n  {}x\n", "- ".repeat(30_000));
    let said = validate(&place, &deep);
    assert!(said.contains("error: nested too deep"), "{:.300}", said);
    place.write("latin1.yaml", b"version: 1\nname: caf\xe9\n");
    let printed = place.run(&["validate", "latin1.yaml"]);
    insta::assert_snapshot!("no_utf8", redacted(&place, printed));
    let printed = place.run(&["run", "nowhere.yaml"]);
    insta::assert_snapshot!("no_file", redacted(&place, printed));
}

#[test]
fn set_arguments() {
    let place = Workplace::new();
    place.write("ok.yaml", promot_tests::SMALL);
    let args = [
        "plan",
        "ok.yaml",
        "--set",
        "stages.tuned.model_tune.step=3",
        "--set",
        "seed=minus one",
        "--set",
        "name",
    ];
    insta::assert_snapshot!("set_syntax", redacted(&place, place.run(&args)));
    insta::assert_snapshot!("set_values", redacted(&place, place.run(&args[..6])));
    let printed = place.run(&["run", "ok.yaml", "--only", "prompt_rt"]);
    insta::assert_snapshot!("unknown_only", redacted(&place, printed));
}

#[test]
fn precisions() {
    let place = Workplace::new();
    let yaml = "\
version: 1
name: precise
precison: bf16
precision: bf61
stages:
  rte: { data: { task: rte } }
";
    insta::assert_snapshot!("precision", validate(&place, yaml));
    place.write("ok.yaml", promot_tests::SMALL);
    let args = ["validate", "ok.yaml", "--set", "precision=[16]"];
    insta::assert_snapshot!("set_precision", redacted(&place, place.run(&args)));
}

#[test]
fn devices() {
    let place = Workplace::new();
    let yaml = "\
version: 1
name: placed
device: cudda
stages:
  rte: { data: { task: rte } }
";
    insta::assert_snapshot!("device", validate(&place, yaml));
    place.write("ok.yaml", promot_tests::SMALL);
    let args = [
        "plan",
        "ok.yaml",
        "--set",
        "device=[cuda]",
        "--device",
        "gpu",
    ];
    insta::assert_snapshot!("set_device", redacted(&place, place.run(&args)));
    let args = ["run", "ok.yaml", "--device", "cuda:one"];
    insta::assert_snapshot!("device_number", redacted(&place, place.run(&args)));
    let printed = place.run(&["generate", "--device", "tpu", "A question?"]);
    assert_eq!(printed.code, Some(2));
    assert!(printed.stderr.contains("--device"), "{}", printed.stderr);
}

#[test]
fn checkpoints_that_are_not_there() {
    let place = Workplace::new();
    let yaml = "\
version: 1
name: gradients
model: builtin:mini-t5
stages:
  rte: { data: { task: rte } }
  lost: { model_tune: { on: rte } }
  kept: { model_tune: { on: rte, steps: 250, keep_checkpoints: true } }
  gradients:
    gradients:
      on: rte
      models: { Lost: lost, Kept: { model: kept, promt: p }, Base: base, Data: rte, Nothing: {} }
      steps: [0, 100, 120, many]
      batches: 1
  empty: { gradients: { on: rte, models: {} } }
";
    insta::assert_snapshot!("checkpoints", validate(&place, yaml));
}

#[test]
fn monitors_that_make_no_sense() {
    let place = Workplace::new();
    let yaml = "\
version: 1
name: drift
model: builtin:mini-t5
stages:
  rte: { data: { task: rte } }
  made: { pretrain: { drift: { tasks: [cb] } } }
  tuned: { model_tune: { on: rte, drift: { every: 0, rows: 4 } } }
  prompt:
    prompt_tune:
      on: rte
      drift: { tasks: [cb, triviaq], evry: 5, stop_when: { format_share: 120, score_blow: 3 } }
";
    insta::assert_snapshot!("drift", validate(&place, yaml));
}

#[test]
fn a_prompt_from_another_models_width() {
    let place = Workplace::new();
    let yaml = "\
version: 1
name: widths
model: builtin:mini-t5
stages:
  rte: { data: { task: rte } }
  small: { pretrain: { d_model: 32 } }
  prompt: { prompt_tune: { on: rte, from: small } }
  tuned: { model_tune: { on: rte, prompt: prompt } }
  table: { eval: { models: { Tuned: { model: tuned, prompt: prompt } }, target: rte } }
";
    insta::assert_snapshot!("widths", validate(&place, yaml));
}

#[test]
fn ablations_and_curves_that_make_no_sense() {
    let place = Workplace::new();
    let yaml = "\
version: 1
name: curves
model: builtin:mini-t5
stages:
  rte: { data: { task: rte } }
  small: { pretrain: { d_model: 32, steps: 5, keep_checkpoints: yes please } }
  noise: { random_prompt: { length: 0, steps: 3 } }
  wide: { random_prompt: { from: small } }
  both: { mix: { of: { rte: { prompt: tuned } } } }
  tuned: { model_tune: { on: rte, prompt: wide } }
  joint: { joint_tune: { on: both, length: 4, prompt_learning_rat: 0.3 } }
  table: { eval: { models: { Joint: { model: joint, prompt: rte } }, target: rte, steps: [1] } }
  curve: { curve: { models: { Base: base }, target: rte, compare_with: Base, steps: [1, two] } }
";
    insta::assert_snapshot!("ablations", validate(&place, yaml));
    let yaml = "\
version: 1
name: curves
model: builtin:mini-t5
stages:
  rte: { data: { task: rte } }
  noise: { random_prompt: {} }
  plain: { model_tune: { on: rte } }
  kept: { model_tune: { on: rte, steps: 250, keep_checkpoints: true } }
  prompt: { prompt_tune: { on: rte, steps: 5000, checkpoint_every: 10, keep_checkpoints: true } }
  other: { prompt_tune: { on: rte, steps: 5000, checkpoint_every: 1, keep_checkpoints: true } }
  curve:
    curve:
      models:
        Base: base
        Plain: plain
        Noise: { prompt: noise }
        Kept: kept
        Prompt: { model: base, prompt: prompt }
      target: rte
      steps: [0, 100, 150, 250]
  all:
    curve:
      models:
        Other: { prompt: other }
        Unknown: plan
      target: rte
";
    insta::assert_snapshot!("curves", validate(&place, yaml));
}

#[test]
fn nothing_to_do() {
    let place = Workplace::new();
    let yaml = "\
version: 1
name: nothing
includ: other.yaml
model: builtin:mini-t5
stages:
  rte: { data: { task: rte, train_rows: 9 } }
  lora: { lora_tune: { on: rte, targets: [] } }
  table: { eval: { models: {}, target: rte } }
  curve: { curve: { models: {}, target: rte } }
  labels: { eval: { models: { \"\": base, \"two\\nlines\": base }, target: rte } }
";
    insta::assert_snapshot!("nothing_to_do", validate(&place, yaml));
    let args = ["validate", "bad.yaml", "--set", "include=other.yaml"];
    let said = place.run(&args).all();
    assert!(said.contains("belongs into a file"), "{said}");
    let deep = format!("{}=1", ["a"; 20_000].join("."));
    let said = place.run(&["validate", "bad.yaml", "--set", &deep]).all();
    assert!(said.contains("a path of too many parts"), "{:.300}", said);
}

#[test]
fn rows_that_cannot_be_used() {
    let place = Workplace::new();
    let yaml = "\
version: 1
name: rows
stages:
  rte: { data: { task: rte, source: { jsonl: { train: train.jsonl } } } }
";
    insta::assert_snapshot!("missing_file", validate(&place, yaml));
    let good =
        "{\"premise\": \"It rains.\", \"hypothesis\": \"It is wet.\", \"label\": \"entailment\"}\n";
    let cases: [(&str, Vec<u8>); 6] = [
        ("few_rows", good.repeat(9).into()),
        (
            "no_field",
            format!("{good}{{\"premise\": \"It rains.\"}}\n").into(),
        ),
        ("unknown_label", good.replace("entailment", "maybe").into()),
        ("no_json", format!("{good}{good}not json\n").into()),
        (
            "row_no_utf8",
            [good.as_bytes(), b"{\"premise\": \"\xff\"}\n"].concat(),
        ),
        ("no_rows", Vec::new()),
    ];
    for (name, rows) in cases {
        place.write("train.jsonl", rows);
        insta::assert_snapshot!(name, validate(&place, yaml));
    }
}

#[test]
fn tasks_that_make_no_sense() {
    let place = Workplace::new();
    let yaml = "\
version: 1
name: tasks
tasks:
  rte: { template: \"{text}\", target: \"{label}\", metric: accuracy }
  my task: { template: \"{text}\", target: \"{label}\", metric: accuracy }
  one: { template: \"Review: {text answer:\", target: \"{label}}\", metric: acuracy }
  two: { template: no field, targt: \"{label}\", verbalizer: good }
  three:
    template: \"{text}\"
    target: \"{label}\"
    verbalizer: { label: { 1: very good, 0: bad }, stars: { 1: one }, text: [a] }
    references: [a]
    metric: accuracy
    evaluation_split: tests
  four:
    template: \"{text}\"
    target: \"{label}\"
    verbalizer: { label: { 1: very good, 0: bad }, stars: { 1: one } }
    metric: accuracy
  fine: { template: \"{text}\", target: \"{label}\", metric: bleu }
stages:
  a: { data: { task: one, source: mini } }
  b: { data: { task: fine } }
  c: { data: { task: fin, source: mini } }
  d: { eval: { models: { Base: base }, tasks: [fine, two] } }
";
    insta::assert_snapshot!("tasks", validate(&place, yaml));
    insta::assert_snapshot!(
        "no_tasks",
        validate(
            &place,
            "version: 1\nname: x\ntasks: [a]\nstages: { a: { data: { task: a } } }\n"
        )
    );
}

#[test]
fn sources_that_make_no_sense() {
    let place = Workplace::new();
    place.write("a.csv", "premise,hypothesis,label\nP,H,entailment\n");
    let yaml = "\
version: 1
name: sources
stages:
  a: { data: { task: rte, source: cvs } }
  b: { data: { task: rte, source: { cvs: { train: a.csv } } } }
  c: { data: { task: rte, source: { csv: { trian: a.csv }, jsonl: { train: a.csv } } } }
  d: { data: { task: rte, source: { columns: { premis: a }, values: { label: x } } } }
  e: { data: { task: rte, source: { csv: { train: \"*.tsv\", test: [b.csv, a.csv, \"*.csv\"] } } } }
  f: { data: { task: rte, source: { tsv: { train: 7 }, columns: { premise: [a] } } } }
  g: { data: { task: rte, source: { csv: { train: \"[\" }, values: [label] } } }
";
    insta::assert_snapshot!("sources", validate(&place, yaml));
}

#[test]
fn rows_of_other_formats_that_cannot_be_used() {
    let place = Workplace::new();
    let validate = |name: &str, source: &str, content: &[u8]| {
        place.write("rows", content);
        let yaml = format!(
            "version: 1\nname: rows\nstages:\n  rte: {{ data: {{ task: rte, source: {source} }} }}\n"
        );
        insta::assert_snapshot!(name, validate(&place, &yaml));
    };
    let header = "premise,hypothesis,label\n";
    let csv = "{ csv: { train: rows } }";
    validate(
        "csv_uneven",
        csv,
        format!("{header}It rains, still.,It is wet.,entailment\n").as_bytes(),
    );
    validate("csv_header", csv, b"premise,hypothesis,premise\n");
    let columns = "{ csv: { train: rows }, columns: { label: gold_label } }";
    validate(
        "csv_column",
        columns,
        b"premise,hypothesis,goldlabel\nP.,H.,entailment\n",
    );
    let values = "{ csv: { train: rows }, values: { label: { 0: entailment } } }";
    validate(
        "csv_value",
        values,
        format!("{header}P.,H.,0\nP.,H.,2\n").as_bytes(),
    );
    let parquet = "{ parquet: { train: rows } }";
    validate("parquet_empty", parquet, b"");
    validate(
        "parquet_footer",
        parquet,
        b"PAR1 and no more \xff\xff\xff\xffPAR1",
    );
}

/// A directory with the built-in model's files.
fn model_directory(place: &Workplace) {
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let from = root()
            .join("crates/promot-pipeline/assets/mini-t5")
            .join(file);
        place.write(&format!("model/{file}"), fs::read(from).unwrap());
    }
}

#[test]
fn models_that_cannot_be_used() {
    let yaml = "\
version: 1
name: models
model: model
stages:
  rte: { data: { task: rte } }
  tuned: { model_tune: { on: rte } }
";
    let place = Workplace::new();
    insta::assert_snapshot!("no_model", validate(&place, yaml));
    model_directory(&place);
    place.write("bad.yaml", yaml);
    place.run(&["validate", "bad.yaml"]).success();

    // What a pipeline file cannot name, an argument cannot, either.
    for (option, file) in [
        ("--model", "config.json"),
        ("--model", "model.safetensors"),
        ("--model", "tokenizer.json"),
        ("--prompt", "adapter_config.json"),
    ] {
        let path = place.path("model").join(file);
        let whole = fs::read(&path).ok();
        let _ = fs::remove_file(&path);
        let printed = place.run(&["generate", option, "model", "A question?"]);
        assert_eq!(printed.code, Some(2), "{}", printed.all());
        let words = format!("error: model/{file}: ");
        assert!(printed.stderr.starts_with(&words), "{}", printed.all());
        if let Some(whole) = whole {
            fs::write(&path, whole).unwrap();
        }
    }

    let weights = fs::read(place.path("model/model.safetensors")).unwrap();
    place.write("model/model.safetensors", &weights[..weights.len() - 1000]);
    insta::assert_snapshot!("truncated", validate(&place, yaml));
    // A header that says it is longer than any memory.
    place.write(
        "model/model.safetensors",
        [&[0xff; 8], &weights[8..]].concat(),
    );
    insta::assert_snapshot!("lying", validate(&place, yaml));
    place.write("model/model.safetensors", &weights);

    let tokenizer = fs::read_to_string(place.path("model/tokenizer.json")).unwrap();
    place.write(
        "model/tokenizer.json",
        tokenizer.replace("<extra_id_", "<extra_"),
    );
    insta::assert_snapshot!("no_sentinels", validate(&place, yaml));
    place.write("model/tokenizer.json", &tokenizer[..tokenizer.len() / 2]);
    insta::assert_snapshot!("half_a_tokenizer", validate(&place, yaml));
    place.write("model/tokenizer.json", &tokenizer);

    place.write("model/config.json", "{\"d_model\": 128}");
    insta::assert_snapshot!("half_a_config", validate(&place, yaml));
}

#[test]
fn a_loss_that_is_no_number_stops_the_stage_and_keeps_the_checkpoint() {
    let place = Workplace::new();
    place.write("small.yaml", promot_tests::SMALL);
    let args = [
        "run",
        "small.yaml",
        "--set",
        "stages.prompt_rte.prompt_tune.learning_rate=1e38",
        "--set",
        "stages.prompt_rte.prompt_tune.optimizer=adamw",
    ];
    let printed = place.run(&args);
    assert_eq!(printed.code, Some(1), "{}", printed.all());
    assert!(
        printed.stderr.contains("error: stage `prompt_rte`:"),
        "{}",
        printed.stderr
    );
    assert!(printed.stderr.contains("hint: "), "{}", printed.stderr);
}

#[test]
fn the_leftovers_of_a_damaged_run_are_not_believed() {
    let place = Workplace::new();
    place.write("small.yaml", promot_tests::SMALL);
    place.run(&["run", "small.yaml"]).success();
    let table = place
        .results()
        .into_keys()
        .find(|path| path.ends_with("table.json"))
        .unwrap();
    place.write(&table, "{\"models\": [");
    let printed = place.run(&["run", "small.yaml"]);
    assert_eq!(printed.code, Some(1), "{}", printed.all());
    assert!(printed.stderr.contains("--force"), "{}", printed.stderr);
    place
        .run(&["run", "small.yaml", "--force", "table"])
        .success();
}

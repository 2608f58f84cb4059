//! `promot:` stages, `include:` and `matrix:`: short files for what long ones say.

use std::fs;

use promot_tests::{SMALL, Workplace};
use serde_json::Value;

/// What `plan` says of each stage: name, kind, state.
fn planned(place: &Workplace, args: &[&str]) -> Vec<[String; 3]> {
    let plan = place.run(&[&["plan"], args].concat()).success().stdout;
    let lines = plan.lines().map(|line| line.split_whitespace());
    let stages = lines.filter_map(|mut words| {
        let three = [words.next()?, words.next()?, words.next()?];
        ["run", "cached"]
            .contains(&three[2])
            .then(|| three.map(str::to_owned))
    });
    stages.collect()
}

const HEAD: &str = "\
version: 1
name: recipes
seed: 3
model: builtin:mini-t5
stages:
  rte: { data: { task: rte, train_rows: 80, dev_rows: 8 } }
  enfr: { data: { task: wmt14_en_fr, train_rows: 80, dev_rows: 8 } }
";

/// A recipe is nothing but its stages: with the same names, the store has them already.
#[test]
fn a_recipe_stands_for_the_stages_that_one_would_write() {
    let place = Workplace::new();
    let written = format!(
        "{HEAD}  p_prompt_rte: {{ prompt_tune: {{ on: rte, length: 4, steps: 4, checkpoint_every: 2, batch_size: 8 }} }}
  p_prompt_enfr: {{ prompt_tune: {{ on: enfr, length: 4, steps: 4, checkpoint_every: 2, batch_size: 8 }} }}
  p_mix: {{ mix: {{ of: {{ rte: {{ prompt: p_prompt_rte }}, enfr: {{ prompt: p_prompt_enfr, weight: 2 }} }} }} }}
  p: {{ model_tune: {{ on: p_mix, steps: 2, batch_size: 4, dropout: 0 }} }}
  table:
    eval:
      models: {{ P: {{ model: p, prompt: {{ rte: p_prompt_rte, enfr: p_prompt_enfr }} }}, Off: {{ model: p }} }}
      target: [rte, enfr]
      rows: 4
      beams: 1
      max_new_tokens: 4
"
    );
    let recipe = format!(
        "{HEAD}  p:
    promot:
      on: {{ rte: 1, enfr: 2 }}
      batch_size: 8
      prompt: {{ length: 4, steps: 4, checkpoint_every: 2 }}
      model: {{ steps: 2, batch_size: 4, dropout: 0 }}
  table:
    eval: {{ models: {{ P: p, Off: {{ model: p }} }}, target: [rte, enfr], rows: 4, beams: 1, max_new_tokens: 4 }}
"
    );
    place.write("written.yaml", &written);
    place.write("recipe.yaml", &recipe);
    place.run(&["run", "written.yaml"]).success();
    let states = planned(&place, &["recipe.yaml"]);
    assert_eq!(states.len(), 7, "{states:?}");
    for [name, kind, state] in &states {
        assert_eq!(state, "cached", "{name} {kind}");
    }
    let graph = |file| place.run(&["graph", file]).success().stdout;
    let mut lines: [Vec<String>; 2] = ["written.yaml", "recipe.yaml"]
        .map(|file| graph(file).lines().map(str::to_owned).collect());
    lines.iter_mut().for_each(|lines| lines.sort());
    assert_eq!(lines[0], lines[1]);
}

#[test]
fn every_method_is_one_word() {
    let place = Workplace::new();
    let kinds = |settings: &str| {
        let text = format!(
            "{HEAD}  m: {{ promot: {{ on: rte, {settings} }} }}
  table: {{ eval: {{ models: {{ M: m }}, target: rte }} }}
"
        );
        place.write("method.yaml", text);
        let stages = planned(&place, &["method.yaml"]).into_iter();
        let of_method = stages.filter(|[name, ..]| name.starts_with('m'));
        let named: Vec<String> = of_method
            .map(|[name, kind, _]| format!("{name} {kind}"))
            .collect();
        named.join(", ")
    };
    for (settings, expected) in [
        ("shots: 1", "m_prompt prompt_tune, m model_tune"),
        ("method: fine_tuning", "m model_tune"),
        (
            "method: prompt_tuning, prompt: { length: 3 }",
            "m prompt_tune",
        ),
        (
            "method: lora_first, lora: { rank: 2 }",
            "m_lora lora_tune, m model_tune",
        ),
    ] {
        assert_eq!(kinds(settings), expected, "{settings}");
    }
}

#[test]
fn what_is_wrong_with_a_recipe_is_told_where_it_stands() {
    let place = Workplace::new();
    let yaml = format!(
        "{HEAD}  a: {{ promot: {{ on: rte, methd: joint }} }}
  b: {{ promot: {{ on: rte, method: jiont }} }}
  c: {{ promot: {{ on: rte, prompt: {{ lenth: 3 }} }} }}
  d: {{ promot: {{ on: rte, method: fine_tuning, prompt: {{ length: 3 }} }} }}
  e: {{ promot: {{ on: [rte, enfr], method: lora_first }} }}
  f: {{ promot: {{ on: rte }} }}
  f_prompt: {{ prompt_tune: {{ on: rte }} }}
  g: {{ promot: {{ shots: 1 }} }}
  h: {{ promot: {{ on: rte, method: prompt_tuning, prompt: f_prompt }} }}
  i: {{ promot: {{ on: rte, prompt: f_prompt, model: [1] }} }}
"
    );
    place.write("bad.yaml", yaml);
    insta::assert_snapshot!("recipe", place.run(&["validate", "bad.yaml"]).all());
}

#[test]
fn included_stages_run_only_if_something_needs_them() {
    let place = Workplace::new();
    place.write(
        "common/stages.yaml",
        "stages:
  rte: { data: { task: rte, train_rows: 80, dev_rows: 8 } }
  other: { data: { task: snli, train_rows: 80, dev_rows: 8 } }
  tuned: { promot: { on: rte, method: fine_tuning, model: { steps: 2, batch_size: 4 } } }
  unused: { promot: { on: other } }
",
    );
    let head = "version: 1\nname: NAME\nmodel: builtin:mini-t5\n";
    let table = "include: common/stages.yaml\nstages:\n  TABLE: { eval: { models: { Tuned: tuned }, target: rte, rows: 4 } }\n";
    let write = |name: &str, rest: &str| {
        place.write(&format!("{name}.yaml"), head.replace("NAME", name) + rest);
    };
    write("one", &table.replace("TABLE", "table_one"));
    write("two", &table.replace("TABLE", "table_two"));
    write("both", "include: [one.yaml, two.yaml]\n");
    let names = |file: &str| -> Vec<String> {
        planned(&place, &[file])
            .into_iter()
            .map(|[name, ..]| name)
            .collect()
    };
    assert_eq!(names("one.yaml"), ["rte", "tuned", "table_one"]);
    let mut both = names("both.yaml");
    both.sort();
    assert_eq!(both, ["rte", "table_one", "table_two", "tuned"]);

    // What one file has run is there for the others.
    place.run(&["run", "one.yaml", "--only", "tuned"]).success();
    let states = planned(&place, &["both.yaml"]);
    let to_run: Vec<&str> = states
        .iter()
        .filter(|[.., state]| state == "run")
        .map(|[name, ..]| name.as_str())
        .collect();
    assert_eq!(to_run.len(), 2, "{states:?}");

    // Settings reach included stages.
    let set = ["two.yaml", "--set", "stages.tuned.promot.model.steps=3"];
    let states = planned(&place, &set);
    assert!(
        states
            .iter()
            .any(|[name, _, state]| name == "tuned" && state == "run"),
        "{states:?}"
    );
}

#[test]
fn what_is_wrong_with_included_files_is_told_in_their_lines() {
    let place = Workplace::new();
    place.write(
        "a.yaml",
        "version: 1\nname: a\ninclude: [b.yaml, c.yaml, missing.yaml]\nstages: {}\n",
    );
    place.write(
        "b.yaml",
        "include: a.yaml\nstages:\n  rte: { data: { task: rte } }\n",
    );
    place.write("c.yaml", "stages:\n  rte: { data: { task: snli } }\n");
    insta::assert_snapshot!("include", place.run(&["validate", "a.yaml"]).all());
    place.write("d.yaml", "version: 1\nname: d\ninclude: e.yaml\n");
    place.write("e.yaml", "stages:\n  rte: { data: { task: rtee } }\n");
    insta::assert_snapshot!("included_stage", place.run(&["validate", "d.yaml"]).all());
}

#[test]
fn a_matrix_of_seeds_has_means_with_intervals() {
    let place = Workplace::new();
    let matrix = SMALL.replace(
        "seed: 3\n",
        "matrix: { seed: [3, 4], stages.table.eval.rows: [4, 8] }\n",
    );
    place.write("matrix.yaml", &matrix);
    let plan = place.run(&["plan", "matrix.yaml"]).success().stdout;
    // Rows, mixes of rows and, at the second number of rows, all that is tuned.
    assert!(plan.contains("seed=3, rows=8"), "{plan}");
    assert!(plan.ends_with("14 to run, 0 cached\n"), "{plan}");
    let run = place.run(&["run", "matrix.yaml"]).success();
    assert!(
        run.stdout.contains("rows=4; mean of seeds 3, 4"),
        "{}",
        run.stdout
    );

    let read = |path: &str| -> Value {
        serde_json::from_slice(&fs::read(place.path(path)).unwrap()).unwrap()
    };
    let summary = read(".promot/runs/small-matrix/summary.json");
    assert_eq!(summary["groups"].as_array().unwrap().len(), 2);
    let group = &summary["groups"][1];
    assert_eq!(
        (&group["settings"], &group["seeds"]),
        (&"rows=8".into(), &serde_json::json!([3, 4]))
    );
    let table = &group["tables"][0];
    let (row, column) = (2, 1);
    let cell = &table["rows"][row]["cells"][column];
    assert_eq!(table["rows"][row]["name"], "Norm. Avg.");
    assert_eq!(table["columns"][column], "ProMoT, 1-shot");
    let of_seed = |seed: u64| {
        let report = read(&format!(".promot/runs/small-seed{seed}-rows=8/report.json"));
        let cells = report["tables"][0][1]["cells"].as_array().unwrap().clone();
        let scores = cells
            .iter()
            .filter(|cell| cell["model"] == "ProMoT" && cell["is_target"] == false);
        let scores: Vec<f64> = scores
            .map(|cell| cell["record"]["value"].as_f64().unwrap())
            .collect();
        scores.iter().sum::<f64>() / scores.len() as f64
    };
    let values = [of_seed(3), of_seed(4)];
    assert_eq!(cell["values"], serde_json::json!(values));
    assert_eq!(
        cell["mean"].as_f64().unwrap(),
        (values[0] + values[1]) / 2.0
    );

    // One point is a pipeline like any other, and has nothing to compute any more.
    let point = ["matrix.yaml", "--point", "seed=4", "--point", "rows=8"];
    let states = planned(&place, &point);
    assert!(
        states.iter().all(|[.., state]| state == "cached"),
        "{states:?}"
    );
    let report = place.run(&[&["report"], &point[..]].concat()).success();
    assert!(report.stdout.contains("(seed 4, f32)"), "{}", report.stdout);
    // Several values of one setting are as many points.
    let both = [&point[..], &["--point", "seed=3"]].concat();
    let report = place.run(&[&["report"], &both[..]].concat()).success();
    let mean = "rows=8; mean of seeds 3, 4";
    assert!(report.stdout.contains(mean), "{}", report.stdout);
    // What points share is computed again once.
    let force = ["run", "matrix.yaml", "--force", "prompt_rte"];
    let forced = place.run(&force).success().stderr;
    let done = |line: &&str| line.starts_with("prompt_rte: done");
    assert_eq!(forced.lines().filter(done).count(), 2, "{forced}");
    place.run(&["report", "matrix.yaml"]).success();
    insta::assert_snapshot!(
        "no_point",
        place
            .run(&["plan", "matrix.yaml", "--point", "seed=5"])
            .all()
    );
    let path = "stages.table.eval.rows=8";
    let args = ["plan", "matrix.yaml", "--point", "rows=4", "--point", path];
    insta::assert_snapshot!("two_names_of_a_point", place.run(&args).all());
    let args = ["plan", "matrix.yaml", "--set", "seed=5"];
    insta::assert_snapshot!("set_of_a_matrix", place.run(&args).all());
    insta::assert_snapshot!(
        "many_points",
        place.run(&["export", "matrix.yaml", "tuned", "out"]).all()
    );
}

#[test]
fn points_whose_values_look_alike_have_reports_of_their_own() {
    let place = Workplace::new();
    let matrix = "matrix: { stages.table.eval.compare_with: [\"Pro MoT\", Pro-MoT] }\n";
    let yaml = SMALL.replace("seed: 3\n", &format!("seed: 3\n{matrix}"));
    let yaml = yaml.replace(
        "models:\n",
        "models:\n        Pro MoT: base\n        Pro-MoT: base\n",
    );
    place.write("alike.yaml", yaml);
    place.run(&["run", "alike.yaml"]).success();
    let runs = fs::read_dir(place.path(".promot/runs")).unwrap();
    let with_report = runs.filter(|run| {
        let directory = run.as_ref().unwrap().path();
        directory.join("report.json").exists()
    });
    assert_eq!(with_report.count(), 2);
}

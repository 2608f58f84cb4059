//! What evaluations keep of every row, and what comes of it: comparisons, and files for
//! lm-evaluation-harness.

use std::fs;
use std::path::Path;

use promot_tests::{SMALL, Workplace};
use serde_json::Value;

fn finished() -> Workplace {
    let place = Workplace::new();
    place.write("small.yaml", SMALL);
    place.run(&["run", "small.yaml"]).success();
    place
}

/// The evaluation's table with what was compared.
fn table(place: &Workplace, sets: &[&str]) -> Value {
    let args = [&["report", "small.yaml", "--format", "json"], sets].concat();
    let printed = place.run(&args).success();
    let report: Value = serde_json::from_str(&printed.stdout).unwrap();
    report["tables"][0][1].clone()
}

fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[test]
fn models_are_compared_on_the_same_rows() {
    let place = finished();
    let against_first = table(&place, &[]);
    assert_eq!(against_first["compared_with"], "Pretrained");
    let differences = against_first["differences"].as_array().unwrap();
    let names: Vec<String> = differences
        .iter()
        .map(|difference| difference["over"].to_string())
        .collect();
    let expected = [
        r#"{"target":"rte"}"#,
        r#"{"target":"wmt14_en_fr"}"#,
        r#""normalized_average""#,
        r#""foreign_formats""#,
        r#"{"task":"cb"}"#,
        r#"{"task":"triviaqa"}"#,
    ];
    assert_eq!(names, expected);
    let score = |model: &str, task: &str| {
        let cells = against_first["cells"].as_array().unwrap();
        let is_it = |cell: &&Value| cell["model"] == model && cell["record"]["task"] == task;
        let cell = cells.iter().find(is_it).unwrap();
        cell["record"]["value"].as_f64().unwrap()
    };
    for difference in differences {
        let number = |key: &str| difference[key].as_f64().unwrap();
        assert_eq!(difference["model"], "ProMoT");
        assert!(number("low") <= number("value") && number("value") <= number("high"));
        let over = &difference["over"];
        if let Some(task) = over["task"].as_str().or(over["target"].as_str()) {
            let expected = score("ProMoT", task) - score("Pretrained", task);
            assert!((number("value") - expected).abs() < 1e-9, "{difference}");
        }
    }

    // The other way round, nothing runs again and signs turn.
    let other = ["--set", "stages.table.eval.compare_with=ProMoT"];
    let turned = table(&place, &other);
    assert_eq!(turned["compared_with"], "ProMoT");
    for (one, other) in differences
        .iter()
        .zip(turned["differences"].as_array().unwrap())
    {
        let sum = one["value"].as_f64().unwrap() + other["value"].as_f64().unwrap();
        assert!(sum.abs() < 1e-9, "{one} {other}");
    }
    let args = [
        &["report", "small.yaml", "--format", "markdown"],
        &other[..],
    ]
    .concat();
    let markdown = place.run(&args).success().stdout;
    let expected = "### Differences to ProMoT\n";
    assert!(markdown.contains(expected), "{markdown}");
    assert!(
        markdown.contains("| foreign formats, 1-shot | "),
        "{markdown}"
    );

    let wrong = ["--set", "stages.table.eval.compare_with=Promot"];
    let printed = place.run(&[&["validate", "small.yaml"], &wrong[..]].concat());
    assert_eq!(printed.code, Some(2), "{}", printed.all());
    let expected = "unknown label of a model `Promot`";
    assert!(printed.stderr.contains(expected), "{}", printed.stderr);
    assert!(printed.stderr.contains("`ProMoT`"), "{}", printed.stderr);
}

#[test]
fn published_scores_stand_beside_ours() {
    let place = finished();
    let published = "stages.table.eval.published={source: somebody, scores: {\
                     rte: {Pretrained: 47.5, ProMoT: 92}, cb: {Pretrained: 46, ProMoT: 66}, \
                     triviaqa: {Pretrained: 17, ProMoT: [18]}}}";
    let args = ["report", "small.yaml", "--set", published, "--format"];
    let printed = place.run(&[&args[..], &["json"]].concat()).success();
    let report: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(report["published"][0][0], "table");
    let data = &report["published"][0][1];
    let rows = data["rows"].as_array().unwrap();
    let titles: Vec<&str> = rows
        .iter()
        .map(|row| row["title"].as_str().unwrap())
        .collect();
    assert_eq!(titles, ["RTE", "Norm. Avg.", "CB", "TriviaQA"]);
    // Ours are those of the table, and the means are those of the tasks.
    let cells = report["tables"][0][1]["cells"].as_array().unwrap();
    for (row, task) in [(0, "rte"), (2, "cb"), (3, "triviaqa")] {
        for (column, model) in ["Pretrained", "ProMoT"].into_iter().enumerate() {
            let is_it = |cell: &&Value| cell["model"] == model && cell["record"]["task"] == task;
            let cell = cells.iter().find(is_it).unwrap();
            assert_eq!(
                rows[row]["scores"][column][0], cell["record"]["value"],
                "{task}"
            );
        }
    }
    assert_eq!(rows[1]["scores"][0][1], 31.5);
    assert_eq!(rows[1]["scores"][1][1], 42.0);
    // Theirs all rise; ours are counted where they differ.
    let pairs = [0, 2, 3].map(|row| [0, 1].map(|c| rows[row]["scores"][c][0].as_f64().unwrap()));
    let count = |is: fn(f64) -> bool| pairs.iter().filter(|[a, b]| is(b - a)).count();
    assert_eq!(data["differences"], count(|d| d != 0.0));
    assert_eq!(data["same_sign"], count(|d| d > 0.0));

    let markdown = place
        .run(&[&args[..], &["markdown"]].concat())
        .success()
        .stdout;
    assert!(
        markdown.contains("In brackets those of somebody.\n"),
        "{markdown}"
    );
    assert!(markdown.contains(" (47.5) |"), "{markdown}");
    let page = place.run(&[&args[..], &["html"]].concat()).success().stdout;
    assert!(page.contains("<data value=\"47.5\">47.5</data>"));

    for (wrong, expected) in [
        ("{scores: {}}", "source"),
        (
            "{source: a, scores: {xsum: {ProMoT: 1}}}",
            "unknown target or evaluated task `xsum`",
        ),
        (
            "{source: a, scores: {cb: {Promot: 1}}}",
            "unknown label of a model `Promot`",
        ),
        (
            "{source: a, scores: {cb: {ProMoT: 101}}}",
            "expected a score from 0 to 100",
        ),
        (
            "{source: a, scores: {cb: {ProMoT: [1, 2]}}}",
            "expected a score from 0 to 100",
        ),
        ("{source: a, scores: [1]}", "expected tasks with models"),
    ] {
        let set = format!("stages.table.eval.published={wrong}");
        let printed = place.run(&["validate", "small.yaml", "--set", &set]);
        assert_eq!(printed.code, Some(2), "{}", printed.all());
        assert!(printed.stderr.contains(expected), "{}", printed.stderr);
    }
}

#[test]
fn every_rows_answers_are_kept_and_damage_is_noticed() {
    let place = finished();
    let results = place.results();
    let mut files: Vec<&String> = results.keys().filter(|p| p.contains("/answers/")).collect();
    files.sort();
    let names: Vec<&str> = files
        .iter()
        .map(|path| path.rsplit_once('/').unwrap().1)
        .collect();
    assert_eq!(
        names,
        [
            "cb-1shot.jsonl",
            "rte-tuned.jsonl",
            "triviaqa-1shot.jsonl",
            "wmt14_en_fr-tuned.jsonl"
        ]
    );
    for file in &files {
        let rows = json_lines(&place.path(file));
        assert_eq!(rows.len(), 8, "{file}");
        for row in rows {
            assert_eq!(row["outputs"].as_array().unwrap().len(), 2, "{row}");
            let references = row["references"].as_array().unwrap();
            assert!(references.contains(&row["target"]), "{row}");
        }
    }

    place.write(files[0], "{\"input\": \"a\"}\n");
    let printed = place.run(&["report", "small.yaml"]);
    assert_eq!(printed.code, Some(1), "{}", printed.all());
    let expected = "cb-1shot.jsonl: line 1: missing field";
    assert!(printed.stderr.contains(expected), "{}", printed.stderr);
    assert!(printed.stderr.contains("--force"), "{}", printed.stderr);
}

#[test]
fn an_evaluation_is_exported_with_a_directory_for_each_model() {
    let place = finished();
    place
        .run(&["export", "small.yaml", "table", "out"])
        .success();
    for model in ["Pretrained", "ProMoT"] {
        let directory = fs::read_dir(place.path(&format!("out/{model}"))).unwrap();
        let mut files: Vec<_> = directory.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 5, "{files:?}");
        let results: Value = serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap();
        assert_eq!(results["model_name"], model);
        assert_eq!(results["n-shot"]["cb_1shot"], 1);
        let rows = json_lines(&files[1]);
        assert_eq!(rows.len(), 8);
        let share = rows.iter().filter(|row| row["acc"] == 1.0).count() as f64 / 8.0;
        assert_eq!(results["results"]["cb_1shot"]["acc,none"], share);
    }
    let again = place.run(&["export", "small.yaml", "table", "out"]);
    assert_eq!(again.code, Some(2), "{}", again.all());
}

//! The report's page, and the curves beside it: every number in them is the report's.

use std::collections::HashSet;
use std::fs;
use std::sync::OnceLock;

use promot_tests::{SMALL, Workplace, without_machine};
use regex::Regex;
use serde_json::Value;

const DIRECTORY: &str = ".promot/runs/small-seed3";

/// A finished run of the small pipeline, shared by these tests, with a model more than it has: the same
/// with and without its prompt.
fn finished() -> &'static Workplace {
    static PLACE: OnceLock<Workplace> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = Workplace::new();
        let without = "        Pretrained: base\n        No prompt: { model: tuned }\n";
        let pipeline = SMALL.replace("        Pretrained: base\n", without);
        place.write("small.yaml", pipeline);
        place.run(&["run", "small.yaml"]).success();
        place
    })
}

fn read(name: &str) -> String {
    fs::read_to_string(finished().path(&format!("{DIRECTORY}/{name}"))).expect(name)
}

fn json() -> Value {
    serde_json::from_str(&read("report.json")).expect("the report parses")
}

/// All numbers in a JSON value, as bits.
fn numbers(value: &Value, found: &mut HashSet<u64>) {
    match value {
        Value::Number(number) => {
            found.insert(number.as_f64().expect("a number").to_bits());
        }
        Value::Array(list) => list.iter().for_each(|value| numbers(value, found)),
        Value::Object(map) => map.values().for_each(|value| numbers(value, found)),
        _ => {}
    }
}

fn captures<'a>(pattern: &str, text: &'a str) -> Vec<Vec<&'a str>> {
    let pattern = Regex::new(pattern).expect("a pattern");
    let all = pattern.captures_iter(text);
    all.map(|found| {
        let groups = found.iter().skip(1).flatten();
        groups.map(|group| group.as_str()).collect()
    })
    .collect()
}

#[test]
fn every_number_of_the_page_is_in_the_report() {
    let mut known = HashSet::new();
    numbers(&json(), &mut known);
    let page = without_machine(&read("report.html"));
    let shown = captures(r#"<data value="([^"]*)">([^<]*)</data>"#, &page);
    assert!(shown.len() > 100, "{}", shown.len());
    for number in &shown {
        let (value, text) = (number[0], number[1]);
        let exact: f64 = value.parse().expect(value);
        // Tasks, shots and rows are counted in the report, too.
        assert!(
            known.contains(&exact.to_bits()),
            "{value} is not in report.json"
        );
        let text = text.replace('−', "-");
        let decimals = text
            .split_once('.')
            .map_or(0, |(_, decimals)| decimals.len());
        let rounded: f64 = text.parse().expect(&text);
        let is_p = text.contains('e');
        let tolerance = if is_p {
            exact
        } else {
            0.5 * 0.1_f64.powi(decimals as i32)
        };
        assert!(
            (rounded - exact).abs() <= tolerance + 1e-9,
            "{value} is shown as {text}"
        );
    }
    let data = Regex::new("<data[^>]*>[^<]*</data>").unwrap();
    let tags = Regex::new("<[^>]*>").unwrap();
    // Nothing else in a sortable table is a number but names of tasks and columns.
    for table in captures(
        r#"(?s)<table class="sortable">.*?<tbody>(.*?)</tbody>"#,
        &page,
    ) {
        for cell in captures(r"(?s)<td[^>]*>(.*?)</td>", table[0]) {
            let rest = data.replace_all(cell[0], "");
            let rest = tags.replace_all(&rest, "");
            let names = rest.replace("WMT14", "");
            assert!(!names.contains(|c: char| c.is_ascii_digit()), "{}", cell[0]);
        }
    }
}

#[test]
fn columns_say_that_they_sort_and_tables_scroll_by_themselves() {
    let page = read("report.html");
    let tables = captures(r#"(?s)<table class="sortable">(.*?)</thead>"#, &page);
    assert!(tables.len() > 5, "{}", tables.len());
    for head in tables {
        let all = head[0].matches("<th ").count();
        let sortable = captures(
            r#"<th class="(?:number)?" scope="col" aria-sort="none"><button type="button">([^<]+)</button></th>"#,
            head[0],
        );
        assert_eq!(sortable.len(), all, "{}", head[0]);
        assert!(all >= 2, "{}", head[0]);
    }
    let scrolling = r#"<div class="scroll" tabindex="0" role="region" aria-label="[^"]+"><table"#;
    let tables = page.matches("<table").count();
    assert_eq!(captures(&format!("({scrolling})"), &page).len(), tables);
}

#[test]
fn the_page_has_these_parts() {
    let page = read("report.html");
    let parts = captures(r"<h([12])>([^<]*)</h[12]>|<(figcaption)>([^<]*)<", &page);
    let lines: Vec<String> = parts.iter().map(|part| part.join(" ")).collect();
    insta::assert_snapshot!("page", lines.join("\n"));
    assert!(page.len() < 400_000, "{} bytes", page.len());
    assert_eq!(
        finished()
            .run(&["report", "small.yaml", "--format", "html"])
            .success()
            .stdout,
        page
    );
}

#[test]
fn rows_that_changed_are_counted_and_tested() {
    let report = json();
    let flips = report["flips"][0][1].as_array().unwrap();
    let name = |flip: &Value| {
        let text = |key: &str| flip[key].as_str().unwrap().to_owned();
        format!("{} {} {}", text("model"), text("against"), text("task"))
    };
    let names: Vec<String> = flips.iter().map(name).collect();
    // Translation is neither right nor wrong. With and without the prompt: on the tuned task alone.
    assert_eq!(
        names,
        [
            "No prompt Pretrained rte",
            "No prompt Pretrained cb",
            "No prompt Pretrained triviaqa",
            "ProMoT Pretrained rte",
            "ProMoT Pretrained cb",
            "ProMoT Pretrained triviaqa",
            "ProMoT No prompt rte",
        ]
    );
    let cells = report["tables"][0][1]["cells"].as_array().unwrap();
    for flip in flips {
        let number = |key: &str| flip[key].as_f64().unwrap();
        let score = |model: &str| {
            let found = cells.iter().find(|cell| {
                cell["model"] == flip[model] && cell["record"]["task"] == flip["task"]
            });
            found.unwrap()["record"]["value"].as_f64().unwrap()
        };
        let change = 100.0 * (number("gained") - number("lost")) / number("rows");
        let expected = score("model") - score("against");
        assert!((change - expected).abs() < 1e-9, "{flip}");
        assert!((0.0..=1.0).contains(&number("p")), "{flip}");
        let listed = flip["listed"].as_array().unwrap();
        let changed = number("gained") + number("lost");
        assert_eq!(listed.len() as f64, changed.min(10.0), "{flip}");
    }
}

#[test]
fn curves_are_written_as_csv() {
    let report = json();
    for (name, lines) in [("tuned", 8), ("prompt_rte", 8), ("prompt_enfr", 4)] {
        let text = read(&format!("curves/{name}.csv"));
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), lines, "{text}");
        let training = report["training"].as_array().unwrap();
        let summary = training.iter().find(|stage| stage[0] == name).unwrap();
        let history = summary[1]["history"].as_array().unwrap();
        for (row, record) in rows.iter().zip(history) {
            assert_eq!(row[2].parse().ok(), record["step"].as_u64(), "{text}");
            assert_eq!(row[3].parse().ok(), record["loss"].as_f64(), "{text}");
        }
    }
}

#[test]
fn the_card_has_what_repeats_the_run_and_nothing_of_the_machine() {
    let report = json();
    let card = &report["card"];
    assert_eq!(card["command"], "promot-pipeline run small.yaml");
    assert_eq!(card["base"]["name"], "builtin:mini-t5");
    assert_eq!(card["device"], "cpu");
    let place = finished();
    for stage in card["stages"].as_array().unwrap() {
        let (kind, key) = (
            stage["kind"].as_str().unwrap(),
            stage["key"].as_str().unwrap(),
        );
        let directory = format!(".promot/stages/{kind}-{}", &key[..12]);
        let manifest = fs::read(place.path(&format!("{directory}/manifest.json"))).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["key"], key);
        let effort = &manifest["effort"];
        assert!(effort["seconds"].as_f64().unwrap() >= 0.0, "{effort}");
        let processor = effort["processor"].as_str().unwrap();
        assert!(!processor.is_empty());
        let files =
            read("report.json") + &read("report.md") + &without_machine(&read("report.html"));
        assert!(!files.contains(processor), "{processor}");
    }
    let other = [
        "report",
        "small.yaml",
        "--format",
        "json",
        "--set",
        "name=small",
    ];
    let other: Value = serde_json::from_str(&place.run(&other).success().stdout).unwrap();
    let command = "promot-pipeline run small.yaml --set name=small";
    assert_eq!(other["card"]["command"], command);
}

/// Rows of anyone's, with markup in their text, their labels and the task's title.
#[test]
fn markup_in_rows_is_shown_and_not_obeyed() {
    let place = Workplace::new();
    place.write(
        "mine.yaml",
        r#"
version: 1
name: mine
model: builtin:mini-t5
tasks:
  mine:
    title: "<i>Mine</i>"
    template: "{text} answer:"
    target: "{label}"
    metric: exact_match
stages:
  rows: { data: { task: mine, source: { jsonl: { train: rows.jsonl, validation: rows.jsonl, test: rows.jsonl } } } }
  table: { eval: { models: { "<b>Pretrained</b>": base }, target: rows, beams: 1, max_new_tokens: 4 } }
"#,
    );
    let row = r#"{"text": "</td><script>document.title = 'taken'</script>", "label": "<script>1</script>"}"#;
    place.write("rows.jsonl", format!("{row}\n").repeat(20));
    place.run(&["run", "mine.yaml"]).success();
    let page = place.path(".promot/runs/mine-seed0/report.html");
    let page = fs::read_to_string(page).unwrap();
    assert_eq!(page.matches("<script").count(), 1, "only the page's own");
    for markup in ["<i>Mine", "<b>Pretrained", "</td><script"] {
        assert!(!page.contains(markup), "{markup}");
    }
    for shown in [
        "&lt;i&gt;Mine&lt;/i&gt;",
        "&lt;b&gt;Pretrained&lt;/b&gt;",
        "&lt;/td&gt;&lt;script&gt;document.title = 'taken'&lt;/script&gt;",
        "&lt;script&gt;1&lt;/script&gt;",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
}

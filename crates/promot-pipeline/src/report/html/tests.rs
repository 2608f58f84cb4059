//! The page of a report that has everything.

use super::html;
use crate::report::sample::report;
use crate::report::{AnsweredRow, AnsweredTask, Details, StageDetails};
use crate::run::Effort;

const SCRIPT: &str = "<script>alert('x')</script>\" onload=\"y";

fn details() -> Details {
    let stage = |name: &str, inputs: &[&str]| StageDetails {
        name: name.to_owned(),
        kind: "model_tune".to_owned(),
        inputs: inputs.iter().map(|&input| input.to_owned()).collect(),
        effort: Some(Effort {
            seconds: 75.25,
            threads: 2,
            processor: "A <processor>".to_owned(),
        }),
    };
    let row = |number: usize| AnsweredRow {
        input: format!("question {number}: {SCRIPT}"),
        target: "True".to_owned(),
        references: vec!["True".to_owned()],
        outputs: vec!["False".to_owned(), SCRIPT.to_owned()],
    };
    Details {
        tables: vec![(
            "table".to_owned(),
            vec![AnsweredTask {
                task: "rte".to_owned(),
                shots: 0,
                is_target: true,
                rows: (0..60).map(row).collect(),
                right: Some(vec![vec![false, true]; 60]),
            }],
        )],
        stages: vec![stage("rte", &[]), stage("finetuned", &["rte"])],
    }
}

#[test]
fn text_of_the_data_is_never_markup() {
    let page = html(&report(), &details());
    assert_eq!(page.matches("<script").count(), 1, "only the page's own");
    assert!(page.contains("&lt;script&gt;alert('x')&lt;/script&gt;"));
    for (raw, escaped) in [
        ("Tuned <b>", "Tuned &lt;b&gt;"),
        ("<img", "&lt;img src=x&gt;"),
        ("A <processor>", "A &lt;processor&gt;"),
        ("\" onload=\"y", "&quot; onload=&quot;y"),
    ] {
        assert!(!page.contains(raw), "{raw}");
        assert!(page.contains(escaped), "{escaped}");
    }
}

#[test]
fn a_page_loads_nothing() {
    let page = html(&report(), &details());
    for from_elsewhere in ["http:", "https:", "src=", "<link", "@import", "<iframe"] {
        let count = page.matches(from_elsewhere).count();
        // One answer of a model is `<img src=x>`, and shown escaped.
        let expected = usize::from(from_elsewhere == "src=");
        assert_eq!(count, expected, "{from_elsewhere}");
    }
    let loaded: Vec<&str> = page.split("url(").skip(1).collect();
    assert!(loaded.iter().all(|rest| rest.starts_with("#arrow)")));
}

#[test]
fn rows_are_capped_and_the_page_says_so() {
    let page = html(&report(), &details());
    assert!(page.contains("50 of 60 rows"), "{page}");
    assert!(page.contains("question 49:") && !page.contains("question 50:"));
    assert!(page.contains("✗") && page.contains("✓"));
}

#[test]
fn drawings_take_their_colours_from_the_page() {
    let page = html(&report(), &details());
    let drawings: Vec<&str> = page
        .split("<div class=\"drawing\">")
        .skip(1)
        .map(|rest| rest.split("</svg>").next().unwrap())
        .collect();
    // Differences, then 2 trade-offs of models and 2 of checkpoints, 4 over steps, 1 of gradients, 2
    // of drift, 2 of training.
    assert_eq!(drawings.len(), 14);
    for drawing in drawings {
        assert!(drawing.contains("class=\"line"), "{drawing}");
        assert!(drawing.contains("class=\"mark"), "{drawing}");
        assert!(drawing.contains("class=\"ink\""), "{drawing}");
        for colour in ["fill=\"#", "stroke=\"#"] {
            assert!(!drawing.contains(colour), "{drawing}");
        }
        assert!(!drawing.contains("NaN"), "{drawing}");
    }
    // Lines and other bands are seen through a band.
    let bands = page.matches("class=\"band").count();
    assert_eq!(page.matches("opacity=\"0.16\" class=\"band").count(), bands);
    assert!(bands > 0);
}

#[test]
fn stages_are_drawn_with_their_times() {
    let page = html(&report(), &details());
    let graph = page.split("<svg class=\"graph\"").nth(1).expect("a graph");
    let graph = graph.split("</svg>").next().unwrap();
    assert_eq!(graph.matches("<rect").count(), 2, "{graph}");
    assert_eq!(graph.matches("marker-end").count(), 1, "{graph}");
    assert!(graph.contains("1 min 15 s"), "{graph}");
}

#[test]
fn a_report_of_nothing_is_a_page() {
    let mut report = report();
    report.tables.clear();
    report.plots.clear();
    report.flips.clear();
    report.summaries.clear();
    let page = html(&report, &Details::default());
    assert!(page.contains("To repeat it") && page.ends_with("</html>"));
}

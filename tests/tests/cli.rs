//! What every command prints, and where.

use promot_tests::{SMALL, Workplace};

#[test]
fn help_teaches_every_command() {
    let place = Workplace::new();
    let help = place.run(&["--help"]).success().stdout;
    let commands = [
        "run", "validate", "plan", "graph", "report", "export", "generate", "tasks", "devices",
        "samples",
    ];
    for command in commands {
        assert!(help.contains(&format!("  {command}")), "{help}");
        let own = place.run(&[command, "--help"]).success().stdout;
        assert!(own.contains("Usage: promot-pipeline"), "{own}");
    }
}

#[test]
fn tasks_and_samples() {
    let place = Workplace::new();
    insta::assert_snapshot!("tasks", place.run(&["tasks"]).success().stdout);
    let args = ["samples", "rte", "--rows", "2", "--shots", "1"];
    insta::assert_snapshot!("samples", place.run(&args).success().stdout);
}

#[test]
fn graphs() {
    let place = Workplace::new();
    place.write("small.yaml", SMALL);
    let mermaid = place.run(&["graph", "small.yaml"]).success().stdout;
    insta::assert_snapshot!("mermaid", mermaid);
    let dot = place
        .run(&["graph", "small.yaml", "--format", "dot"])
        .success()
        .stdout;
    assert!(
        dot.starts_with("digraph {") && dot.contains("prompt_rte"),
        "{dot}"
    );
}

#[test]
fn generate_answers_arguments_and_lines_of_standard_input() {
    let place = Workplace::new();
    let question = "question: Where does Anna live? answer:";
    let argument = place.run(&["generate", question]).success();
    let line = place.run_with_input(&["generate"], &format!("{question}\n{question}\n"));
    assert_eq!(line.success().stdout, argument.stdout.repeat(2));
    assert_eq!(argument.stdout.lines().count(), 1);
    assert_ne!(argument.stdout.trim(), "");
    let beams = [
        "generate",
        "--beams",
        "4",
        "--length-penalty",
        "t5x",
        question,
    ];
    assert_ne!(place.run(&beams).success().stdout.trim(), "");
    for (wrong, what) in [
        (["--model", "nowhere"], "no such directory"),
        (["--prompt", "nowhere"], "no such directory"),
        (["--alpha", "nan"], "a finite number"),
    ] {
        let refused = place.run(&[&["generate"], &wrong[..], &[question]].concat());
        assert_eq!(refused.code, Some(2), "{}", refused.all());
        assert!(refused.stderr.contains(what), "{}", refused.stderr);
    }
}

#[test]
fn a_run_prints_its_table_on_stdout_and_the_rest_on_stderr() {
    let place = Workplace::new();
    place.write("small.yaml", SMALL);
    let first = place.run(&["run", "small.yaml"]).success();
    assert!(
        first
            .stdout
            .starts_with("small: table (seed 3, f32)\n\ntask"),
        "{}",
        first.stdout
    );
    assert!(first.stdout.contains("Norm. Avg."), "{}", first.stdout);
    assert!(
        first.stderr.contains("tuned: 8/8  loss "),
        "{}",
        first.stderr
    );
    assert!(first.stderr.contains("tokens/s"), "{}", first.stderr);

    // The same again: nothing is computed, the same is printed.
    let second = place.run(&["run", "small.yaml"]).success();
    assert_eq!(second.stdout, first.stdout);
    assert!(second.stderr.contains("tuned: cached") && !second.stderr.contains("started"));
    let report = place.run(&["report", "small.yaml"]).success();
    assert_eq!(report.stdout, first.stdout);
    let markdown = place
        .run(&["report", "small.yaml", "--format", "markdown"])
        .success();
    let file = std::fs::read_to_string(place.path(".promot/runs/small-seed3/report.md")).unwrap();
    assert_eq!(markdown.stdout, file);

    // Its prompt and its model can be used by themselves.
    let results = place.results();
    let directory = |kind: &str| {
        let path = results.keys().find(|path| path.contains(kind)).unwrap();
        path.rsplit_once('/').unwrap().0.to_owned()
    };
    let (model, prompt) = (directory("model_tune"), directory("prompt_tune"));
    let args = [
        "generate",
        "--model",
        &model,
        "--prompt",
        &prompt,
        "Anna is tall.",
    ];
    assert_ne!(place.run(&args).success().stdout.trim(), "");
}

#[test]
fn only_and_force() {
    let place = Workplace::new();
    place.write("small.yaml", SMALL);
    let only = place
        .run(&["run", "small.yaml", "--only", "prompt_rte"])
        .success();
    assert_eq!(only.stdout, "");
    assert!(only.stderr.contains("prompt_rte: done") && !only.stderr.contains("tuned"));
    let unfinished = place.run(&["report", "small.yaml"]);
    assert_eq!(unfinished.code, Some(1));
    assert!(
        unfinished.stderr.contains("run the pipeline first"),
        "{}",
        unfinished.stderr
    );
    let before = place.results();
    let args = [
        "run",
        "small.yaml",
        "--only",
        "prompt_rte",
        "--force",
        "prompt_rte",
    ];
    let forced = place.run(&args).success();
    assert!(forced.stderr.contains("rte: cached"), "{}", forced.stderr);
    assert!(
        forced.stderr.contains("prompt_rte: done"),
        "{}",
        forced.stderr
    );
    assert_eq!(place.results(), before);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Workplace::new();
    let mut child = place.start_piped(&["samples", "rte", "--rows", "2000"]);
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

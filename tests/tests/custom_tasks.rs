//! Tasks and rows of a user's own, from a file to the table.

use std::fmt::Write as _;
use std::fs;

use promot_tests::{Workplace, root};

const PIPELINE: &str = "\
version: 1
name: mine
model: builtin:mini-t5
tasks:
  sentiment:
    title: Sentiment
    template: \"Review: {text} Question: is it good or bad? answer:\"
    target: \"{label}\"
    verbalizer: { label: { 1: good, 0: bad } }
    metric: accuracy
  capital:
    template: \"Q: {question} A:\"
    target: \"{answers.0}\"
    references: answers
    metric: exact_match
    evaluation_split: validation
stages:
  reviews:
    data:
      task: sentiment
      source: { csv: { train: \"train-*.csv\", test: test.csv }, columns: { label: stars } }
  prompt: { prompt_tune: { on: reviews, length: 4, steps: 4, checkpoint_every: 2, batch_size: 4 } }
  tuned:
    model_tune: { on: reviews, prompt: prompt, steps: 4, checkpoint_every: 2, batch_size: 4 }
  table:
    eval:
      models: { Pretrained: base, ProMoT: { model: tuned, prompt: prompt } }
      target: reviews
      tasks: [capital, cb]
      sources: { capital: { jsonl: { train: capitals.jsonl, validation: capitals.jsonl } } }
      rows: 6
      beams: 1
      max_new_tokens: 8
";

/// The pipeline with its files.
fn place() -> Workplace {
    let place = Workplace::new();
    let rows = |first: usize, count: usize, separator: char| {
        let mut text = format!("id{separator}text{separator}stars\n");
        for row in first..first + count {
            let word = ["dull", "lovely"][row % 2];
            let _ = writeln!(text, "{row}{separator}A {word} film{separator}{}", row % 2);
        }
        text
    };
    place.write("train-2.csv", rows(100, 20, ','));
    place.write("train-1.csv", rows(0, 20, ','));
    place.write("test.csv", rows(200, 10, ','));
    let capitals = [("Norway", "Oslo"), ("Italy", "Rome"), ("Peru", "Lima")];
    let lines = capitals.map(|(country, city)| {
        format!(
            "{{\"question\": \"What is the capital of {country}?\", \"answers\": [\"{city}\"]}}\n"
        )
    });
    place.write("capitals.jsonl", lines.concat());
    place.write("mine.yaml", PIPELINE);
    place
}

#[test]
fn a_task_of_ones_own_is_tuned_and_measured_on_rows_of_ones_own() {
    let place = place();
    place.run(&["validate", "mine.yaml"]).success();
    let table = place.run(&["run", "mine.yaml"]).success().stdout;
    let row = |start: &str| {
        let line = table.lines().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("no {start} in\n{table}"));
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    // Title, rows, and a score of each model.
    let target = row("Sentiment (tuned, 0-shot)");
    assert_eq!(target[3], "6", "{table}");
    assert!(target[4].parse::<f64>().is_ok(), "{table}");
    // A task without a title has its name.
    let capital = row("capital");
    assert_eq!(capital[1], "3", "{table}");
    assert!(row("CB").len() > 2, "{table}");
    // The answers of the tuned task are its labels: their share among other answers is reported.
    assert!(table.contains("answers in the target's format"), "{table}");
    let report = fs::read_to_string(place.path(".promot/runs/mine-seed0/report.md")).unwrap();
    assert!(report.contains("**Sentiment, 0-shot**"), "{report}");
    assert!(
        report.contains("A dull film Question: is it good or bad? answer:"),
        "{report}"
    );

    // The same again computes nothing; another word of the template computes all that uses it.
    let again = place.run(&["run", "mine.yaml"]).success();
    assert!(!again.stderr.contains("started"), "{}", again.stderr);
    let plan = |set: &str| {
        place
            .run(&["plan", "mine.yaml", "--set", set])
            .success()
            .stdout
    };
    let other = plan("tasks.sentiment.template='Film: {text} answer:'");
    assert!(
        other.contains("task sentiment.template: Review: "),
        "{other}"
    );
    assert!(other.ends_with("4 to run, 0 cached\n"), "{other}");
    let other = plan("tasks.capital.metric=bleu");
    assert!(other.ends_with("1 to run, 3 cached\n"), "{other}");
    let other = plan("tasks.sentiment.title=Films");
    assert!(other.ends_with("0 to run, 4 cached\n"), "{other}");

    // So does other content of a file, and not another place of it.
    place.write(
        "data/train-1.csv",
        fs::read(place.path("train-1.csv")).unwrap(),
    );
    place.write(
        "data/train-2.csv",
        fs::read(place.path("train-2.csv")).unwrap(),
    );
    let moved = plan("stages.reviews.data.source.csv.train=[data/train-1.csv, data/train-2.csv]");
    assert!(moved.ends_with("0 to run, 4 cached\n"), "{moved}");
    let turned = plan("stages.reviews.data.source.csv.train=[train-2.csv, train-1.csv]");
    assert!(turned.ends_with("4 to run, 0 cached\n"), "{turned}");
}

#[test]
fn samples_shows_tasks_of_a_pipeline() {
    let place = place();
    let args = [
        "samples",
        "sentiment",
        "--pipeline",
        "mine.yaml",
        "--rows",
        "1",
        "--shots",
        "1",
    ];
    let samples = place.run(&args).success().stdout;
    insta::assert_snapshot!("custom_samples", samples);
    let args = [
        "samples",
        "capital",
        "--pipeline",
        "mine.yaml",
        "--rows",
        "1",
    ];
    let samples = place.run(&args).success().stdout;
    assert!(
        samples.contains("capital of Norway? A:\n>>> Oslo"),
        "{samples}"
    );
    let args = ["samples", "sentimant", "--pipeline", "mine.yaml"];
    let printed = place.run(&args);
    assert_eq!(printed.code, Some(2));
    assert!(
        printed.stderr.contains("did you mean `sentiment`?"),
        "{}",
        printed.stderr
    );
}

#[test]
fn words_keep_their_letters_with_and_without_quotes() {
    let place = place();
    for (word, said) in [
        ("\"True\"", "True"),
        ("True", "True"),
        ("'TRUE'", "TRUE"),
        ("TRUE", "TRUE"),
    ] {
        let words = PIPELINE.replace("1: good, 0: bad", &format!("1: {word}, 0: {word}"));
        place.write("mine.yaml", words);
        let args = ["samples", "sentiment", "--pipeline", "mine.yaml"];
        let samples = place.run(&args).success().stdout;
        assert!(samples.contains(&format!("\n>>> {said}\n")), "{samples}");
    }
}

#[test]
fn labels_that_no_answer_can_be_are_told_before_and_while_tuning() {
    let place = place();
    // The built-in model writes bytes where it knows no letter; one that does not cannot say this word.
    place
        .run(&["export", "mine.yaml", "base", "mute"])
        .success();
    let tokenizer = fs::read_to_string(place.path("mute/tokenizer.json")).unwrap();
    let mute = tokenizer.replace("\"byte_fallback\": true", "\"byte_fallback\": false");
    assert_ne!(mute, tokenizer);
    place.write("mute/tokenizer.json", mute);
    let mute = PIPELINE.replace("builtin:mini-t5", "mute");
    place.write("mine.yaml", mute.replace("1: good", "1: 良"));
    let problem = "no answer of this model can be the label `良` of sentiment";
    let printed = place.run(&["preflight", "mine.yaml"]);
    assert_eq!(printed.code, Some(1), "{}", printed.all());
    let of_stage = format!("stage `prompt`: {problem}");
    assert!(printed.stderr.contains(&of_stage), "{}", printed.all());
    let run = place
        .run(&["run", "mine.yaml", "--only", "prompt"])
        .success();
    let warning = format!("warning: prompt: {problem}");
    assert!(run.stderr.contains(&warning), "{}", run.stderr);

    place.write("mine.yaml", PIPELINE);
    place.run(&["preflight", "mine.yaml"]).success();
    let run = place
        .run(&["run", "mine.yaml", "--only", "prompt"])
        .success();
    assert!(!run.stderr.contains("no answer"), "{}", run.stderr);
}

/// The pipeline that the how-to shows, on rows as it shows them.
#[test]
fn the_how_to_runs_as_it_is_written() {
    let text = fs::read_to_string(root().join("docs/custom-tasks.md")).unwrap();
    let block = |language: &str| {
        let start = format!("```{language}\n");
        let (_, rest) = text
            .split_once(&start)
            .unwrap_or_else(|| panic!("no {start}"));
        rest.split_once("```").expect("an end").0.to_owned()
    };
    let place = Workplace::new();
    let csv = block("csv");
    // As many rows as training wants, by repeating those that are shown.
    let (header, rows) = csv.split_once('\n').unwrap();
    place.write(
        "reviews-train.csv",
        format!("{header}\n{}", rows.repeat(10)),
    );
    place.write("reviews-test.csv", &csv);
    place.write("reviews.yaml", block("yaml"));
    place.run(&["validate", "reviews.yaml"]).success();
    let command = "samples reviews --pipeline reviews.yaml --shots 1 --rows 1";
    assert!(text.contains(command));
    let samples = place.run(&command.split(' ').collect::<Vec<_>>()).success();
    assert!(text.contains(&samples.stdout), "{}", samples.stdout);
    let mut args = vec!["run", "reviews.yaml"];
    for set in [
        "stages.prompt.prompt_tune.steps=2",
        "stages.promot.model_tune.steps=2",
        "stages.finetuned.model_tune.steps=2",
        "stages.table.eval.rows=4",
        "stages.table.eval.beams=1",
    ] {
        args.extend(["--set", set]);
    }
    let table = place.run(&args).success().stdout;
    assert!(table.contains("Reviews (tuned, 0-shot)"), "{table}");
}

//! The main path on real rows, if there are any on this machine.

use promot_tests::{Workplace, root, shared};

#[test]
fn rte_trains_and_evaluates_on_real_rows() {
    let Some(shared) = shared("rte_trains_and_evaluates_on_real_rows") else {
        return;
    };
    let place = Workplace::new();
    let source = format!(
        "{{ jsonl: {{ train: {0}/train.jsonl, validation: {0}/validation.jsonl }} }}",
        shared.join("data/rte").display()
    );
    let pipeline = root().join("pipelines/rte.yaml");
    let mut args = vec!["run".to_owned(), pipeline.display().to_string()];
    for set in [
        format!("stages.rte.data.source={source}"),
        "stages.prompt.prompt_tune.steps=2".to_owned(),
        "stages.prompt_1shot.prompt_tune.steps=2".to_owned(),
        "stages.finetuned.model_tune.steps=2".to_owned(),
        "stages.promot.model_tune.steps=2".to_owned(),
        "stages.promot_1shot.model_tune.steps=2".to_owned(),
        "stages.table.eval.rows=200".to_owned(),
        "stages.table.eval.tasks=[cb]".to_owned(),
        "stages.table.eval.beams=1".to_owned(),
    ] {
        args.extend(["--set".to_owned(), set]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let table = place.run(&args).success().stdout;
    let target = table
        .lines()
        .find(|line| line.starts_with("RTE (tuned"))
        .unwrap();
    let rows = target
        .split_whitespace()
        .find(|word| word.parse::<u32>().is_ok());
    assert_eq!(rows, Some("185"), "{table}");
}

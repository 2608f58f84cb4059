//! `tasks` and `samples`: what there is to tune on.

use std::fmt::Write as _;

use promot_core::Seed;
use promot_data::fewshot::FewShot;
use promot_data::source::{JsonlFiles, Source, load};
use promot_data::split::Split;
use promot_data::task::{find_task, tasks as all_tasks};
use promot_pipeline::diagnostic::nearest;
use promot_pipeline::run::RunError;

use super::args::SamplesArgs;
use super::failure::Failure;
use super::output::print;

/// Lists the tasks.
pub(crate) fn tasks() -> Result<(), Failure> {
    let mut text = format!(
        "{:14} {:14} {:12} {:11} fields of a row\n",
        "name", "title", "metric", "evaluated"
    );
    for task in all_tasks() {
        let _ = writeln!(
            text,
            "{:14} {:14} {:12} {:11} {}",
            task.name(),
            task.title(),
            task.metric().label(),
            task.evaluation_split().name(),
            task.fields().join(", ")
        );
    }
    print(&text)
}

/// Prints prompts with their targets.
pub(crate) fn samples(args: &SamplesArgs) -> Result<(), Failure> {
    let Some(task) = find_task(&args.task) else {
        let names: Vec<&str> = all_tasks().iter().map(|task| task.name()).collect();
        let hint = nearest(&args.task, &names).map_or_else(
            || format!("expected one of {}", names.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(Failure::BadInput(format!(
            "error: unknown task `{}`\n  hint: {hint}",
            args.task
        )));
    };
    let source = match &args.jsonl {
        Some(file) => Source::Jsonl(JsonlFiles {
            train: Some(file.clone()),
            ..JsonlFiles::default()
        }),
        None => Source::Mini,
    };
    // Worked examples are other rows, so there have to be more than are shown.
    let needed = args.rows.max(1).saturating_add(args.shots);
    let pool = load(task, &source, Split::Train, Some(needed)).map_err(RunError::from)?;
    let few = FewShot::new(task, &pool, args.shots, Seed::new(args.seed))
        .map_err(|error| Failure::BadInput(format!("error: {error}")))?;
    for record in pool.iter().take(args.rows) {
        let example = few
            .example(record, 0)
            .map_err(|error| Failure::BadInput(format!("error: {error}")))?;
        print(&format!(
            "--- {}\n{}\n>>> {}\n",
            example.id, example.input, example.target
        ))?;
    }
    Ok(())
}

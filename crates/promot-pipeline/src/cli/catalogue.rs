//! `tasks` and `samples`: what there is to tune on.

use std::fmt::Write as _;

use promot_core::Seed;
use promot_data::fewshot::FewShot;
use promot_data::mini;
use promot_data::source::{FileFormat, FileSource, Mapping, Source, SplitFiles, load};
use promot_data::split::Split;
use promot_data::task::tasks as all_tasks;
use promot_pipeline::diagnostic::nearest;
use promot_pipeline::plan::{DataSource, Plan, StageKind, TaskSet};
use promot_pipeline::run::RunError;

use super::args::{PipelineArgs, SamplesArgs};
use super::failure::Failure;
use super::load::load_points;
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
    let plan = match &args.pipeline {
        Some(file) => {
            let points = load_points(&PipelineArgs {
                file: file.clone(),
                sets: Vec::new(),
                points: Vec::new(),
                device: None,
            })?;
            // Tasks and rows of the first combination of a matrix: they hardly ever differ.
            points.into_iter().next().map(|point| point.plan)
        }
        None => None,
    };
    let tasks = plan
        .as_ref()
        .map_or_else(TaskSet::default, |plan| plan.tasks.clone());
    let Some(task) = tasks.find(&args.task) else {
        let names = tasks.names();
        let hint = nearest(&args.task, &names).map_or_else(
            || format!("expected one of {}", names.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(Failure::BadInput(format!(
            "error: unknown task `{}`\n  hint: {hint}",
            args.task
        )));
    };
    let source = match (&args.jsonl, &plan) {
        (Some(file), _) => Source::Files(FileSource {
            format: FileFormat::Jsonl,
            files: SplitFiles {
                train: vec![file.clone()],
                ..SplitFiles::default()
            },
            mapping: Mapping::default(),
        }),
        (None, Some(plan)) => source_of(&args.task, plan),
        (None, None) => Source::Mini,
    };
    if source == Source::Mini && !mini::has(&args.task) {
        return Err(Failure::BadInput(format!(
            "error: no stage of the pipeline says where rows of task `{}` are\n  hint: add a data \
             stage, or give --jsonl",
            args.task
        )));
    }
    // Worked examples are other rows, so there have to be more than are shown.
    let needed = args.rows.max(1).saturating_add(args.shots);
    let pool = load(&*task, &source, Split::Train, Some(needed)).map_err(RunError::from)?;
    let few = FewShot::new(&*task, &pool, args.shots, Seed::new(args.seed))
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

/// Where the first stage that has rows of a task has them from.
fn source_of(task: &str, plan: &Plan) -> Source {
    let sources = plan
        .stages()
        .flat_map(|stage| match (&stage.kind, stage.kind.evaluation()) {
            (StageKind::Data(params), _) if params.task == task => vec![&params.source],
            (_, Some(params)) => {
                let tasks = params.tasks.iter();
                let tasks = tasks.filter(|evaluated| evaluated.task == task);
                tasks.map(|evaluated| &evaluated.source).collect()
            }
            _ => Vec::new(),
        });
    let mut sources = sources.map(DataSource::source);
    sources.next().unwrap_or(Source::Mini)
}

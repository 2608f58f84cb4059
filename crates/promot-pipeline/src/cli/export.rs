//! `export`: a finished stage as a directory for transformers, PEFT or lm-evaluation-harness.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use promot_model::backend::Host;
use promot_model::checkpoint::SavePrecision;
use promot_pipeline::diagnostic::nearest;
use promot_pipeline::export::{PROMPT_DIRECTORY, export_adapter, export_evaluation, export_model};
use promot_pipeline::plan::{BaseModel, Plan, Stage, StageKind};
use promot_pipeline::run::{LoadedModel, Store, load_base};

use super::args::{ExportArgs, ExportPrecision};
use super::failure::Failure;
use super::load::load;
use super::output::tell;

/// Writes a stage's model, prompt or measurements.
pub(crate) fn export(args: &ExportArgs) -> Result<(), Failure> {
    let plan = load(&args.stored.pipeline)?;
    let store = Store::new(&args.stored.store);
    // No stage can have this name.
    if args.stage == "base" {
        refuse_base_name(args)?;
        let base = base_model(&plan)?;
        check_target(&args.to, args.force, &store)?;
        return write_model(&load_base(base, &Host::new())?, args);
    }
    let stage = exportable(&plan, &args.stage)?;
    let is_adapter = matches!(
        stage.kind,
        StageKind::PromptTune(_) | StageKind::LoraTune(_) | StageKind::RandomPrompt(_)
    );
    let has_prompt = matches!(stage.kind, StageKind::JointTune(_));
    if !is_adapter && !has_prompt {
        refuse_base_name(args)?;
    }
    let directory = store.stage(stage);
    if !directory.is_finished() {
        let file = args.stored.pipeline.file.display();
        return Err(bad_input(
            &format!("stage `{}` has not been run", stage.name),
            &format!(
                "run it first: promot-pipeline run {file} --only {}, with the same --store and --set",
                stage.name
            ),
        ));
    }
    check_target(&args.to, args.force, &store)?;
    if let Some(params) = stage.kind.evaluation() {
        export_evaluation(&plan, stage, params, &store, &args.to)?;
        tell(format_args!("{}: {}", args.stage, args.to.display()));
        return Ok(());
    }
    let artifact = directory.artifact();
    if is_adapter {
        export_adapter(&artifact, &args.to, args.base.as_deref())?;
        tell(format_args!("{}: {}", args.stage, args.to.display()));
        return Ok(());
    }
    let model = LoadedModel::from_directory(&artifact, &Host::new())?;
    write_model(&model, args)?;
    if has_prompt {
        let to = args.to.join(PROMPT_DIRECTORY);
        export_adapter(&artifact.join(PROMPT_DIRECTORY), &to, args.base.as_deref())?;
        tell(format_args!("{}, its prompt: {}", args.stage, to.display()));
    }
    Ok(())
}

fn write_model(model: &LoadedModel<Host>, args: &ExportArgs) -> Result<(), Failure> {
    let precision = match args.precision {
        ExportPrecision::F32 => SavePrecision::F32,
        ExportPrecision::Bf16 => SavePrecision::Bf16,
    };
    export_model(model, &args.to, precision, args.max_shard_size)?;
    tell(format_args!("{}: {}", args.stage, args.to.display()));
    Ok(())
}

fn refuse_base_name(args: &ExportArgs) -> Result<(), Failure> {
    if args.base.is_none() {
        return Ok(());
    }
    Err(bad_input(
        &format!("--base: `{}` makes no prompt", args.stage),
        "only a prompt has a base model",
    ))
}

/// The model that a pipeline starts from, if it is here.
fn base_model(plan: &Plan) -> Result<&BaseModel, Failure> {
    match &plan.base {
        Some(BaseModel::Hub { snapshot, .. }) => Err(bad_input(
            &format!("the base model is hf:{}", snapshot.repository().id()),
            "other programs find it on the hub",
        )),
        Some(base) => Ok(base),
        None => Err(bad_input(
            "this pipeline has no base model",
            "expected the name of a stage",
        )),
    }
}

fn bad_input(problem: &str, hint: &str) -> Failure {
    Failure::BadInput(format!("error: {problem}\n  hint: {hint}"))
}

/// The stage called `name`, if it makes something that others read.
fn exportable<'p>(plan: &'p Plan, name: &str) -> Result<&'p Stage, Failure> {
    let is_exportable = |stage: &&Stage| {
        !matches!(
            stage.kind,
            StageKind::Data(_) | StageKind::Mix(_) | StageKind::Gradients(_)
        )
    };
    let candidates = plan.stages().filter(is_exportable);
    let names: Vec<&str> = candidates.map(|stage| stage.name.as_str()).collect();
    let expected = if names.is_empty() {
        "no stage of this pipeline makes a model, a prompt or a table".to_owned()
    } else {
        format!("expected one of {}", names.join(", "))
    };
    match plan.stage(name) {
        Some(stage) if is_exportable(&stage) => Ok(stage),
        Some(stage) => {
            let kind = stage.kind.name();
            let problem = format!("stage `{name}` ({kind}) makes no model, prompt or table");
            Err(bad_input(&problem, &expected))
        }
        None => {
            let near = nearest(name, &names).map(|near| format!("did you mean `{near}`?"));
            let problem = format!("unknown stage `{name}`");
            Err(bad_input(&problem, &near.unwrap_or(expected)))
        }
    }
}

/// Refuses to mix with other files unless it is forced to, and to write into the store at all.
fn check_target(to: &Path, force: bool, store: &Store) -> Result<(), Failure> {
    let name = to.display();
    let mut entries = match fs::read_dir(to) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(bad_input(
                &format!("{name} is a file"),
                "expected a directory, which need not exist",
            ));
        }
        Err(error) => return Err(Failure::BadInput(format!("error: {name}: {error}"))),
    };
    if let (Ok(to), Ok(stages)) = (to.canonicalize(), store.root().canonicalize())
        && to.starts_with(stages.join("stages"))
    {
        return Err(bad_input(
            &format!("{name} is in the store"),
            "export to another directory: what is in the store is not changed",
        ));
    }
    if !force && entries.next().is_some() {
        return Err(bad_input(
            &format!("{name} is not empty"),
            "choose another directory, or replace its model with --force",
        ));
    }
    Ok(())
}

//! `run` and `report`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use promot_core::StopFlag;
use promot_model::backend::{Host, set_threads};
use promot_model::gemm::Precision;
use promot_model::train::TrainingBackend;
use promot_pipeline::diagnostic::nearest;
use promot_pipeline::hub::Watch;
use promot_pipeline::plan::{ComputeDevice, Plan};
use promot_pipeline::report::{Report, markdown, terminal};
use promot_pipeline::run::{self, Context, Selection, Store, check_inputs, fetch_inputs};

use super::args::{ReportArgs, ReportFormat, RunArgs};
use super::devices::open_gpu;
use super::failure::Failure;
use super::load::load;
use super::output::print;
use super::progress::Progress;
use super::reports;

/// Runs a pipeline and prints its tables.
pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    // First of all: the first op would choose the threads itself.
    set_threads(args.threads.unwrap_or(0).into())
        .context("--threads")
        .map_err(Failure::Failed)?;
    let plan = load(&args.stored.pipeline)?;
    let selection = Selection {
        only: stages(&plan, "--only", &args.only)?,
        force: stages(&plan, "--force", &args.force)?,
    };
    let stop = StopFlag::new();
    stop_on_ctrl_c(&stop);
    if let Some(note) = &plan.device.note {
        eprintln!("{note}");
    }
    match plan.device.device {
        ComputeDevice::Cpu => {
            let device = Host::with_precision(plan.precision);
            run_on(&device, args, &plan, &selection, &stop)
        }
        // Before anything is fetched, read or written.
        ComputeDevice::Cuda(index) => {
            let device = open_gpu(index, plan.precision)?;
            run_on(&device, args, &plan, &selection, &stop)
        }
    }
}

fn run_on<B: TrainingBackend>(
    device: &B,
    args: &RunArgs,
    plan: &Plan,
    selection: &Selection,
    stop: &StopFlag,
) -> Result<(), Failure> {
    download(plan, stop)?;
    check_inputs(plan)?;
    let store = Store::new(&args.stored.store);
    let directory = report_directory(&args.stored.store, plan);
    let log = directory.join("events.jsonl");
    let progress = fs::create_dir_all(&directory)
        .and_then(|()| Progress::new(&log))
        .with_context(|| log.display().to_string())
        .map_err(Failure::Failed)?;

    let context = Context {
        plan,
        device,
        store: &store,
        events: &progress,
        stop,
    };
    let outcome = run::run(&context, selection);
    progress.finish();
    outcome?;
    if !selection.only.is_empty() {
        for stage in selection.stages(plan) {
            eprintln!(
                "{}: {}",
                stage.name,
                store.stage(stage).artifact().display()
            );
        }
        return Ok(());
    }

    let report = reports::collect(plan, &store, &args.stored)?;
    reports::write(&directory, plan, &store, &report)?;
    print_tables(&report)?;
    eprintln!("report: {}", directory.join("report.html").display());
    Ok(())
}

/// Inputs come here before anything is written: a run without its model leaves no reports.
fn download(plan: &Plan, stop: &StopFlag) -> Result<(), Failure> {
    let progress = Progress::on_screen();
    let watch = Watch {
        events: &progress,
        stop,
    };
    let outcome = fetch_inputs(plan, &watch);
    progress.finish();
    Ok(outcome?)
}

/// Shows a finished run again.
pub(crate) fn report(args: &ReportArgs) -> Result<(), Failure> {
    let plan = load(&args.stored.pipeline)?;
    let store = Store::new(&args.stored.store);
    let report = reports::collect(&plan, &store, &args.stored)?;
    match args.format {
        ReportFormat::Table => print_tables(&report),
        ReportFormat::Markdown => print(&markdown(&report)),
        ReportFormat::Html => print(&reports::page(&plan, &store, &report)?),
        ReportFormat::Json => {
            let json = serde_json::to_string_pretty(&report).expect("plain data serialises");
            print(&(json + "\n"))
        }
    }
}

fn print_tables(report: &Report) -> Result<(), Failure> {
    for (stage, table) in &report.tables {
        print(&format!(
            "{}: {stage} (seed {}, {})\n\n{}\n",
            report.pipeline,
            report.seed,
            report.precision.name(),
            terminal(table)
        ))?;
    }
    Ok(())
}

/// Every seed has reports of its own, and so have every precision and kind of device.
fn report_directory(store: &Path, plan: &Plan) -> PathBuf {
    let mut name = format!("{}-seed{}", plan.name, plan.seed.value());
    if plan.precision != Precision::default() {
        name = format!("{name}-{}", plan.precision.name());
    }
    if plan.device.device != ComputeDevice::default() {
        name = format!("{name}-{}", plan.device.device.kind());
    }
    store.join("runs").join(name)
}

fn stages(plan: &Plan, option: &str, names: &[String]) -> Result<Vec<String>, Failure> {
    let valid: Vec<&str> = plan.stages().map(|stage| stage.name.as_str()).collect();
    for name in names {
        if !valid.contains(&name.as_str()) {
            let hint = nearest(name, &valid).map_or_else(
                || format!("expected one of {}", valid.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(Failure::BadInput(format!(
                "error: {option} {name}: unknown stage\n  hint: {hint}"
            )));
        }
    }
    Ok(names.to_vec())
}

/// The first Ctrl-C stops after the current step, the second at once.
fn stop_on_ctrl_c(stop: &StopFlag) {
    let stop = stop.clone();
    let handler = move || {
        if stop.is_requested() {
            std::process::exit(130);
        }
        eprintln!("\nstopping after the current step; Ctrl-C again stops at once");
        stop.request();
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        eprintln!("warning: Ctrl-C will stop at once, without a checkpoint: {error}");
    }
}

//! `run` and `report`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use promot_core::{Digest, StopFlag, write_atomically};
use promot_model::backend::{Host, set_threads};
use promot_model::gemm::Precision;
use promot_model::train::TrainingBackend;
use promot_pipeline::diagnostic::nearest;
use promot_pipeline::hub::Watch;
use promot_pipeline::plan::{ComputeDevice, Plan};
use promot_pipeline::report::{
    MatrixGroup, MatrixSummary, Report, markdown, matrix_html, terminal, terminal_curves,
};
use promot_pipeline::run::{self, Context, RunError, Selection, Store, check_inputs, fetch_inputs};
use promot_pipeline::spec::Setting;

use super::args::{ReportArgs, ReportFormat, RunArgs};
use super::devices::open_gpu;
use super::failure::Failure;
use super::load::{PlannedPoint, describe, load_points};
use super::output::{json, print, tell};
use super::progress::Progress;
use super::reports;
use super::signals::stop_on_signals;

/// Runs a pipeline, or all those of its matrix, and prints the tables.
pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    // First of all: the first op would choose the threads itself.
    set_threads(args.threads.unwrap_or(0).into())
        .context("--threads")
        .map_err(Failure::Failed)?;
    let points = load_points(&args.stored.pipeline)?;
    // All points have the same stages.
    let plan = &points[0].plan;
    let only = stages(plan, "--only", &args.only)?;
    let force = stages(plan, "--force", &args.force)?;
    // What several points share is computed again once.
    let mut forced = BTreeSet::new();
    let stop = StopFlag::new();
    stop_on_signals(&stop);
    if let Some(note) = &plan.device.note {
        tell(note);
    }
    let mut reports = Vec::new();
    for point in &points {
        if points.len() > 1 {
            tell(describe(&point.settings));
        }
        let mut is_new = |name: &&String| {
            let stage = point.plan.stage(name).expect("all points have the same");
            forced.insert(stage.key)
        };
        let selection = Selection {
            only: only.clone(),
            force: force.iter().filter(&mut is_new).cloned().collect(),
        };
        let report = match point.plan.device.device {
            ComputeDevice::Cpu => {
                let device = Host::with_precision(point.plan.precision);
                run_on(&device, args, point, &selection, &stop)?
            }
            // Before anything is fetched, read or written.
            ComputeDevice::Cuda(index) => {
                let device = open_gpu(index, point.plan.precision)?;
                run_on(&device, args, point, &selection, &stop)?
            }
        };
        reports.extend(report);
    }
    if reports.len() > 1 {
        let summary = summary(&points, &reports);
        write_summary(&summary, &args.stored.store)?;
        print(&summary.terminal())?;
    }
    Ok(())
}

/// Runs one plan and prints its tables; there is a report if all stages were asked for.
fn run_on<B: TrainingBackend>(
    device: &B,
    args: &RunArgs,
    point: &PlannedPoint,
    selection: &Selection,
    stop: &StopFlag,
) -> Result<Option<Report>, Failure> {
    let plan = &point.plan;
    download(plan, stop)?;
    check_inputs(plan)?;
    let store = Store::new(&args.stored.store);
    let directory = report_directory(&args.stored.store, point);
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
    outcome.map_err(|error| match &error {
        RunError::Interrupted { stage } if !args.force.is_empty() => {
            let hint = how_to_go_on(plan, stage, selection);
            Failure::Interrupted(format!("{error}\n  hint: {hint}"))
        }
        _ => error.into(),
    })?;
    if !selection.only.is_empty() {
        for stage in selection.stages(plan) {
            tell(format_args!(
                "{}: {}",
                stage.name,
                store.stage(stage).artifact().display()
            ));
        }
        return Ok(None);
    }

    let report = reports::collect(point, &store, &args.stored)?;
    reports::write(&directory, plan, &store, &report)?;
    if args.tensorboard {
        reports::write_events(&directory, &report)?;
    }
    print_tables(&report)?;
    tell(format_args!(
        "report: {}",
        directory.join("report.html").display()
    ));
    Ok(Some(report))
}

/// The same command would compute once more what it has computed again and finished.
fn how_to_go_on(plan: &Plan, stopped: &str, selection: &Selection) -> String {
    let rest = plan.stages().skip_while(|stage| stage.name != stopped);
    let rest = rest.filter(|stage| selection.force.contains(&stage.name));
    let rest: Vec<String> = rest
        .map(|stage| format!("--force {}", stage.name))
        .collect();
    if rest.is_empty() {
        return "to go on, run the same command without --force".to_owned();
    }
    let only = match rest.len() == selection.force.len() {
        true => String::new(),
        false => format!(" with {} only", rest.join(" ")),
    };
    format!("to go on, run the same command again{only}; without --force, what is stored is used")
}

/// Inputs come here before anything is written: a run without its model leaves no reports.
pub(crate) fn download(plan: &Plan, stop: &StopFlag) -> Result<(), Failure> {
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
    let points = load_points(&args.stored.pipeline)?;
    let store = Store::new(&args.stored.store);
    let reports: Result<Vec<Report>, Failure> = points
        .iter()
        .map(|point| reports::collect(point, &store, &args.stored))
        .collect();
    let reports = reports?;
    if let [report] = reports.as_slice() {
        return match args.format {
            ReportFormat::Table => print_tables(report),
            ReportFormat::Markdown => print(&markdown(report)),
            ReportFormat::Html => print(&reports::page(&points[0].plan, &store, report)?),
            ReportFormat::Json => print(&json(report)),
        };
    }
    let summary = summary(&points, &reports);
    print(&match args.format {
        ReportFormat::Table => summary.terminal(),
        ReportFormat::Markdown => summary.markdown(),
        ReportFormat::Html => matrix_html(&summary),
        ReportFormat::Json => json(&summary),
    })
}

/// Reports that differ in their seeds only are put together.
fn summary(points: &[PlannedPoint], reports: &[Report]) -> MatrixSummary {
    let mut groups: Vec<(String, Vec<Report>)> = Vec::new();
    for (point, report) in points.iter().zip(reports) {
        let is_seed = |setting: &&Setting| setting.path == "seed";
        let others = point.settings.iter().filter(|setting| !is_seed(setting));
        let settings = describe(&others.cloned().collect::<Vec<_>>());
        match groups.iter_mut().find(|(known, _)| *known == settings) {
            Some((_, group)) => group.push(report.clone()),
            None => groups.push((settings, vec![report.clone()])),
        }
    }
    let groups = groups.into_iter();
    MatrixSummary {
        pipeline: points[0].plan.name.clone(),
        groups: groups
            .map(|(settings, reports)| MatrixGroup::new(settings, &reports))
            .collect(),
    }
}

fn write_summary(summary: &MatrixSummary, store: &Path) -> Result<(), Failure> {
    let directory = store
        .join("runs")
        .join(format!("{}-matrix", summary.pipeline));
    fs::create_dir_all(&directory)
        .with_context(|| directory.display().to_string())
        .map_err(Failure::Failed)?;
    write(&directory.join("summary.json"), &json(summary))?;
    write(&directory.join("summary.md"), &summary.markdown())?;
    write(&directory.join("summary.html"), &matrix_html(summary))?;
    tell(format_args!(
        "summary: {}",
        directory.join("summary.html").display()
    ));
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    write_atomically(path, text.as_bytes())
        .with_context(|| path.display().to_string())
        .map_err(Failure::Failed)
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
    for (stage, curve) in &report.curves {
        print(&format!(
            "{}: {stage} (seed {}, {})\n\n{}\n",
            report.pipeline,
            report.seed,
            report.precision.name(),
            terminal_curves(curve)
        ))?;
    }
    for (stage, alignment) in &report.alignments {
        print(&format!(
            "{}: {stage} (seed {}, {})\n\n{}\n",
            report.pipeline,
            report.seed,
            report.precision.name(),
            alignment.table()
        ))?;
    }
    Ok(())
}

/// Every seed has reports of its own, and so have every precision, kind of device and point of a matrix.
fn report_directory(store: &Path, point: &PlannedPoint) -> PathBuf {
    let plan = &point.plan;
    let mut name = format!("{}-seed{}", plan.name, plan.seed.value());
    if plan.precision != Precision::default() {
        name = format!("{name}-{}", plan.precision.name());
    }
    if plan.device.device != ComputeDevice::default() {
        name = format!("{name}-{}", plan.device.device.kind());
    }
    let others = point.settings.iter().filter(|s| s.path != "seed");
    let others = describe(&others.cloned().collect::<Vec<_>>());
    if !others.is_empty() {
        let plain = |c: char| {
            if c.is_alphanumeric() || "=.-_".contains(c) {
                c
            } else {
                '-'
            }
        };
        let others = others.replace(", ", "-");
        let written: String = others.chars().map(plain).collect();
        // Two values must not become the same name.
        let digest = Digest::of(others.as_bytes()).short();
        name = match written == others {
            true => format!("{name}-{written}"),
            false => format!("{name}-{written}-{}", &digest[..6]),
        };
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

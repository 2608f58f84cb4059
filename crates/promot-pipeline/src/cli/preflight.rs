//! `preflight`: what a pipeline will cost, before it does.

use anyhow::Context as _;
use promot_core::StopFlag;
use promot_model::backend::{Host, set_threads};
use promot_model::train::TrainingBackend;
use promot_pipeline::plan::{ComputeDevice, Plan};
use promot_pipeline::preflight::{
    Preflight, RehearsalSize, free_disk, preflight as rehearse, terminal, total_memory,
};
use promot_pipeline::run::{Store, check_inputs};

use super::args::{PreflightArgs, PreflightFormat};
use super::devices::open_gpu;
use super::failure::Failure;
use super::load::load;
use super::output::{json, print};
use super::progress::Progress;
use super::run::download;
use super::signals::stop_on_signals;

/// Rehearses a pipeline and tells what it will cost and what is the matter with it.
pub(crate) fn preflight(args: &PreflightArgs) -> Result<(), Failure> {
    set_threads(args.threads.unwrap_or(0).into())
        .context("--threads")
        .map_err(Failure::Failed)?;
    let plan = load(&args.stored.pipeline)?;
    match plan.device.device {
        ComputeDevice::Cpu => preflight_on(&Host::with_precision(plan.precision), args, &plan),
        ComputeDevice::Cuda(index) => preflight_on(&open_gpu(index, plan.precision)?, args, &plan),
    }
}

fn preflight_on<B: TrainingBackend>(
    device: &B,
    args: &PreflightArgs,
    plan: &Plan,
) -> Result<(), Failure> {
    let stop = StopFlag::new();
    stop_on_signals(&stop);
    download(plan, &stop)?;
    check_inputs(plan)?;
    // Beside the store, since the system's own temporary directory may be small, or memory.
    let root = &args.stored.store;
    let scratch = std::fs::create_dir_all(root)
        .and_then(|()| tempfile::tempdir_in(root))
        .with_context(|| root.display().to_string())
        .map_err(Failure::Failed)?;
    let size = RehearsalSize {
        steps: args.steps,
        rows: args.rows as usize,
    };
    let progress = Progress::on_screen();
    let store = Store::new(root);
    let outcome = rehearse(plan, device, &store, scratch.path(), size, &progress, &stop);
    progress.finish();
    let found = outcome.map_err(|error| match error.is_interruption() {
        true => Failure::Interrupted("stopped; nothing of the rehearsal is kept".to_owned()),
        false => error.into(),
    })?;
    match args.format {
        PreflightFormat::Text => print(&terminal(&found))?,
        PreflightFormat::Json => print(&json(&found))?,
    }
    let problems = problems(&found, root);
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(anyhow::anyhow!(problems.join("\n"))))
}

/// What would make the run fail or be in vain.
fn problems(found: &Preflight, store: &std::path::Path) -> Vec<String> {
    let mut problems = Vec::new();
    for facts in &found.tokens {
        for label in &facts.impossible_labels {
            problems.push(format!(
                "stage `{}`: no answer of this model can be the label `{label}` of {}\n  hint: take words that its tokenizer knows",
                facts.stage, facts.task
            ));
        }
    }
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    if let Some(free) = free_disk(store).filter(|&free| free < found.disk) {
        problems.push(format!(
            "{:.1} GiB of disk are needed, {:.1} GiB are free\n  hint: free some, or name another place with --store",
            gib(found.disk),
            gib(free)
        ));
    }
    if let (Some(peak), Some(total)) = (found.peak_memory, total_memory())
        && peak > total / 10 * 9
    {
        problems.push(format!(
            "{:.1} GiB of memory are needed, the machine has {:.1} GiB\n  hint: micro_batches and recompute save memory",
            gib(peak),
            gib(total)
        ));
    }
    problems
}

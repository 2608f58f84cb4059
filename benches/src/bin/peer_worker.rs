//! The Rust side of the comparison with PyTorch, started by `benches/peer/driver.py`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use promot_benches::peer::{self, Case};
use promot_benches::scaling;
use promot_model::backend::{Host, keep_freed_memory, set_threads};
use promot_model::gemm::{Precision, kernel_name};

/// The Rust side of the comparison with PyTorch.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains or decodes batch after batch, as JSON lines on standard input ask for.
    Work(Work),
    /// Prints the rate of large matrix products in GFLOP/s.
    Ceiling(Ceiling),
    /// Prints how the time of a training step grows with its sizes, as Markdown with charts.
    Scaling(Machine),
}

#[derive(Args)]
struct Work {
    /// A directory in Hugging Face's layout.
    #[arg(long)]
    checkpoint: PathBuf,
    /// The file of batches that the driver wrote.
    #[arg(long)]
    batches: PathBuf,
    /// What is measured.
    #[arg(long)]
    case: Case,
    #[command(flatten)]
    machine: Machine,
}

#[derive(Args)]
struct Ceiling {
    /// Rows of the left factor.
    #[arg(long, default_value_t = 8192)]
    rows: usize,
    /// Columns of the left factor, rows of the right one.
    #[arg(long, default_value_t = 1024)]
    inner: usize,
    /// Columns of the right factor.
    #[arg(long, default_value_t = 1024)]
    columns: usize,
    #[command(flatten)]
    machine: Machine,
}

#[derive(Args)]
struct Machine {
    /// f32 or bf16.
    #[arg(long, default_value = "f32", value_parser = precision)]
    precision: Precision,
    /// Threads; all there are by default.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

impl Machine {
    fn device(&self) -> anyhow::Result<Host> {
        keep_freed_memory();
        set_threads(self.threads).context("the threads")?;
        Ok(Host::with_precision(self.precision))
    }
}

fn precision(name: &str) -> Result<Precision, String> {
    [Precision::F32, Precision::Bf16]
        .into_iter()
        .find(|precision| precision.name() == name)
        .ok_or_else(|| "expected f32 or bf16".to_owned())
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Work(work) => {
            let device = work.machine.device()?;
            let kernel = kernel_name(work.machine.precision);
            let about = format!("promot {}, {kernel}", env!("CARGO_PKG_VERSION"));
            let (checkpoint, batches) = (&work.checkpoint, &work.batches);
            match work.case.training() {
                Some(training) => peer::train(&device, checkpoint, batches, training, about),
                None => peer::decode(&device, checkpoint, batches, work.case, about),
            }
        }
        Command::Ceiling(ceiling) => {
            let device = ceiling.machine.device()?;
            let sizes = (ceiling.rows, ceiling.inner, ceiling.columns);
            println!("{:.1}", peer::ceiling(device.precision(), sizes) / 1e9);
            Ok(())
        }
        Command::Scaling(machine) => {
            print!("{}", scaling::report(&machine.device()?)?);
            Ok(())
        }
    }
}

//! The Rust side of the comparison with PyTorch, started by `benches/peer/driver.py`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use promot_benches::peer::{self, Case, Measured, ProductSizes};
use promot_benches::{scaling, units};
use promot_model::backend::{Gpu, Host, keep_freed_memory, set_threads};
use promot_model::gemm::{Precision, check_kernels};

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
    /// Prints how the time of a training step on the CPU grows with its sizes, as Markdown with charts.
    Scaling(Machine),
    /// Prints the rate in GFLOP/s of matrix products on the CPU whose factors are packed and in the cache, a
    /// number for each thread.
    Units(Machine),
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
    /// What computes.
    #[arg(long, default_value = "cpu")]
    device: Place,
    #[command(flatten)]
    machine: Machine,
}

#[derive(Args)]
struct Ceiling {
    /// Rows of the left factor [default: enough to keep the device busy, as of the others].
    #[arg(long)]
    rows: Option<usize>,
    /// Columns of the left factor, rows of the right one.
    #[arg(long)]
    inner: Option<usize>,
    /// Columns of the right factor.
    #[arg(long)]
    columns: Option<usize>,
    /// What computes.
    #[arg(long, default_value = "cpu")]
    device: Place,
    #[command(flatten)]
    machine: Machine,
}

#[derive(Args)]
struct Machine {
    /// f32 or bf16.
    #[arg(long, default_value = "f32", value_parser = precision)]
    precision: Precision,
    /// Threads of the CPU; all there are by default.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// What computes.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Place {
    /// The CPU.
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
}

impl Machine {
    fn host(&self) -> anyhow::Result<Host> {
        keep_freed_memory();
        set_threads(self.threads).context("the threads")?;
        Ok(Host::with_precision(self.precision))
    }

    fn gpu(&self) -> anyhow::Result<Gpu> {
        Ok(Gpu::open(0, self.precision)?)
    }
}

impl Work {
    fn run<B: Measured>(&self, device: &B) -> anyhow::Result<()> {
        let about = format!("promot {}, {}", env!("CARGO_PKG_VERSION"), device.kernels());
        match self.case.training() {
            Some(training) => peer::train(device, &self.checkpoint, &self.batches, training, about),
            None => peer::decode(device, &self.checkpoint, &self.batches, self.case, about),
        }
    }
}

impl Ceiling {
    fn print<B: Measured>(&self, device: &B) -> anyhow::Result<()> {
        let (rows, inner, columns) = B::LARGE;
        let sizes: ProductSizes = (
            self.rows.unwrap_or(rows),
            self.inner.unwrap_or(inner),
            self.columns.unwrap_or(columns),
        );
        println!("{:.1}", device.ceiling(sizes)? / 1e9);
        Ok(())
    }
}

fn precision(name: &str) -> Result<Precision, String> {
    [Precision::F32, Precision::Bf16]
        .into_iter()
        .find(|precision| precision.name() == name)
        .ok_or_else(|| "expected f32 or bf16".to_owned())
}

fn main() -> anyhow::Result<()> {
    check_kernels()?;
    match Cli::parse().command {
        Command::Work(work) => match work.device {
            Place::Cpu => work.run(&work.machine.host()?),
            Place::Cuda => work.run(&work.machine.gpu()?),
        },
        Command::Ceiling(ceiling) => match ceiling.device {
            Place::Cpu => ceiling.print(&ceiling.machine.host()?),
            Place::Cuda => ceiling.print(&ceiling.machine.gpu()?),
        },
        Command::Scaling(machine) => {
            print!("{}", scaling::report(&machine.host()?)?);
            Ok(())
        }
        Command::Units(machine) => {
            let rates = units::rates(&machine.host()?);
            let rates: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
            println!("{}", rates.join(" "));
            Ok(())
        }
    }
}

//! The command line: parses arguments, calls the library, prints. Results go to standard output,
//! everything else to standard error.

mod args;
mod catalogue;
mod devices;
mod export;
mod failure;
mod generate;
mod inspect;
mod load;
mod output;
mod preflight;
mod progress;
mod reports;
mod run;
mod selftest;
mod signals;

use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser as _;
use failure::Failure;
use promot_model::gemm::check_kernels;

/// Runs the command of this process.
pub(crate) fn main() -> ExitCode {
    promot_model::backend::keep_freed_memory();
    let cli = Cli::parse();
    let outcome = check_kernels()
        .map_err(|error| Failure::BadInput(format!("error: {error}")))
        .and_then(|()| carry_out(cli.command));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn carry_out(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Validate(args) => inspect::validate(&args),
        Command::Plan(args) => inspect::plan(&args),
        Command::Preflight(args) => preflight::preflight(&args),
        Command::Graph(args) => inspect::graph(&args),
        Command::Report(args) => run::report(&args),
        Command::Export(args) => export::export(&args),
        Command::Generate(args) => generate::generate(&args),
        Command::Tasks => catalogue::tasks(),
        Command::Devices => devices::devices(),
        Command::Selftest(args) => selftest::selftest(&args),
        Command::Samples(args) => catalogue::samples(&args),
    }
}

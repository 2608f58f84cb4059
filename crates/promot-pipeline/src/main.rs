//! The `promot-pipeline` command.

use std::process::ExitCode;

use promot_model::backend::LineAligned;

mod cli;

#[global_allocator]
static ALLOCATOR: LineAligned = LineAligned;

fn main() -> ExitCode {
    cli::main()
}

//! How a command ends if not well.

use std::io;
use std::process::ExitCode;

use super::output::tell;
use promot_pipeline::run::RunError;

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input is at fault: exit code 2, as for wrong arguments.
    BadInput(String),
    /// The run failed: exit code 1.
    Failed(anyhow::Error),
    /// The network or this machine is at fault, which is told as bad input is: exit code 1.
    Unavailable(String),
    /// The user stopped it: exit code 130, as a shell reports Ctrl-C.
    Interrupted(String),
    /// Whoever read the output has seen enough, as `head` has.
    NobodyReads,
}

impl Failure {
    /// Tells the user; the exit code is for scripts.
    pub(crate) fn report(self) -> ExitCode {
        let (code, message) = match self {
            Self::BadInput(message) => (2, message),
            Self::Failed(error) => (1, format!("error: {error:#}")),
            Self::Unavailable(message) => (1, message),
            Self::Interrupted(message) => (130, message),
            Self::NobodyReads => return ExitCode::SUCCESS,
        };
        tell(format_args!("{}", message.trim_end()));
        ExitCode::from(code)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let mut message = error.to_string();
        if let Some(hint) = error.hint() {
            message.push_str(&format!("\n  hint: {hint}"));
        }
        if error.is_interruption() {
            Self::Interrupted(message)
        } else if error.is_bad_input() {
            Self::BadInput(format!("error: {message}"))
        } else {
            Self::Failed(anyhow::Error::msg(message))
        }
    }
}

/// Only for writing to standard output; files have errors that name them.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::NobodyReads
        } else {
            Self::Failed(anyhow::Error::new(error).context("standard output"))
        }
    }
}

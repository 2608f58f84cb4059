//! What repeats a run.

use std::fmt::Write as _;

use super::escape::{code, escaped};
use crate::report::Report;

/// Versions, digests and the command.
pub(super) fn card(text: &mut String, report: &Report) {
    let card = &report.card;
    let _ = writeln!(text, "## To repeat it\n");
    if let Some(command) = &card.command {
        let _ = writeln!(text, "- {}", code(command));
    }
    let _ = writeln!(
        text,
        "- promot {}, device {}, {}",
        card.version,
        card.device,
        report.precision.name()
    );
    match &card.base {
        Some(base) => {
            let _ = writeln!(
                text,
                "- base model {}: `{}`",
                escaped(&base.name),
                base.digest
            );
        }
        None => text.push_str("- no base model: the pipeline makes its own\n"),
    }
    for files in &card.data {
        let _ = writeln!(
            text,
            "- rows of {} for {}, {}: `{}`",
            escaped(&files.task),
            escaped(&files.stage),
            files.split,
            files.digest
        );
    }
    for stage in &card.stages {
        let _ = writeln!(
            text,
            "- stage {} ({}): `{}`",
            escaped(&stage.name),
            stage.kind,
            stage.key
        );
    }
}

//! The checkpoints of training stages.

use std::fmt::Write as _;

use super::escaped;
use crate::report::Report;

/// A table a stage.
pub(super) fn checkpoints(text: &mut String, report: &Report) {
    let _ = writeln!(text, "## Checkpoints\n");
    for (stage, summary) in &report.training {
        let _ = writeln!(
            text,
            "{}: best at step {}\n",
            escaped(stage),
            summary["best_step"]
        );
        let history = summary["history"].as_array().map_or(&[][..], Vec::as_slice);
        let with_foreign = history.iter().any(|record| record["foreign"].is_number());
        let mut header = "| step | loss | score on the rows that choose |".to_owned();
        if with_foreign {
            header.push_str(" foreign prompts that choose |");
        }
        let _ = writeln!(
            text,
            "{header}\n|---|---|---|{}",
            if with_foreign { "---|" } else { "" }
        );
        for record in history {
            let loss = record["loss"].as_f64().unwrap_or(f64::NAN);
            let score = |key: &str| {
                let score = record[key].as_f64();
                score.map_or("-".to_owned(), |score| format!("{score:.1}"))
            };
            let _ = write!(
                text,
                "| {} | {loss:.4} | {} |",
                record["step"],
                score("value")
            );
            if with_foreign {
                let _ = write!(text, " {} |", score("foreign"));
            }
            text.push('\n');
        }
        text.push('\n');
    }
}
